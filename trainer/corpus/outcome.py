"""What is kept of one run of the corpus beside its log."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from trainer.corpus.plan import Planned

FILE = "outcome.json"


@dataclass(frozen=True)
class RunOutcome:
    """How a planned training ended.

    Attributes:
        settings: recipe and settings it was made with; another plan makes it anew.
        note: why there is no score ("took longer than 60 s"); empty when it ended by itself.
        loss, score: on the validation examples, at the end.
        guess: the score of the best constant answer.
        steps, seconds: optimizer steps, wall-clock time.
    """

    settings: tuple[str, ...]
    note: str = ""
    loss: float = float("nan")
    score: float = float("nan")
    guess: float = float("nan")
    steps: int = 0
    seconds: float = 0.0

    @property
    def done(self) -> bool:
        return not self.note


def settings_of(run: Planned) -> tuple[str, ...]:
    return (run.recipe, *run.settings, *([] if run.every == "auto" else [f"every={run.every}"]))


def save_outcome(outcome: RunOutcome, run_dir: Path) -> None:
    """Writes it whole or not at all: a run killed in between has none and is made anew."""
    temporary = run_dir / f"{FILE}.tmp"
    temporary.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
    os.replace(temporary, run_dir / FILE)


def load_outcome(run: Planned, run_dir: Path) -> RunOutcome | None:
    """The outcome in ``run_dir``; None when there is none, or it is that of another training."""
    try:
        found = json.loads((run_dir / FILE).read_text(encoding="utf-8"))
        outcome = RunOutcome(**{**found, "settings": tuple(found["settings"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return outcome if outcome.settings == settings_of(run) else None
