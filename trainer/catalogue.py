"""The parts that recipes can name, as the Markdown tables of docs/trainer.md: `python -m trainer.catalogue
[FILE]`.

Without a file the tables are printed; with one, they replace what stands between its two catalogue markers.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from trainer.faults import FAULTS, Fault
from trainer.losses import LOSSES
from trainer.models import MODELS
from trainer.optimizers import OPTIMIZERS
from trainer.registry import Entry, Registry
from trainer.schedules import SCHEDULES
from trainer.tasks import TASKS
from trainer.toml_writer import to_toml

SECTIONS: tuple[tuple[str, Registry], ...] = (
    ("task", TASKS),
    ("model", MODELS),
    ("loss", LOSSES),
    ("optimizer", OPTIMIZERS),
    ("schedule", SCHEDULES),
)
START, END = "<!-- catalogue -->", "<!-- end of catalogue -->"


def catalogue() -> str:
    """One table a section: name, what it is, options with their defaults."""
    return "\n".join([*(_table(section, registry) for section, registry in SECTIONS), _faults()])


def with_catalogue(text: str) -> str:
    """``text`` with the tables between its markers."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{catalogue()}{END}{after}"


def _table(section: str, registry: Registry) -> str:
    rows = [
        f"| `{entry.name}` | {entry.summary.replace('``', '`')} | {_options(entry)} |" for entry in registry.values()
    ]
    return "\n".join([f"### `[{section}]`\n", "| name | | options |", "|---|---|---|", *rows, ""])


def _faults() -> str:
    rows = [f"| `{fault.name}` | {fault.summary} | {_slugs(fault)} |" for fault in FAULTS.values()]
    return "\n".join(["### `[faults]`\n", "| name | what is wrong | findings expected |", "|---|---|---|", *rows, ""])


def _slugs(fault: Fault) -> str:
    return " ".join(f"`{slug}`" for slug in fault.findings)


def _options(entry: Entry) -> str:
    return " ".join(
        f"`{name}` {_shown(entry.defaults[name]) if name in entry.defaults else '(needed)'}" for name in entry.types
    )


def _shown(value: Any) -> str:
    return "none" if value is None else to_toml({"x": value}).strip().removeprefix("x = ")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        page = Path(sys.argv[1])
        page.write_text(with_catalogue(page.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(catalogue(), end="")
