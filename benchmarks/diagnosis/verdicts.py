"""What the diagnosis, and the published criteria beside it, say of one recorded run: at its end and on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np

import probes
from benchmarks.diagnosis.baselines import BASELINES
from benchmarks.diagnosis.cases import Case
from probes.diagnosis.finding import Finding, rank
from probes.diagnosis.view import RunView

MOMENTS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of a run at which it is judged as well, as if it had only come this far."""

AFTER_ONSET = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100)
"""Steps after the onset of a disaster at which the run is judged as well."""

DISASTERS = ("nonfinite-values", "exploding-gradients", "loss-diverging", "dead-units")


@dataclass(frozen=True)
class Found:
    """A finding at warning or above: its slug and its own first step."""

    rule: str
    severity: str
    first_step: int


@dataclass(frozen=True)
class Verdict:
    """One case, judged.

    Attributes:
        steps: its length.
        found: said of the whole run, the first root cause first.
        midway: (step, slug) of whatever was said of a part of a healthy run.
        flagged: the earliest step at which an expected finding was given, of those tried; None when never.
        onset: the step at which a disaster began (a loss that is no number, the first step of an expected disaster).
        after_onset: the earliest step at which any expected disaster was reported; None when there was none.
        baselines: what each published tool reports: its own terms, and whether one of them is expected.
    """

    case: Case
    steps: int
    found: tuple[Found, ...]
    midway: tuple[tuple[int, str], ...]
    flagged: int | None
    onset: int | None
    after_onset: int | None
    baselines: dict[str, tuple[tuple[str, ...], bool]]

    @property
    def detected(self) -> bool:
        """An expected finding at warning or above at the end."""
        return any(found.rule in self.case.expected for found in self.found)

    @property
    def first(self) -> bool:
        """The first root cause is an expected one."""
        return bool(self.found) and self.found[0].rule in self.case.expected


def judge_all(cases: Sequence[Case], jobs: int = 1) -> list[Verdict]:
    """A verdict on each case, ``jobs`` at a time."""
    if jobs <= 1:
        return [judge(case) for case in cases]
    with get_context("fork").Pool(jobs) as pool:
        return pool.map(judge, cases, chunksize=1)


def judge(case: Case) -> Verdict:
    """Judge one case at its end and at `MOMENTS`, and a disaster step by step from its onset."""
    run = probes.open_run(case.path)
    end = run.last_step or 0
    found = _loud(run, None)
    moments = sorted({max(1, round(share * end)) for share in MOMENTS} - {end})
    midway: list[tuple[int, str]] = []
    flagged = onset = after_onset = None
    if case.label == "healthy":
        midway = [(step, one.rule) for step in moments for one in _loud(run, step)]
    elif any(one.rule in case.expected for one in found):
        flagged = next((step for step in moments if _names(run, step, case.expected)), end)
        onset = _onset(run, found, case.expected)
    if onset is not None:
        looked = [step for step in (onset + more for more in AFTER_ONSET) if step <= end]
        named = (*case.expected, *DISASTERS)
        after_onset = next((step for step in looked if _names(run, step, named)), flagged)
    view = RunView.of_run(run)
    with np.errstate(all="ignore"):
        said = {name: tool(view) for name, tool in BASELINES.items()}
    return Verdict(
        case,
        end,
        tuple(Found(one.rule, one.severity, one.first_step) for one in found),
        tuple(midway),
        flagged,
        onset,
        after_onset,
        {
            name: (
                tuple(flag.term for flag in flags),
                any(slug in case.expected for flag in flags for slug in flag.slugs),
            )
            for name, flags in said.items()
        },
    )


def _loud(run: probes.Run, step: int | None) -> tuple[Finding, ...]:
    report = probes.diagnose(run, at_step=step)
    return tuple(one for one in report.findings if rank(one.severity) >= rank("warning"))


def _names(run: probes.Run, step: int, slugs: Sequence[str]) -> bool:
    return any(one.rule in slugs for one in _loud(run, step))


def _onset(run: probes.Run, found: Sequence[Finding], expected: Sequence[str]) -> int | None:
    """When a disaster began: a loss that is no number, or else the first step of an expected one."""
    if "train/loss" in run.series_names:
        loss = run.series("train/loss")
        broken = ~np.isfinite(loss.values)
        if broken.any():
            return int(loss.steps[int(np.argmax(broken))])
    return min((one.first_step for one in found if one.rule in DISASTERS and one.rule in expected), default=None)
