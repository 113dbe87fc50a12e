"""The recorded runs of the corpus with their labels, read from its table."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from probes.errors import BabysitError

TABLE = "corpus.csv"
PARTS = ("dev", "crossed", "locked")

Label = Literal["healthy", "ill", "harmless"]


@dataclass(frozen=True)
class Case:
    """One recorded run.

    Attributes:
        path: its run directory.
        part: "dev" and "crossed", on which rules may be improved, or "locked", which nobody looks into.
        fault: the fault that was put in; empty for none.
        label: "healthy": no fault, and it learned; "ill": the fault did harm; "harmless": it learned in spite of it.
        expected: slugs that name the fault; empty for a healthy run.
    """

    name: str
    path: Path
    part: str
    fault: str
    label: Label
    expected: tuple[str, ...]


def read_cases(folder: Path) -> list[Case]:
    """Every run of the corpus in ``folder`` that can be judged, in the order of the table.

    A run without a fault that did not learn is no healthy run and is left out, as is one without a score or without
    the healthy run that shows whether its fault did harm.

    Raises:
        BabysitError: there is no table, or it lacks a column.
    """
    path = folder / TABLE
    if not path.is_file():
        raise BabysitError(f"{path} does not exist; make it with: python -m trainer.corpus --out {folder}")
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = {"name", "part", "fault", "healthy", "expected", "harmed"} - set(reader.fieldnames or ())
        if missing:
            raise BabysitError(f"{path} lacks the column(s) {', '.join(sorted(missing))}")
        cases = [_case(row, folder) for row in reader]
    return [case for case in cases if case is not None and (case.path / "run.json").exists()]


def _case(row: Mapping[str, str], folder: Path) -> Case | None:
    label: Label
    if not row["fault"]:
        if not _true(row["healthy"]):
            return None
        label = "healthy"
    elif not row["harmed"]:
        return None
    else:
        label = "ill" if _true(row["harmed"]) else "harmless"
    expected = tuple(slug for slug in row["expected"].split(";") if slug)
    return Case(row["name"], folder / row["name"], row["part"], row["fault"], label, expected)


def _true(text: str) -> bool:
    try:
        value = float(text)
    except ValueError:
        return text.strip().lower() == "true"
    return not math.isnan(value) and value != 0
