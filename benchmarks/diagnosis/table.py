"""Judges the trained runs and counts: false alarms on healthy ones, detections and first root causes on ill ones."""

from __future__ import annotations

import collections
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import probes
from benchmarks.diagnosis.plan import Planned
from benchmarks.diagnosis.train import DONE
from probes.diagnosis.finding import Finding, rank
from trainer.faults import FAULTS

SHARE = 0.9
"""A run whose score stays below this share of that of the healthy run of the same recipe was harmed."""

Verdict = Literal["healthy", "ill", "harmless"]


@dataclass(frozen=True)
class Judged:
    """One run: what it is by its own score (`verdict`), and the findings at warning or above."""

    run: Planned
    verdict: Verdict
    score: float
    steps: int
    findings: tuple[Finding, ...]

    @property
    def expected(self) -> tuple[str, ...]:
        return FAULTS[self.run.fault].findings if self.run.fault else ()

    @property
    def detected(self) -> bool:
        return any(finding.rule in self.expected for finding in self.findings)

    @property
    def first(self) -> bool:
        return bool(self.findings) and self.findings[0].rule in self.expected


def judged(runs: Sequence[Planned], folder: Path) -> list[Judged]:
    """Every run of the folder that was trained to its end."""
    outcomes = {run.name: _outcome(folder / run.name) for run in runs}
    results = []
    for run in runs:
        outcome = outcomes[run.name]
        if outcome is None:
            continue
        score = float(outcome["score"])
        verdict: Verdict = "healthy"
        twin = outcomes.get(f"{run.recipe}.as-it-is.{run.seed}")
        if run.fault is not None:
            if twin is None:
                continue
            bar = SHARE * float(twin["score"])
            harmed = not math.isfinite(float(outcome["loss"])) or not score >= bar
            verdict = "ill" if harmed else "harmless"
        elif twin is not None and not score >= SHARE * float(twin["score"]):
            continue  # a variant that does not learn is no healthy run
        report = probes.diagnose(folder / run.name)
        loud = tuple(finding for finding in report.findings if rank(finding.severity) >= 1)
        results.append(Judged(run, verdict, score, int(outcome["steps"]), loud))
    return results


def _outcome(place: Path) -> dict[str, float] | None:
    if not (place / DONE).exists():
        return None
    outcome: dict[str, float] = json.loads((place / DONE).read_text())
    return None if "left_out" in outcome else outcome


def report(results: Sequence[Judged], *, every: bool = False) -> tuple[str, str]:
    """(the tables as Markdown, one line for each run that was judged wrongly or, with ``every``, for each)."""
    healthy = [r for r in results if r.verdict == "healthy"]
    ill = [r for r in results if r.verdict == "ill"]
    harmless = [r for r in results if r.verdict == "harmless"]
    alarms = [r for r in healthy if r.findings]
    lines = [
        f"- healthy runs: {len(healthy)}, with a warning or worse: {len(alarms)}",
        f"- runs that a fault harmed: {len(ill)}; anything at all said: {sum(bool(r.findings) for r in ill)}; "
        f"an expected finding: {sum(r.detected for r in ill)}; expected and first: {sum(r.first for r in ill)}",
        f"- runs that learned in spite of their fault: {len(harmless)}, with a warning or worse: "
        f"{sum(bool(r.findings) for r in harmless)} (an expected one: {sum(r.detected for r in harmless)})",
        "",
        "| fault | harmed | said something | expected finding | expected first | unharmed | of these warned |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for fault in FAULTS:
        bad = [r for r in ill if r.run.fault == fault]
        fine = [r for r in harmless if r.run.fault == fault]
        if bad or fine:
            counts = (
                len(bad), sum(bool(r.findings) for r in bad), sum(r.detected for r in bad), sum(r.first for r in bad),
                len(fine), sum(bool(r.findings) for r in fine),
            )  # fmt: skip
            lines.append(f"| `{fault}` | " + " | ".join(map(str, counts)) + " |")
    rules = collections.Counter(f.rule for r in ill for f in r.findings[:1])
    lines += ["", "First finding of the harmed runs: " + ", ".join(f"{k} {n}" for k, n in rules.most_common()) + "."]
    wrong = [r for r in results if every or r in alarms or (r.verdict == "ill" and not r.first)]
    details = "\n".join(_line(r) for r in wrong)
    return "\n".join(lines) + "\n", details


def _line(result: Judged) -> str:
    said = " ".join(f"{f.rule}@{f.first_step}{'!' if f.severity == 'critical' else ''}" for f in result.findings)
    return f"{result.verdict:8} {result.run.name:52} score {result.score:6.3f} steps {result.steps:5} {said or '-'}"
