"""What the diagnosis says of the recorded programs: false alarms, misses, and both counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import probes
from benchmarks.diagnosis import first_sight
from benchmarks.diagnosis.first_sight import Sight
from benchmarks.diagnosis.programs.program import Part, Program
from benchmarks.diagnosis.programs.record import MENDED, RUN, outcome_of
from probes.diagnosis.finding import Finding, rank

MOMENTS = (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9)
"""Shares of a healthy run at which it is judged as well, as if it had only come this far."""


@dataclass(frozen=True)
class Verdict:
    """One program and the findings at warning or above.

    Attributes:
        proven: a healthy program reached its score, a faulty one did not (and its twin, where it has one, did): only
            these are counted.
        findings: said of the whole run.
        midway: (step, slug) of what was said of a part of it only.
        mended: slugs of what was said of its twin, whose mistake is mended; None where it has none.
    """

    program: Program
    score: float | None
    error: str | None
    proven: bool
    findings: tuple[Finding, ...] = ()
    midway: tuple[tuple[int, str], ...] = ()
    mended: tuple[str, ...] | None = None

    @property
    def sight(self) -> Sight:
        """The slugs alone."""
        return Sight(tuple(f.rule for f in self.findings), tuple(slug for _step, slug in self.midway))

    @property
    def detected(self) -> bool:
        """Whether any finding names what is wrong."""
        return any(finding.rule in self.program.expected for finding in self.findings)

    @property
    def first(self) -> bool:
        """Whether the first finding does."""
        return bool(self.findings) and self.findings[0].rule in self.program.expected


def judge(programs: Sequence[Program], folder: Path, *, midway: bool = True) -> list[Verdict]:
    """A verdict on each program that was run."""
    verdicts = []
    for program in programs:
        outcome = outcome_of(program, folder)
        if outcome is None:
            continue
        if "error" in outcome:
            verdicts.append(Verdict(program, None, outcome["error"], proven=False))
            continue
        score = float(outcome["score"])
        run = probes.open_run(folder / program.name / RUN)
        end = run.last_step or 0
        parts = [int(share * end) for share in MOMENTS] if midway and program.healthy else []
        twin = folder / program.name / MENDED
        verdicts.append(
            Verdict(
                program,
                score,
                None,
                proven=(score >= program.bar) == program.healthy and outcome.get("mended", program.bar) >= program.bar,
                findings=_loud(run, None),
                midway=tuple((step, finding.rule) for step in parts for finding in _loud(run, step)),
                mended=tuple(f.rule for f in _loud(probes.open_run(twin), None)) if twin.exists() else None,
            )
        )
    return verdicts


def _loud(run: probes.Run, step: int | None) -> tuple[Finding, ...]:
    report = probes.diagnose(run, at_step=step)
    return tuple(finding for finding in report.findings if rank(finding.severity) >= rank("warning"))


def counts(verdicts: Sequence[Verdict]) -> str:
    """Markdown table of counts, the parts apart; of the fresh sets also what was said at first sight."""
    lines = [
        "| part | healthy programs | with a warning or worse | also in mid-run | faulty programs | anything said | "
        "expected finding | expected and first | mended twins | with a warning or worse |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    proven = [v for v in verdicts if v.proven]
    seen = first_sight.read()
    for part in get_args(Part):
        mine = [v for v in proven if v.program.part == part]
        lines.append(_row(part, [(v.program, v.sight) for v in mine], [v.mended for v in mine if v.mended is not None]))
        if first := [(v.program, seen[v.program.name]) for v in mine if v.program.name in seen]:
            lines.append(_row(f"{part} (first sight)", first, []))
    return "\n".join(lines)


def _row(name: str, seen: Sequence[tuple[Program, Sight]], mended: Sequence[tuple[str, ...]]) -> str:
    well = [sight for program, sight in seen if program.healthy]
    ill = [(program.expected, sight.findings) for program, sight in seen if not program.healthy]
    cells = (
        len(well), sum(bool(s.findings) for s in well), sum(bool(s.findings or s.midway) for s in well), len(ill),
        sum(bool(said) for _, said in ill), sum(bool({*said} & {*expected}) for expected, said in ill),
        sum(bool(said) and said[0] in expected for expected, said in ill),
        *((len(mended), sum(map(bool, mended))) if mended else ("", "")),
    )  # fmt: skip
    return f"| {name} | " + " | ".join(map(str, cells)) + " |"


def details(verdicts: Sequence[Verdict], *, every: bool = False) -> str:
    """One line for each program of the open parts that was judged wrongly (or, with ``every``, for each)."""
    lines = []
    for verdict in verdicts:
        program = verdict.program
        if not verdict.proven:
            why = verdict.error.strip().splitlines()[-1] if verdict.error else f"score {verdict.score:.3f}"
            lines.append(f"NOT PROVEN   {program.part:6} {program.name:42} bar {program.bar}: {why}")
            continue
        if program.part == "locked":
            continue
        if verdict.mended:
            lines.append(f"TWIN ALARMED {program.name:42} {' '.join(verdict.mended)}")
        said = " ".join(f"{f.rule}@{f.first_step}{'!' if f.severity == 'critical' else ''}" for f in verdict.findings)
        if program.healthy and (verdict.findings or verdict.midway):
            between = " ".join(sorted({f"{slug}@{step}" for step, slug in verdict.midway}))
            lines.append(f"FALSE ALARM  {program.name:42} {said or '-'} | mid-run: {between or '-'}")
        elif not program.healthy and not verdict.first:
            kind = "NOT FIRST  " if verdict.detected else ("OTHER      " if verdict.findings else "MISSED     ")
            lines.append(f"{kind}  {program.name:42} {said or '-'} | expected: {' '.join(program.expected)}")
        elif every:
            lines.append(f"right        {program.name:42} {said or '-'}")
    return "\n".join(lines)
