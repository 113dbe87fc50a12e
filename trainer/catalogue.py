"""The recipes and the parts they can name, as the Markdown tables of docs/trainer.md: `python -m trainer.catalogue
[FILE]`.

Without a file the tables are printed; with one, they replace what stands between its markers. With `--train` the
recipes are trained to the end first, and what they reached is kept beside them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer import results
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
MARKS = {
    "results": ("<!-- results -->", "<!-- end of results -->"),
    "catalogue": ("<!-- catalogue -->", "<!-- end of catalogue -->"),
}


def catalogue() -> str:
    """One table a section: name, what it is, options with their defaults."""
    return "\n".join([*(_table(section, registry) for section, registry in SECTIONS), _faults()])


def with_catalogue(text: str) -> str:
    """``text`` with the tables between their markers."""
    for name, made in (("results", results.table(results.load())), ("catalogue", catalogue())):
        start, end = MARKS[name]
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        text = f"{before}{start}\n{made}{end}{after}"
    return text


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


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m trainer.catalogue", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="write the tables into this page")
    parser.add_argument(
        "--train",
        nargs="*",
        metavar="RECIPE",
        help="train these recipes first (none named: those changed since they were measured)",
    )
    parser.add_argument("--seeds", type=int, default=3, choices=range(1, 11), metavar="N", help="trainings of each")
    args = parser.parse_args(arguments)
    if args.train is not None:
        results.measure_all(args.train, args.seeds)
    if args.file:
        args.file.write_text(with_catalogue(args.file.read_text(encoding="utf-8")), encoding="utf-8")
    elif args.train is None:
        print(results.table(results.load()) + "\n" + catalogue(), end="")


if __name__ == "__main__":
    main()
