"""All cases of the measurement, set by set."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.checks import corpus
from benchmarks.checks.faulty import FAULTY
from benchmarks.checks.fresh import PROGRAMS
from benchmarks.checks.fresh_again import PROGRAMS as AGAIN
from benchmarks.checks.healthy import HEALTHY
from benchmarks.checks.last import LAST
from benchmarks.checks.measure import Case
from benchmarks.checks.unseen import UNSEEN

SETUPS, LATER, FRESH, FRESH_AGAIN = "set-ups", "later set-ups", "programs", "later programs"
FRESH_LAST = "last programs"
SETUPS_FAULTY, FRESH_FAULTY, FRESH_AGAIN_FAULTY = "set-ups, faulty", "programs, faulty", "later programs, faulty"


def all_cases() -> Iterator[Case]:
    """Every case, healthy and faulty."""
    for group, setups in ((SETUPS, HEALTHY), (LATER, UNSEEN)):
        for name, make in setups.items():
            yield Case(group, name, make)
    for name, fault in FAULTY.items():
        yield Case(SETUPS_FAULTY, name, fault.make, (fault.check,), fault.word, fault.least, fault=name)
    for programs, healthy, faulty in ((PROGRAMS, FRESH, FRESH_FAULTY), (AGAIN, FRESH_AGAIN, FRESH_AGAIN_FAULTY)):
        for name, program in programs.items():
            yield Case(healthy, name, partial(program.make, False))
            yield Case(faulty, name, partial(program.make, True), program.right, fault=program.bug)
    for name, make in LAST.items():
        yield Case(FRESH_LAST, name, make)
    yield from corpus.healthy_cases()
    yield from corpus.faulty_cases()
