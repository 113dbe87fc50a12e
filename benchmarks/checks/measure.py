"""Run the checks on cases and keep what they said, one line of JSON a case: a long measurement can be continued."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import probes

BUDGET = 30.0  # seconds of processor time: what else the machine does must not decide a result

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One call of `probes.check`.

    Attributes:
        group: the set it belongs to.
        name: unique in its group.
        make: the arguments.
        right: for a fault, the checks of which one must speak; empty for a healthy case.
        word: what the message or a suggestion of the right check must hold.
        least: what the right check must say at least, "warn" or "fail".
        fault: the fault's name, where several cases share one.
        part: of the corpus, "dev" or "locked".
    """

    group: str
    name: str
    make: Callable[[], Arguments]
    right: tuple[str, ...] = ()
    word: str = ""
    least: str = "warn"
    fault: str | None = None
    part: str = ""


@dataclass(frozen=True)
class Said:
    """What one check said."""

    status: str
    message: str
    suggestions: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Record:
    """What all checks said about one case, and the processor time that took."""

    said: Mapping[str, Said]
    seconds: float
    error: str = ""

    @property
    def failed(self) -> bool:
        return bool(self.error) or any(said.status == "fail" for said in self.said.values())

    @property
    def warned(self) -> bool:
        return not self.failed and any(said.status == "warn" for said in self.said.values())

    @property
    def loud(self) -> dict[str, Said]:
        """The checks that warned or failed."""
        return {slug: said for slug, said in self.said.items() if said.status in ("warn", "fail")}


def caught_by(case: Case, record: Record) -> str | None:
    """The right check that spoke, loudly enough, and named the thing; None when the fault was missed."""
    for slug in case.right:
        said = record.said.get(slug)
        if said is None or not (said.status == "fail" or (case.least == "warn" and said.status == "warn")):
            continue
        if case.word in " ".join([said.message, *said.suggestions]):
            return slug
    return None


def run(case: Case, checks: list[str] | None = None) -> Record:
    """The checks on one case, in this process."""
    torch.manual_seed(0)
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # broadcasting and the like: the faults are meant
        try:
            report = probes.check(**case.make(), checks=checks, budget=BUDGET, clock=time.process_time)
        except probes.BabysitError as error:
            return Record({}, time.process_time() - started, str(error))
    said = {r.check: Said(r.status, r.message, tuple(r.suggestions), r.seconds) for r in report.results}
    return Record(said, report.seconds)


def read(path: Path) -> dict[tuple[str, str], Record]:
    """The records kept so far by group and name; the last one of a case counts, check by check."""
    found: dict[tuple[str, str], Record] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        data = json.loads(line)
        said = {slug: Said(s[0], s[1], tuple(s[2]), s[3]) for slug, s in data["said"].items()}
        key = (data["group"], data["name"])
        if data["part"] and key in found:
            said = {**found[key].said, **said}
            found[key] = Record(said, sum(s.seconds for s in said.values()), data["error"])
        else:
            found[key] = Record(said, data["seconds"], data["error"])
    return found


def measure(cases: Iterable[Case], path: Path, checks: list[str] | None = None, again: bool = False) -> None:
    """Run the cases that `path` has no record of (all of them with `again`), appending to it."""
    wanted = list(cases)
    kept = {} if again or checks else read(path)
    missing = [case for case in wanted if (case.group, case.name) not in kept]
    started = time.monotonic()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        for index, case in enumerate(missing):
            note = f"{index + 1}/{len(missing)} {case.group}: {case.name} ({time.monotonic() - started:.0f} s)"
            print(f"\r\x1b[K{note}", end="", file=sys.stderr, flush=True)
            record = run(case, checks)
            said = {
                slug: [s.status, s.message, list(s.suggestions), round(s.seconds, 4)] for slug, s in record.said.items()
            }
            line = {"group": case.group, "name": case.name, "part": checks is not None, "error": record.error}
            stream.write(json.dumps({**line, "seconds": round(record.seconds, 3), "said": said}) + "\n")
            stream.flush()
    print("\r\x1b[K", end="", file=sys.stderr)
