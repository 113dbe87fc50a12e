"""Run every check on every set-up and print the tables; ``--write`` puts them into docs/checks/results.md.

About half an hour of processor time. What was measured is kept in a file, and continued with: delete it, or pass
``--again``, after changing a check. ``--again --checks A,B`` measures those two anew and keeps the rest.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
from pathlib import Path

import torch

from benchmarks.checks.cases import all_cases
from benchmarks.checks.measure import measure, read
from benchmarks.checks.tables import page

TARGET = Path(__file__).parents[2] / "docs" / "checks" / "results.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checks", description=__doc__)
    parser.add_argument("--write", action="store_true", help="also write docs/checks/results.md")
    parser.add_argument("--records", type=Path, default=Path("build/checks.jsonl"), help="where measurements are kept")
    parser.add_argument("--only", default="*", metavar="PATTERN", help='cases by "GROUP: NAME", as a shell pattern')
    parser.add_argument("--checks", metavar="A,B", help="only these checks")
    parser.add_argument("--again", action="store_true", help="measure anew what has been measured")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cases = list(all_cases())
    chosen = [case for case in cases if fnmatch.fnmatch(f"{case.group}: {case.name}", arguments.only)]
    checks = arguments.checks.split(",") if arguments.checks else None
    measure(chosen, arguments.records, checks, arguments.again)
    text, right = page(cases, read(arguments.records))
    print(text)
    if arguments.write:
        TARGET.write_text(text, encoding="utf-8")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
