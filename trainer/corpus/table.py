"""The table of the corpus: one row a run, with its labels."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainer.corpus.outcome import RunOutcome
from trainer.corpus.plan import Planned
from trainer.faults import FAULTS

FILE = "corpus.csv"
COLUMNS = (
    "name", "part", "recipe", "overrides", "fault", "seed", "healthy", "expected", "score", "reference", "harmed",
    "steps", "seconds", "note",
)  # fmt: skip
LOST = 0.1
"""A run is harmed that lost at least this share of what its reference learned, counted from the guess."""
FLATTERED = 0.5
"""A run is flattered when at most this share of its reference's error is left."""


def rows(runs: Sequence[Planned], outcomes: Mapping[str, RunOutcome]) -> list[dict[str, str]]:
    """A row for every run that has an outcome, in the order of the plan. Empty where nothing is known.

    `healthy` is 1 for a run without a fault that reached its score. `harmed` is 1 for a run with a fault that
    did harm (see `harmed`), 0 for one that learned in spite of it.
    """
    return [_row(run, outcomes) for run in runs if run.name in outcomes]


def _row(run: Planned, outcomes: Mapping[str, RunOutcome]) -> dict[str, str]:
    outcome, reference = outcomes[run.name], outcomes.get(run.reference)
    fault = FAULTS[run.fault] if run.fault else None
    healthy = fault is None and outcome.done and outcome.score >= run.at_least
    note = outcome.note
    if fault is None and outcome.done and not healthy:
        note = f"no healthy run: reached {outcome.score:.3f} of {run.at_least:g}"
    hurt: bool | None = None
    if fault is not None and outcome.done and reference is not None and reference.done:
        hurt = harmed(outcome, reference, fault.harm)
    return {
        "name": run.name,
        "part": run.part,
        "recipe": run.recipe,
        "overrides": " ".join(run.overrides),
        "fault": run.fault or "",
        "seed": str(run.seed),
        "healthy": str(int(healthy)),
        "expected": ";".join(fault.findings) if fault else "",
        "score": f"{outcome.score:.4f}" if outcome.done else "",
        "reference": f"{reference.score:.4f}" if reference is not None and reference.done else "",
        "harmed": "" if hurt is None else str(int(hurt)),
        "steps": str(outcome.steps),
        "seconds": f"{outcome.seconds:.2f}",
        "note": note,
    }


def harmed(outcome: RunOutcome, reference: RunOutcome, harm: str) -> bool:
    """Whether a fault did harm, by the validation scores at the end.

    ``harm`` as in `trainer.faults.Fault`: "score", at least a tenth of what the reference learned (its score less
    that of a guess) is missing, or the loss is no number; "flattery", half of the reference's error or more has
    gone; "always".
    """
    if harm == "always":
        return True
    if harm == "flattery":
        return 1 - outcome.score <= FLATTERED * (1 - reference.score)
    bar = reference.score - LOST * (reference.score - reference.guess)
    return not (math.isfinite(outcome.loss) and outcome.score >= bar)


def write_table(table: Sequence[Mapping[str, str]], path: Path) -> None:
    """Writes the rows as CSV; a reader sees the old table or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(table)
    os.replace(temporary, path)
