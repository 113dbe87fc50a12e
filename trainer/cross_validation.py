"""Trains a recipe once for every fold, and says how much its score varies from fold to fold."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, stdev

from trainer import checkpoint
from trainer.assembly import assemble
from trainer.distributed import processes
from trainer.errors import RecipeError
from trainer.loop import Outcome, train
from trainer.recipe import keep_recipe
from trainer.sections import Fold, Recipe

RESULTS = "folds.json"


@dataclass(frozen=True)
class FoldResult:
    """How the training on one fold ended: ``loss`` and ``score`` on the examples held out."""

    loss: float
    score: float
    metric: str
    criterion: str
    epochs: int
    steps: int


@dataclass(frozen=True)
class CrossValidation:
    """The results of all folds, by the name of their run; ``interrupted_by`` is the signal that stopped it, or
    None."""

    folds: int
    repeats: int
    results: Mapping[str, FoldResult]
    interrupted_by: int | None = None

    @property
    def score(self) -> tuple[float, float]:
        """Mean and standard deviation over all folds."""
        return _spread([result.score for result in self.results.values()])

    @property
    def loss(self) -> tuple[float, float]:
        return _spread([result.loss for result in self.results.values()])


Report = Callable[[str, Path, Outcome], None]


def cross_validate(
    recipe: Recipe,
    folder: Path,
    folds: int,
    repeats: int = 1,
    *,
    watched: bool = True,
    every: int | str = "auto",
    resume: bool = False,
    report: Report = lambda name, run_dir, outcome: None,
) -> CrossValidation:
    """Trains every fold of every repeat into a run directory of its own in ``folder``.

    Each repeat assigns the examples to folds anew and starts from weights of its own (its seed is one higher).
    With ``resume`` finished folds are taken from the folder, one that was interrupted goes on from its
    checkpoint. ``report`` is called after each training.

    Raises:
        RecipeError: ``folds`` or ``repeats`` cannot be meant, or those in the folder are others.
    """
    if folds < 2 or repeats < 1:
        raise RecipeError(f"{folds} folds x {repeats} repeats; allowed: folds from 2, repeats from 1")
    results = read_results(folder, folds, repeats) if resume else {}
    for _, first in itertools.islice(fold_recipes(recipe, folds, repeats), 1):
        assemble(first)  # what is wrong with recipe or folds is said before anything is written
    here = processes()
    if here.leads:
        keep_recipe(recipe, folder)
    for name, one in fold_recipes(recipe, folds, repeats):
        if name in results:
            continue
        run_dir = folder / name
        begun = here.first(lambda run_dir=run_dir: resume and (run_dir / checkpoint.FILE).exists())
        outcome = train(one, run_dir, watched=watched, every=every, resume=begun)
        report(name, run_dir, outcome)
        if outcome.interrupted_by is not None:
            return CrossValidation(folds, repeats, results, outcome.interrupted_by)
        results[name] = FoldResult(
            outcome.loss, outcome.score, outcome.metric, outcome.criterion, outcome.epochs, outcome.steps
        )
        if here.leads:
            _write_results(folder, CrossValidation(folds, repeats, results))
    return CrossValidation(folds, repeats, results)


def fold_recipes(recipe: Recipe, folds: int, repeats: int) -> Iterator[tuple[str, Recipe]]:
    """(name of its run, recipe) of every fold: each can be trained by itself."""
    for repeat in range(1, repeats + 1):
        for number in range(1, folds + 1):
            name = f"fold-{number}" if repeats == 1 else f"repeat-{repeat}-fold-{number}"
            training = replace(recipe.training, seed=recipe.training.seed + repeat - 1)
            yield name, replace(recipe, fold=Fold(folds, number, repeat), training=training)


def planned(folder: Path) -> tuple[int, int] | None:
    """(folds, repeats) of the cross-validation in ``folder``, or None when there is none."""
    document = _read(folder)
    return (document["folds"], document["repeats"]) if document else None


def read_results(folder: Path, folds: int, repeats: int) -> dict[str, FoldResult]:
    """The results of the folds that are finished."""
    document = _read(folder)
    if document is None:
        return {}
    if (document["folds"], document["repeats"]) != (folds, repeats):
        raise RecipeError(
            f"{folder / RESULTS}: {document['folds']} folds x {document['repeats']} repeats, found --folds {folds} "
            f"--repeats {repeats}; leave them out to resume"
        )
    return {name: FoldResult(**result) for name, result in document["results"].items()}


def _read(folder: Path) -> dict | None:
    path = folder / RESULTS
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        for result in document["results"].values():
            FoldResult(**result)
        int(document["folds"]), int(document["repeats"])
        return document
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecipeError(
            f"{path}: not readable as the results of folds ({type(error).__name__}: {error}); remove it to train "
            "every fold anew from its checkpoint"
        ) from None


def _write_results(folder: Path, done: CrossValidation) -> None:
    document = {
        "folds": done.folds,
        "repeats": done.repeats,
        "score": dict(zip(("mean", "std"), done.score, strict=True)),
        "loss": dict(zip(("mean", "std"), done.loss, strict=True)),
        "results": {name: asdict(result) for name, result in done.results.items()},
    }
    temporary = folder / f"{RESULTS}.tmp"
    temporary.write_text(json.dumps(document, indent=1), encoding="utf-8")
    os.replace(temporary, folder / RESULTS)


def _spread(values: list[float]) -> tuple[float, float]:
    """Mean and sample standard deviation."""
    return fmean(values), stdev(values) if len(values) > 1 else 0.0
