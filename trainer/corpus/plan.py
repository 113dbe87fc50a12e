"""Which trainings the corpus has."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from trainer.corpus.bases import BASES, Base
from trainer.corpus.crossed import CROSSED
from trainer.corpus.faulty import PLACES
from trainer.corpus.healthy import VARIANTS

Part = Literal["dev", "crossed", "locked"]
PARTS: tuple[Part, ...] = ("dev", "crossed", "locked")
AS_IT_IS = "as-it-is"


@dataclass(frozen=True)
class Planned:
    """One training.

    Attributes:
        name: unique; the name of its run directory.
        part: "dev", "crossed" or "locked".
        recipe, overrides: what is trained, without seed and fault.
        fault, seed: the fault injected, if any, and the seed.
        at_least: the validation score that makes it healthy (for an ill one, that of its reference).
        every: cadence of per-layer frames, as `probes.watch` takes it.
        reference: name of the run without the fault, of the same seed and length; of a healthy one, its own.
    """

    name: str
    part: Part
    recipe: str
    overrides: tuple[str, ...]
    fault: str | None
    seed: int
    at_least: float
    reference: str
    every: int | str

    @property
    def settings(self) -> list[str]:
        """Everything set in the recipe, as `trainer.recipe.load_recipe` takes it."""
        faults = [] if self.fault is None else [f"faults.names={json.dumps([self.fault])}"]
        return [*self.overrides, f"training.seed={self.seed}", *faults]


def planned(part: str = "all", only: str = "*") -> list[Planned]:
    """Every training of a part ("dev", "crossed", "locked" or "all") whose name matches the shell pattern ``only``.

    References come first, so that a run always finds its own.
    """
    chosen = [run for run in _everything() if part in (run.part, "all") and fnmatch.fnmatch(run.name, only)]
    return sorted(chosen, key=lambda run: run.reference != run.name)


def _everything() -> Iterator[Planned]:
    for base in BASES.values():
        for seed in range(base.healthy_seeds):
            yield _healthy(base, AS_IT_IS, (), seed)
        for line in VARIANTS[base.name].split("\n"):
            if words := line.split():
                run = _healthy(base, words[0], tuple(words[1:]), seed=0)
                yield run
                if base.part == "dev":
                    yield _again(run)
    for fault, places in PLACES.items():
        for name in places.split():
            base = BASES[name]
            reference = f"{name}.{AS_IT_IS}.0"
            run = f"{name}.{fault}.0"
            yield Planned(run, base.part, base.recipe, base.overrides, fault, 0, base.at_least, reference, base.every)
    for fault, places in CROSSED.items():
        for place in places.split():
            yield _with_fault(_variant(place), fault)


def _variant(place: str) -> Planned:
    """The healthy run of ``place`` (base.label) at seed 0."""
    name, label = place.split(".")
    words = next(words for line in VARIANTS[name].split("\n") if (words := line.split()) and words[0] == label)
    return _healthy(BASES[name], label, tuple(words[1:]), seed=0)


def _again(run: Planned) -> Planned:
    """A healthy variant with another seed."""
    name = f"{run.name.removesuffix('.0')}.1"
    return replace(run, name=name, part="crossed", seed=1, reference=name)


def _with_fault(run: Planned, fault: str) -> Planned:
    """A healthy variant with a fault."""
    name = f"{run.name.removesuffix('.0')}.{fault}.0"
    return replace(run, name=name, part="crossed", fault=fault, reference=run.name)


def _healthy(base: Base, label: str, overrides: tuple[str, ...], seed: int) -> Planned:
    name = f"{base.name}.{label}.{seed}"
    return Planned(
        name, base.part, base.recipe, (*base.overrides, *overrides), None, seed, base.at_least, name, base.every
    )
