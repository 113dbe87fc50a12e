"""Configuration, model and environment as rows to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.series.about import about
from probes.runlog import Run

MAX_ROWS, MAX_LETTERS = 200, 400


def config_rows(run: Run) -> list[tuple[str, str]]:
    """The configuration, nested keys joined by dots."""
    return flat(run.config)


def environment_rows(run: Run) -> list[tuple[str, str]]:
    """Where and with what the run was made."""
    return flat(run.manifest.get("environment") or {})


def model_rows(run: Run) -> list[tuple[str, str]]:
    """Model and optimizer in a line each; the configuration has a table of its own."""
    return [(label, value) for label, value in about(run) if label not in ("Configuration", "Runs at")]


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """(key, value) rows in order; long values are cut, and so are more rows than anybody reads."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            rows += flat(value, f"{prefix}{key}.")
            continue
        said = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        rows.append((f"{prefix}{key}", said if len(said) <= MAX_LETTERS else said[: MAX_LETTERS - 1] + "…"))
    return rows[:MAX_ROWS]
