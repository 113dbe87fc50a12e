"""Writes docs/rules from the docstrings of the rules: ``python -m probes.diagnosis.docs [--check]
[FOLDER]``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from probes.diagnosis.registry import RULES
from probes.diagnosis.text import index, markdown


def pages() -> dict[str, str]:
    """File name -> content of every page."""
    listed = list(RULES.values())
    return {"README.md": index(listed)} | {f"{rule.slug}.md": markdown(rule) for rule in listed}


def drift(folder: Path) -> list[str]:
    """What differs between ``folder`` and the docstrings: one line each; empty when nothing does."""
    wanted = pages()
    found = {path.name for path in folder.glob("*.md")}
    stale = [f"{name}: no rule is called so" for name in sorted(found - wanted.keys())]
    missing = [f"{name}: missing" for name in sorted(wanted.keys() - found)]
    changed = [
        f"{name}: differs from the docstring"
        for name in sorted(wanted.keys() & found)
        if (folder / name).read_text(encoding="utf-8") != wanted[name]
    ]
    return stale + missing + changed


def write(folder: Path) -> None:
    """Write every page, and remove those of rules that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for path in folder.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages, or with --check only compare them; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/rules"))
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a page has drifted")
    args = parser.parse_args(argv)
    if not args.check:
        write(args.folder)
        return 0
    found = drift(args.folder)
    for line in found:
        print(f"{args.folder}/{line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
