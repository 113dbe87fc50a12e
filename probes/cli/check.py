"""`babysit check TARGET`: sanity checks before training."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator
from typing import TextIO

from probes.checks.result import CheckResult, SanityReport
from probes.cli.check_target import load_target
from probes.errors import BabysitError

NOTHING_FOUND, SOMETHING_FOUND, COULD_NOT_RUN = 0, 1, 2
_COLOURS = {"pass": "32", "warn": "33", "fail": "31", "skip": "2"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `babysit check`."""
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="a recipe's name or .toml file, or package.module:function or file.py:function returning "
        "(model, loss_fn, data) or a dict of probes.check's arguments",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout and nothing else there")
    parser.add_argument("--checks", metavar="A,B", help="only these checks, by slug (default: all)")
    parser.add_argument("--budget", type=float, metavar="S", help="seconds for all checks together (default: 60)")
    parser.add_argument("--seed", type=int, metavar="N", help="makes the report repeatable (default: 0)")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override a value of the recipe, as in babysit train; may be repeated",
    )
    parser.add_argument(
        "--fault", action="append", default=[], metavar="NAME", help="inject a mistake into the recipe; may be repeated"
    )
    parser.add_argument("--run-dir", metavar="DIR", help="save the report as checks.json in this run directory")


def run(args: argparse.Namespace) -> int:
    """Check TARGET; 0 nothing at warning or above, 1 something, 2 nothing could be judged.

    Raises:
        BabysitError: TARGET cannot be loaded or checked at all.
    """
    with _stdout_to_stderr() as stdout:
        from probes.checks.engine import check
        from probes.checks.registry import check_named

        names = [name.strip() for name in args.checks.split(",") if name.strip()] if args.checks is not None else None
        if names is not None and not names:
            raise BabysitError("--checks names no check: give slugs separated by commas")
        for name in names or ():
            check_named(name)
        faults = [f"faults.names={json.dumps(args.fault)}"] if args.fault else []
        arguments = load_target(args.target, [*args.overrides, *faults])
        given = {"checks": names, "budget": args.budget, "seed": args.seed, "run_dir": args.run_dir}
        arguments.update({key: value for key, value in given.items() if value is not None})
        show = _Printer(sys.stderr if args.json else stdout, quiet=args.json)
        # The user's code may print at any time, also inside forward: to stderr with --json, where it harms
        # nobody.
        report = check(**arguments, progress=show.progress)
        if args.json:
            json.dump({"target": args.target, **report.to_dict()}, stdout, allow_nan=False, indent=1)
            stdout.write("\n")
        else:
            show.summary(args.target, report)
        stdout.flush()
    return exit_code(report)


def exit_code(report: SanityReport) -> int:
    """0 nothing at warning or above, 1 something, 2 every check was skipped."""
    if not report.clean:
        return SOMETHING_FOUND
    if all(result.status == "skip" for result in report.results):
        return COULD_NOT_RUN
    return NOTHING_FOUND


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[TextIO]:
    """Whatever prints inside prints to stderr; yields the real stdout for what the command itself has to say.

    The file descriptor is redirected too, for code outside Python and for processes that the user's code
    starts.
    """
    real = sys.stdout
    with contextlib.ExitStack() as stack:
        if real is sys.__stdout__ and real is not None:
            real.flush()
            kept = os.dup(1)
            real = stack.enter_context(os.fdopen(os.dup(1), "w", encoding="utf-8"))
            os.dup2(2, 1)

            def put_back() -> None:
                if sys.__stdout__ is not None:
                    sys.__stdout__.flush()
                os.dup2(kept, 1)
                os.close(kept)

            stack.callback(put_back)
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        yield real


class _Printer:
    """One line per check as it ends, with suggestions below those that found something."""

    def __init__(self, stream: TextIO, quiet: bool) -> None:
        self._stream = stream
        self._quiet = quiet
        self._live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._colour = self._live and "NO_COLOR" not in os.environ
        self._width = max(60, min(shutil.get_terminal_size((110, 24)).columns, 140))
        self._pad = 0
        self._started = time.monotonic()

    def progress(self, event: object) -> None:
        """The callback for `probes.check`."""
        if self._quiet:
            return
        from probes.checks.registry import slugs

        self._pad = max(len(slug) for slug in slugs())
        slug, result = event.slug, event.result  # type: ignore[attr-defined]
        index, total = event.index, event.total  # type: ignore[attr-defined]
        if result is not None:
            self._clear()
            self._result(result)
        elif self._live:
            done = round(12 * index / total)
            bar = "█" * done + "░" * (12 - done)
            elapsed = time.monotonic() - self._started
            self._stream.write(f"\r\x1b[K      {bar} {index}/{total}  {slug} ...  {elapsed:.0f} s")
            self._stream.flush()

    def summary(self, target: str, report: SanityReport) -> None:
        """The closing line."""
        self._clear()
        counts = {status: sum(r.status == status for r in report.results) for status in _COLOURS}
        words = {"pass": "passed", "warn": "warned", "fail": "failed", "skip": "skipped"}
        told = ", ".join(f"{count} {words[status]}" for status, count in counts.items() if count)
        subject = report.subject
        self._stream.write(
            f"\n{target}: {told} in {report.seconds:.1f} s "
            f"({subject.get('model')}, {subject.get('parameters'):,} parameters, {subject.get('loss')})\n"
        )

    def _result(self, result: CheckResult) -> None:
        head = f"{result.status.upper():4}  {result.check:{self._pad}}  "
        indent = " " * len(head)
        lines = textwrap.wrap(result.message, self._width - len(indent), break_long_words=False) or [""]
        self._stream.write(f"{self._paint(head, result.status)}{lines[0]}\n")
        for line in lines[1:]:
            self._stream.write(f"{indent}{line}\n")
        for suggestion in result.suggestions:
            wrapped = textwrap.wrap(suggestion, self._width - len(indent) - 2, break_long_words=False)
            for number, line in enumerate(wrapped):
                self._stream.write(f"{indent}{'→ ' if number == 0 else '  '}{line}\n")
        self._stream.flush()

    def _paint(self, head: str, status: str) -> str:
        return f"\x1b[{_COLOURS[status]}m{head[:4]}\x1b[0m{head[4:]}" if self._colour else head

    def _clear(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
