"""A development measurement of the diagnosis on the trainer's recipes: ``python -m benchmarks.diagnosis``.

Thresholds have been looked at with these runs in sight: this is no test on unseen runs.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.diagnosis.plan import planned

HEAD = """# How often the diagnosis is right: a development measurement

Made by `python -m benchmarks.diagnosis --write docs/diagnosis.md`: recipes of the trainer, shortened to seconds, as
they are, in healthy variants (other optimizers, rates, batch sizes, activations, schedules) and with one named fault
each. **The rules were improved with these runs in sight: this says where they stand, and is no measurement on unseen
runs.** What a rule says is in [rules/](rules/README.md).

A run is harmed when its own validation score stays below 0.9 of that of the healthy run of the same recipe, length
and seed; the others learned in spite of their fault (a leaked validation split raises the score). "Expected" are the
findings that the fault names, at warning or above; many faults name rules that are not written yet
(`validation-anomaly`, `weight-decay-too-strong`, `underfitting`, `noisy-loss`, `oscillating-loss`,
`training-too-short`, `loss-output-mismatch`). They count as missed.

"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diagnosis", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "babysit-corpus")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--limit", type=float, default=25.0, help="seconds after which a training is ended")
    parser.add_argument("--judge-only", action="store_true", help="train nothing, judge what is there")
    parser.add_argument("--every-run", action="store_true", help="a line for each run, not only for the wrong ones")
    parser.add_argument("--write", type=Path, help="put the tables into this Markdown file")
    args = parser.parse_args()
    runs = planned(args.seeds)
    if not args.judge_only:
        from benchmarks.diagnosis.train import train_all  # torch is not needed for judging

        train_all(runs, args.folder, args.limit)
    from benchmarks.diagnosis.table import judged, report

    results = judged(runs, args.folder)
    text, details = report(results, every=args.every_run)
    print(details)
    print(text)
    if args.write:
        args.write.write_text(HEAD + text, encoding="utf-8")


if __name__ == "__main__":
    main()
