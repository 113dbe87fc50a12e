"""Notifications: which addresses can be used, what is said, and the child process that sends it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from probes.diagnosis.finding import Finding
from probes.errors import InvalidArgumentError, MissingDependencyError

_POST = Path(__file__).with_name("post.py")
_CHECK_SECONDS = 120.0
_SEND_SECONDS = 120.0
_MOST_SUGGESTIONS = 3


def checked_addresses(addresses: Sequence[str]) -> tuple[str, ...]:
    """The addresses, each of which apprise understands. Nothing is sent.

    Raises:
        MissingDependencyError: apprise is not installed.
        InvalidArgumentError: an address is not understood.
    """
    if not addresses:
        return ()
    if importlib.util.find_spec("apprise") is None:
        raise MissingDependencyError("alerts need the package apprise: pip install 'babysit[alerts]'")
    try:
        found = _ask({"addresses": list(addresses)}, _CHECK_SECONDS)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise MissingDependencyError(f"alerts need the package apprise, and it does not work here: {error}") from error
    if found["bad"]:
        number = found["bad"][0]
        raise InvalidArgumentError(
            f"alerts[{number}] ({hidden(addresses[number])}) is no address that apprise understands: "
            "see https://github.com/caronc/apprise/wiki for how the one of your service is written"
        )
    return tuple(addresses)


def send(addresses: Sequence[str], title: str, body: str) -> list[str]:
    """Sends a message to every address; waits for it. Returns a line for each that did not take it."""
    try:
        found = _ask({"addresses": list(addresses), "title": title, "body": body}, _SEND_SECONDS)
    except subprocess.TimeoutExpired:
        return [f"the notification was not sent within {_SEND_SECONDS:g} s"]
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return [f"the notification was not sent: {error}"]
    return [f"{hidden(addresses[number])} did not take the notification" for number in found["bad"]]


def message(run: str, findings: Sequence[Finding]) -> tuple[str, str]:
    """(title, body) of one notification on all that is news; causes come before what they explain."""
    first = findings[0]
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    blocks = []
    for finding in findings:
        because = f", caused by {finding.caused_by}" if finding.caused_by else ""
        lines = [f"[{finding.severity}] {finding.rule}, since step {finding.first_step:,}{because}", finding.message]
        lines += [f"Try: {text}" for text in finding.suggestions[:_MOST_SUGGESTIONS]]
        blocks.append("\n".join(lines))
    return f"babysit: {run}: {first.title}{more}", "\n\n".join(blocks)


def hidden(address: str) -> str:
    """An address without what may be secret in it: ``mailto://...``."""
    scheme, colon, _ = address.partition("://")
    return f"{scheme}://..." if colon else "..."


def _ask(request: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The answer of `post.py`. Addresses hold passwords: they go through a pipe, not on a command line.

    The request is one line and the answer a file: the end of a pipe is never waited for, because a DataLoader worker
    that is forked at this very moment would hold it open for as long as it lives.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out, tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        done = subprocess.run(
            [sys.executable, "-P", str(_POST)],
            input=json.dumps({**request, "path": sys.path}) + "\n",
            stdout=out,
            stderr=said,
            text=True,
            encoding="utf-8",
            timeout=seconds,
            check=False,
        )
        out.seek(0)
        said.seek(0)
        if done.returncode:
            last = (said.read().strip().splitlines() or ["it said nothing"])[-1]
            raise ValueError(f"the process that sends it failed: {last}")
        answer: dict[str, Any] = json.loads(out.read().rpartition("\n")[2])
    return answer
