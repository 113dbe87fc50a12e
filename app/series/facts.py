"""The facts of a run that fit in one line: status, step, time gone and time left."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from app.series.numbers import duration, number, plural
from app.series.pace import series_values

if TYPE_CHECKING:
    from probes.runlog import Run

TOTAL_KEYS = ("total_steps", "max_steps", "num_steps", "train_steps", "n_steps", "steps")
EPOCH_KEYS = ("epochs", "num_epochs", "max_epochs", "n_epochs")
PER_EPOCH_KEYS = ("steps_per_epoch", "batches_per_epoch")
SECTIONS = ("training", "train", "trainer")
RECENT_STEPS = 200


@dataclass(frozen=True)
class Facts:
    """What a run is doing.

    Attributes:
        status: "running", "finished", "crashed" or "stalled".
        reason: why it ended, as recorded; "" when nothing is recorded.
        step: last step recorded, None before the first.
        total: steps planned, None when the configuration does not say.
        elapsed: seconds from the start to the last row recorded, None before the first.
        quiet: seconds since the last row recorded (since the start, before the first).
        per_second: steps per second lately, None when unknown.
        problems: what of the directory could not be read, plain sentences.
    """

    status: str
    reason: str
    step: int | None
    total: int | None
    elapsed: float | None
    quiet: float
    per_second: float | None
    problems: tuple[str, ...]

    @property
    def seconds_left(self) -> float | None:
        """At the recent pace; None when the run has ended, or pace or total is unknown."""
        if self.status != "running" or self.step is None or not self.total or not self.per_second:
            return None
        return max(self.total - self.step, 0) / self.per_second

    @property
    def share(self) -> float | None:
        """Share of the planned steps that is done, 0..1; None when unknown."""
        return min(self.step / self.total, 1.0) if self.step is not None and self.total else None


def facts(run: Run, now: float) -> Facts:
    """The facts of a run as it stands; `now` is Unix time in seconds."""
    status, last_time = run.status, run.last_time
    began = float(run.manifest.get("created") or last_time or now)
    return Facts(
        status=status,
        reason=str(run.manifest.get("reason") or ""),
        step=run.last_step,
        total=total_steps(run.config),
        elapsed=None if last_time is None else max(last_time - began, 0.0),
        quiet=max(now - (last_time or began), 0.0),
        per_second=recent_pace(run),
        problems=tuple(run.problems),
    )


def total_steps(config: Mapping[str, Any]) -> int | None:
    """Steps the configuration plans: a total, or epochs times steps an epoch; None when it says neither."""
    flat = dict(config)
    for section in SECTIONS:
        inner = config.get(section)
        if isinstance(inner, Mapping):
            flat = {**inner, **flat}
    total = _first_count(flat, TOTAL_KEYS)
    if total is not None:
        return total
    epochs, per_epoch = _first_count(flat, EPOCH_KEYS), _first_count(flat, PER_EPOCH_KEYS)
    return epochs * per_epoch if epochs and per_epoch else None


def _first_count(config: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    for key in keys:
        value = config.get(key)
        number_like = isinstance(value, (int, float)) and not isinstance(value, bool)
        if number_like and math.isfinite(value) and value >= 1:
            return int(value)
    return None


def recent_pace(run: Run) -> float | None:
    """Steps per second over the newest `RECENT_STEPS` steps: one over the mean step time."""
    _, seconds = series_values(run, "system/step_time")
    newest = seconds[-RECENT_STEPS:]
    newest = newest[np.isfinite(newest)]
    mean = float(newest.mean()) if len(newest) else 0.0
    return 1 / mean if mean > 0 else None


def words(found: Facts) -> list[str]:
    """The facts as short phrases, in reading order."""
    phrases = []
    if found.step is not None:
        of = f" of {found.total:,}" if found.total else ""
        phrases.append(f"step {found.step:,}{of}")
    if found.elapsed is not None:
        phrases.append(f"{duration(found.elapsed)} elapsed")
    if found.seconds_left is not None:
        phrases.append(f"about {duration(found.seconds_left)} left")
    if found.per_second is not None:
        phrases.append(f"{number(found.per_second)} steps/s")
    return phrases


def explanation(found: Facts) -> str:
    """One sentence on what is going on, where the status alone does not say it; "" where it does."""
    if found.status == "crashed":
        at = f" after {plural(found.step, 'step')}" if found.step is not None else " before the first step"
        return f"The run ended by itself{at}: {found.reason or 'its process went away without closing the run'}."
    if found.status == "stalled":
        return (
            f"Nothing has been written for {duration(found.quiet)}, much longer than this run usually takes. "
            "Its process may hang: look at data loading, a deadlock between ranks, or a paused process."
        )
    if found.step is None and found.status == "running":
        return (
            f"Started {duration(found.quiet)} ago. Curves appear with the first optimizer step, "
            "layers and distributions with the first frame."
        )
    if found.step is None:
        return "The run ended before its first step: there is nothing to draw."
    return found.reason if found.status == "finished" else ""
