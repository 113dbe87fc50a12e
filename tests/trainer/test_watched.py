"""A training watched by the probes: undisturbed, and the run says what happened."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import probes
from trainer import checkpoint, loop
from trainer.errors import CheckpointError
from trainer.loop import train
from trainer.recipe import as_document, load_recipe
from trainer.targets import check_target

SERIES = {"train/loss", "train/accuracy", "val/loss", "val/accuracy", "optimizer/lr"}


def test_probes_change_nothing_and_record_everything(small_recipe, tmp_path):
    recipe = load_recipe(small_recipe(), ['training.augment=["noise"]'])
    bare = train(recipe, tmp_path / "bare", watched=False)
    watched = train(recipe, tmp_path / "watched", every=5)
    assert (watched.loss, watched.score) == (bare.loss, bare.score)
    ours, theirs = (torch.load(tmp_path / name / checkpoint.FILE, weights_only=True) for name in ("watched", "bare"))
    assert all(ours["model"][key].equal(theirs["model"][key]) for key in theirs["model"])
    assert ours["rng"][0].equal(theirs["rng"][0])

    run = probes.open_run(tmp_path / "watched")
    assert run.status == "finished"
    assert set(run.series_names) >= SERIES
    assert run.config == as_document(recipe) | {"total_steps": 66}
    assert run.series("train/loss").steps.tolist() == list(range(1, 67))
    assert run.series("val/accuracy").steps.tolist() == [0, 22, 44, 66]
    assert run.series("val/accuracy").values[-1] == pytest.approx(watched.score)
    rates = run.series("optimizer/lr").values
    assert rates.argmax() in (10, 11) and rates[-1] < 0.02 * rates.max()  # half an epoch of warm-up, then a cosine
    assert "fc1.weight" in run.layer_series("update_ratio").layers


def test_a_resumed_run_goes_on_in_the_same_log(small_recipe, tmp_path, monkeypatch):
    recipe = load_recipe(small_recipe())
    train(recipe, tmp_path / "whole", every=5)

    import os
    import signal

    real, calls = loop.set_learning_rates, iter(range(1, 1000))

    def interrupting(optimizer, factor):
        if next(calls) == 50:
            os.kill(os.getpid(), signal.SIGINT)
        real(optimizer, factor)

    monkeypatch.setattr(loop, "set_learning_rates", interrupting)
    train(recipe, tmp_path / "parts", every=5)
    monkeypatch.undo()
    stopped = probes.open_run(tmp_path / "parts")
    assert stopped.status == "finished"
    assert stopped.series("train/loss").steps[-1] == 50

    train(recipe, tmp_path / "parts", every=5, resume=True)
    whole, parts = probes.open_run(tmp_path / "whole"), probes.open_run(tmp_path / "parts")
    for name in sorted(SERIES):
        left, right = whole.series(name), parts.series(name)
        np.testing.assert_array_equal(left.steps, right.steps, err_msg=name)
        np.testing.assert_array_equal(left.values, right.values, err_msg=name)


def test_a_run_that_cannot_be_resumed_is_left_as_it_was(small_recipe, tmp_path):
    recipe = load_recipe(small_recipe(), ["training.epochs=1"])
    train(recipe, tmp_path / "run", every=5)
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    with pytest.raises(CheckpointError):
        train(load_recipe(small_recipe(), ["model.widths=[3]"]), tmp_path / "run", resume=True)
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


def test_check_target_is_what_the_loop_trains(small_recipe):
    target = check_target(small_recipe(), ["model.dropout=0.0"])
    assert set(target) == {"model", "loss_fn", "data", "optimizer"}
    inputs, targets = next(iter(target["data"]))
    loss = target["loss_fn"](target["model"](inputs), targets)
    assert loss.item() == pytest.approx(np.log(10), abs=0.02)  # small weights in the head: a guess among ten
    ours = {id(p) for group in target["optimizer"].param_groups for p in group["params"]}
    assert ours == {id(p) for p in target["model"].parameters()}
    assert len(list(target["data"])) == len(list(target["data"])) == 22


def test_a_training_begun_unwatched_can_be_resumed_watched(small_recipe, tmp_path):
    """The log begins where the probes came, with the numbers of a training watched throughout."""
    path = small_recipe()
    settings = ["schedule.name=constant"]
    train(load_recipe(path, [*settings, "training.epochs=3"]), tmp_path / "whole", every=5)
    train(load_recipe(path, [*settings, "training.epochs=1"]), tmp_path / "parts", watched=False)
    train(load_recipe(path, [*settings, "training.epochs=3"]), tmp_path / "parts", every=5, resume=True)
    whole, parts = probes.open_run(tmp_path / "whole"), probes.open_run(tmp_path / "parts")
    assert (parts.status, parts.problems) == ("finished", [])
    assert parts.manifest["sessions"][0]["start_step"] == 22
    for name in ("train/loss", "train/accuracy", "optimizer/lr"):
        series = parts.series(name)
        assert series.steps.tolist() == list(range(23, 67))
        np.testing.assert_array_equal(series.values, whole.series(name).values[22:])
    assert parts.series("val/loss").steps.tolist() == [44, 66]
    begun = parts.layer_series("update_ratio").steps[0]
    assert begun > 22
    findings = probes.diagnose(tmp_path / "parts").findings
    assert [f.rule for f in findings if f.severity != "info"] == []


def test_a_training_begun_anew_in_the_same_place_supersedes_the_old(small_recipe, tmp_path):
    """As a fold of a cross-validation that was killed before its first checkpoint."""
    train(load_recipe(small_recipe(), ["training.epochs=2"]), tmp_path / "run", every=5)
    train(load_recipe(small_recipe(), ["training.epochs=1"]), tmp_path / "run", every=5)
    run = probes.open_run(tmp_path / "run")
    assert run.series("train/loss").steps.tolist() == list(range(1, 23))
