"""Which trainings the corpus has."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator
from dataclasses import dataclass

from trainer.corpus.bases import BASES, Base, Part
from trainer.corpus.faulty import PLACES
from trainer.corpus.healthy import VARIANTS

PARTS: tuple[Part, ...] = ("dev", "locked")
AS_IT_IS = "as-it-is"


@dataclass(frozen=True)
class Planned:
    """One training.

    Attributes:
        name: unique; the name of its run directory.
        part: "dev" or "locked".
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
    """Every training of a part ("dev", "locked" or "all") whose name matches the shell pattern ``only``.

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
                yield _healthy(base, words[0], tuple(words[1:]), seed=0)
    for fault, places in PLACES.items():
        for name in places.split():
            base = BASES[name]
            reference = f"{name}.{AS_IT_IS}.0"
            run = f"{name}.{fault}.0"
            yield Planned(run, base.part, base.recipe, base.overrides, fault, 0, base.at_least, reference, base.every)


def _healthy(base: Base, label: str, overrides: tuple[str, ...], seed: int) -> Planned:
    name = f"{base.name}.{label}.{seed}"
    return Planned(
        name, base.part, base.recipe, (*base.overrides, *overrides), None, seed, base.at_least, name, base.every
    )
