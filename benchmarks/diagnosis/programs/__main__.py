"""Run and judge the independent programs: ``python -m benchmarks.diagnosis.programs``."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diagnosis.programs", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "babysit-programs")
    parser.add_argument("--only", default="", help="only programs whose name contains this")
    parser.add_argument("--workers", type=int, default=1, help="programs at a time")
    parser.add_argument("--judge-only", action="store_true", help="run nothing, judge what is there")
    parser.add_argument("--every", action="store_true", help="a line for each program of the open parts")
    parser.add_argument(
        "--keep-first-sight", action="store_true", help="keep what is said of fresh programs not judged before"
    )
    args = parser.parse_args()
    from benchmarks.diagnosis.programs import PROGRAMS  # torch and scikit-learn: not for --help

    chosen = [program for program in PROGRAMS.values() if args.only in program.name]
    if not args.judge_only:
        from benchmarks.diagnosis.programs.record import record

        record(chosen, args.folder, workers=args.workers)
    from benchmarks.diagnosis import first_sight
    from benchmarks.diagnosis.programs.judge import counts, details, judge
    from benchmarks.diagnosis.programs.program import FRESH

    verdicts = judge(chosen, args.folder)
    if args.keep_first_sight:
        first_sight.keep({v.program.name: v.sight for v in verdicts if v.proven and v.program.part in FRESH})
    print(details(verdicts, every=args.every))
    print(counts(verdicts))


if __name__ == "__main__":
    main()
