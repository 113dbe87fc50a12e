"""Folds against their definition and scikit-learn's; whole cross-validations, interrupted and resumed."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

import probes
from probes.runlog.discovery import list_runs
from trainer import cross_validation, loop
from trainer.assembly import assemble
from trainer.cross_validation import cross_validate
from trainer.errors import RecipeError
from trainer.folds import assign
from trainer.loop import train
from trainer.recipe import load_recipe


@given(st.integers(2, 9), st.integers(9, 200), st.integers(1, 5), st.integers(1, 4))
def test_folds_are_disjoint_whole_even_and_stratified(folds, count, repeat, classes):
    labels = torch.from_numpy(np.random.default_rng(count).integers(0, classes, count))
    for given_classes in (None, labels):
        fold = assign(given_classes, count, folds, repeat)
        sizes = torch.bincount(fold, minlength=folds)
        assert len(sizes) == folds and sizes.sum() == count and sizes.max() - sizes.min() <= 1
    for label in labels.unique():
        sizes = torch.bincount(fold[labels == label], minlength=folds)
        assert sizes.max() - sizes.min() <= 1


def test_classes_are_spread_as_scikit_learn_spreads_them():
    labels = assemble(load_recipe("wine-mlp")).task.train.targets
    ours = assign(labels, len(labels), 5, 1)
    for number, (_, held_out) in enumerate(StratifiedKFold(5).split(np.zeros(len(labels)), labels)):
        counts = torch.bincount(labels[ours == number], minlength=3).numpy()
        assert np.abs(counts - np.bincount(labels[held_out], minlength=3)).max() <= 1


def test_repeats_are_other_folds_and_the_same_again():
    first, again, second = (assign(None, 100, 5, repeat) for repeat in (1, 1, 2))
    assert first.equal(again) and not first.equal(second)


def rows(inputs: torch.Tensor) -> list[bytes]:
    return sorted(row.numpy().tobytes() for row in inputs)


@pytest.mark.parametrize("name", ["wine-mlp", "breast-cancer-mlp", "diabetes-mlp", "digits-mlp"])
def test_every_example_is_held_out_once_and_nothing_of_it_is_known(name):
    raw = assemble(load_recipe(name, ["task.preprocessing=[]"])).task
    everything = rows(torch.cat([raw.train.inputs, raw.validation.inputs]))
    held_out, overrides = [], ["task.preprocessing=[]", "fold.of=4"]
    for number in range(1, 5):
        plain = assemble(load_recipe(name, [*overrides, f"fold.number={number}"])).task
        assert rows(torch.cat([plain.train.inputs, plain.validation.inputs])) == everything
        held_out += rows(plain.validation.inputs)
        # Standardised by hand, with the statistics of the training examples alone.
        task = assemble(load_recipe(name, ["fold.of=4", f"fold.number={number}"])).task
        known, new = plain.train.inputs.double().numpy(), plain.validation.inputs.double().numpy()
        axes = tuple(axis for axis in range(known.ndim) if axis != 1)
        mean, std = known.mean(axes, keepdims=True), known.std(axes, keepdims=True)
        np.testing.assert_allclose(task.validation.inputs.numpy(), (new - mean) / std, rtol=1e-4, atol=1e-5)
        if task.problem == "regression":
            assert task.train.targets.mean().item() == pytest.approx(0, abs=1e-6)
            assert task.train.targets.std(correction=0).item() == pytest.approx(1, rel=1e-5)
    assert sorted(held_out) == everything


def test_wrong_labels_and_rare_classes_are_those_of_the_training_examples():
    settings = ["fold.of=3", "fold.number=2"]
    clean, wrong, rare = (
        assemble(load_recipe("digits-mlp", [*settings, *more])).task
        for more in ([], ["task.mislabelled=0.3"], ["task.imbalance=10"])
    )
    assert (wrong.train.targets != clean.train.targets).float().mean().item() == pytest.approx(0.3, abs=1e-3)
    for task in (wrong, rare):
        assert task.validation.targets.equal(clean.validation.targets)
    counts = torch.bincount(rare.train.targets)
    assert counts[0] == torch.bincount(clean.train.targets)[0] and counts[9] / counts[0] == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(
    ("name", "overrides", "words"),
    [
        ("scenes-cnn", ["fold.of=5"], ["digit-scenes", "several scenes"]),
        ("wine-mlp", ["fold.of=1"], ["fold.of = 1", "from 2"]),
        ("wine-mlp", ["fold.of=5", "fold.number=6"], ["fold.number = 6", "1 to 5"]),
        ("wine-mlp", ["fold.of=49"], ["fold.of = 49", "smallest class", "48"]),
        ("patches-mlp", ["fold.of=5"], ["photo-patches", "overlap"]),
    ],
)
def test_what_cannot_be_split_so_is_refused(name, overrides, words):
    with pytest.raises(RecipeError) as error:
        assemble(load_recipe(name, overrides))
    assert all(word in str(error.value) for word in words)


WINE = ["training.threads=1", "training.epochs=3"]


def test_a_cross_validation_is_its_folds(tmp_path):
    recipe = load_recipe("wine-mlp", WINE)
    done = cross_validate(recipe, tmp_path / "cv", 3, 2, every=10)
    names = [f"repeat-{r}-fold-{n}" for r in (1, 2) for n in (1, 2, 3)]
    assert list(done.results) == names
    scores = [probes.open_run(tmp_path / "cv" / name).series("val/accuracy").values[-1] for name in names]
    np.testing.assert_allclose(done.score, (np.mean(scores), np.std(scores, ddof=1)), rtol=1e-6)
    document = json.loads((tmp_path / "cv" / "folds.json").read_text())
    assert document["score"] == {"mean": done.score[0], "std": done.score[1]}
    # Each is a recipe of its own, and trained alone gives the same.
    alone = load_recipe(str(tmp_path / "cv" / "repeat-2-fold-3" / "recipe.toml"))
    assert (alone.fold.of, alone.fold.number, alone.fold.repeat, alone.training.seed) == (3, 3, 2, 1)
    assert train(alone, tmp_path / "alone", watched=False).loss == done.results["repeat-2-fold-3"].loss
    runs = [path.name for path in list_runs(tmp_path / "cv")]
    assert runs == names  # what the dashboard finds


def test_an_interrupted_cross_validation_goes_on_as_if_nothing_had_happened(tmp_path, monkeypatch):
    recipe = load_recipe("wine-mlp", WINE)
    whole = cross_validate(recipe, tmp_path / "whole", 3, watched=False)

    real, calls = loop.set_learning_rates, iter(range(1, 10_000))
    steps = 3 * len(assemble(load_recipe("wine-mlp", [*WINE, "fold.of=3"])).batches)

    def interrupting(optimizer, factor):
        if next(calls) == steps + 4:  # in the second fold
            os.kill(os.getpid(), signal.SIGINT)
        real(optimizer, factor)

    monkeypatch.setattr(loop, "set_learning_rates", interrupting)
    part = cross_validate(recipe, tmp_path / "parts", 3, watched=False)
    monkeypatch.undo()
    assert part.interrupted_by == signal.SIGINT and list(part.results) == ["fold-1"]
    assert cross_validation.planned(tmp_path / "parts") == (3, 1)

    trained = []
    rest = cross_validate(
        recipe, tmp_path / "parts", 3, watched=False, resume=True, report=lambda name, *_: trained.append(name)
    )
    assert trained == ["fold-2", "fold-3"]
    assert rest.results == whole.results
    with pytest.raises(RecipeError, match="3 folds x 1 repeats, found --folds 4"):
        cross_validate(recipe, tmp_path / "parts", 4, resume=True)
    for damaged in ("", "[]", '{"folds": 3, "repeats": 1, "results": {"fold-1": {"loss": 1}}}'):
        (tmp_path / "parts" / "folds.json").write_text(damaged)
        with pytest.raises(RecipeError, match=r"folds\.json: not readable"):
            cross_validate(recipe, tmp_path / "parts", 3, resume=True)


def test_symbols_are_split_into_folds_as_they_are(tmp_path):
    inputs = np.random.default_rng(0).integers(0, 5, (60, 7))
    np.savez(tmp_path / "d.npz", x_train=inputs, y_train=inputs[:, 0])
    own = ["task.name=npz", f"task.path={tmp_path / 'd.npz'}", "task.symbols=true", "fold.of=3"]
    task = assemble(load_recipe("recall-gru", [*own, "training.batch_size=8"])).task
    assert task.train.inputs.dtype == torch.int64 and task.train.inputs[:, 0].equal(task.train.targets)
