"""What was said of runs when they were judged for the first time, before anybody mended a rule for them.

Kept in files beside this one: a verdict that stands there is never replaced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).with_name("programs_first_sight.json")
"""Of the fresh sets of independent programs."""

CORPUS = Path(__file__).with_name("corpus_first_sight.json")
"""Of the crossed part of the corpus."""


@dataclass(frozen=True)
class Sight:
    """Rules said at warning or above: of the whole run, the first root cause first, and of a part of a healthy one."""

    findings: tuple[str, ...]
    midway: tuple[str, ...] = ()


def read(path: Path = PROGRAMS) -> dict[str, Sight]:
    """Name of a program or run -> what was said of it at first sight."""
    raw = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {name: Sight(tuple(one["findings"]), tuple(one["midway"])) for name, one in raw.items()}


def keep(sights: Mapping[str, Sight], path: Path = PROGRAMS) -> None:
    """Add those of ``sights`` that are not kept yet."""
    kept = {**sights, **read(path)}
    lines = (
        f"  {json.dumps(name)}: {json.dumps({'findings': one.findings, 'midway': one.midway})}"
        for name, one in sorted(kept.items())
    )
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
