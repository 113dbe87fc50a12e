"""What was said of the fresh programs when they were judged for the first time, before anybody mended a rule for them.

Kept in a file beside this one: a verdict that stands there is never replaced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("fresh_first_sight.json")


@dataclass(frozen=True)
class Sight:
    """Rules said at warning or above: of the whole run, the first root cause first, and of a part of a healthy one."""

    findings: tuple[str, ...]
    midway: tuple[str, ...] = ()


def read(path: Path = FILE) -> dict[str, Sight]:
    """Name of a program -> what was said of it at first sight."""
    raw = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {name: Sight(tuple(one["findings"]), tuple(one["midway"])) for name, one in raw.items()}


def keep(sights: Mapping[str, Sight], path: Path = FILE) -> None:
    """Add those of ``sights`` that are not kept yet."""
    kept = {**sights, **read(path)}
    lines = (
        f"  {json.dumps(name)}: {json.dumps({'findings': one.findings, 'midway': one.midway})}"
        for name, one in sorted(kept.items())
    )
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
