"""How often the diagnosis is right, on the trainer's corpus and on independent programs: ``make diagnosis-benchmark``.

Trains nothing: the corpus is made by ``python -m trainer.corpus --out DIR``, the programs by
``python -m benchmarks.diagnosis.programs --folder DIR``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.diagnosis.cases import PARTS, read_cases
from probes.errors import BabysitError

HEAD = """# How often the diagnosis is right

Made by `make diagnosis-benchmark`, which records what is missing (the first time this takes an hour or two), judges all
of it and writes this page. What a rule says is in [rules/](rules/README.md).

**The corpus** are trainings of the reference trainer: recipes in healthy variants, and recipes with one named fault
each. A run is *harmed* when its score on validation examples is worse than that of the same recipe without the fault;
a fault that did no harm is counted apart. *Expected* are the findings that name the fault or what it does, at warning
or above. The corpus is split by configuration: rules were improved with the **development** part in sight; the
**locked** part is counted only, and no threshold was tuned on it. The **crossed** part was added when the rules stood:
healthy variants of the development part with another seed or with a fault; afterwards rules were improved with it in
sight too, and what was said of it before that is kept. The *delay* is the step at which the verdict is given
when the run is judged as it stood at that step, the earliest of sixteen moments between 1% and 90% of the run.
"""

PROGRAMS = """
## Independent programs

`benchmarks/diagnosis/programs/` holds training programs that are no recipes of the trainer: textbook trainings
(tutorials of PyTorch, examples of papers and books) and ports of faulty programs that are discussed on Stack Overflow,
GitHub and in the literature on fault detection. Each is a loop of its own around `probes.watch`, written without a look
at a threshold. A healthy one verifies that it learns, a faulty one that it fails. Half of them, by a hash of the name,
are locked: counted, never looked into (one, `mixup`, was, after a change of a rule had made it alarm: it counts as dev
since). The *fresh* set and the *second* to *eleventh* were written later, by people who did not know the rules:
*first sight* counts what was said of them before anybody mended a rule for them, the row above it what is said now. The
second was written while rules were mended for the first; the fourth, sixth and seventh are to be what people meet most
often. Of the fifth, first sight is by rules that had not been mended since the fourth; of the sixth, by those mended
for the fifth (the rules before found 20 of its 35); one healthy program was added when those were mended for it, too.
Of the seventh to the eleventh, it is by rules that had been mended for all sets before. The eighth is to be
what the rules have not met: ports from the studies of training bugs, the common mistakes in uncommon nets, health that
looks ill. The ninth to the eleventh are ordinary days: the mistakes asked about most often, and what people run;
one program of the ninth was recorded anew, because recording had hidden PyTorch's warnings from the probes.
What is said now is of recordings by the probes as they are now; first sight, of those by the probes of its day.
Lists of expected findings that were completed after the first sight count there too: four of the first two sets, which
moved the counts from 37 and 36 to 38 and 37, and from 35 and 33 to 37 and 35, and two of the third. Each faulty program
of these sets has a twin with its mistake mended, which must reach the score that the faulty one misses: what is said of
it is a false alarm, or a fault that the score does not show.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diagnosis", description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="folder of the recorded corpus")
    parser.add_argument("--programs", type=Path, help="folder of the recorded programs")
    parser.add_argument("--part", choices=(*PARTS, "all"), default="all")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="runs judged at a time")
    parser.add_argument("--every-run", action="store_true", help="a line for each dev run, not only for the wrong ones")
    parser.add_argument("--write", type=Path, help="put the tables into this Markdown file")
    args = parser.parse_args(arguments)
    from benchmarks.diagnosis.tables import details, report
    from benchmarks.diagnosis.verdicts import judge_all

    try:
        cases = [case for case in read_cases(args.corpus) if args.part in ("all", case.part)]
    except BabysitError as error:
        print(error, file=sys.stderr)
        return 2
    verdicts = judge_all(cases, args.jobs)
    text = f"{HEAD}\n{_extent(len(cases))}\n\n{report(verdicts)}"
    if args.programs is not None:
        from benchmarks.diagnosis.programs import PROGRAMS as PROGRAM_LIST
        from benchmarks.diagnosis.programs.judge import counts, judge

        text += PROGRAMS + "\n" + counts(judge(list(PROGRAM_LIST.values()), args.programs)) + "\n"
    print(details(verdicts, every=args.every_run))
    print(text)
    if args.write:
        args.write.write_text(text, encoding="utf-8")
    return 0


def _extent(judged: int) -> str:
    """How much of what is planned this is about."""
    from trainer.corpus.plan import planned

    return (
        f"Judged here: {judged} of {len(planned())} planned runs. Left out are those not recorded yet, variants "
        "without a fault that did not reach their score, and faulty runs without a healthy one to compare with."
    )


if __name__ == "__main__":
    sys.exit(main())
