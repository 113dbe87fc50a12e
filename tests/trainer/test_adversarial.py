"""The game of two networks: against a loop by hand, a distance by hand, resumed, watched, and not misjudged."""

from __future__ import annotations

import math
import os
import signal

import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import probes
from trainer import checkpoint, loop
from trainer.adversarial import frechet_distance, validate
from trainer.assembly import assemble
from trainer.errors import RecipeError
from trainer.loop import train
from trainer.recipe import load_recipe
from trainer.targets import check_target
from trainer.tasks import TASKS

FAST = ["training.threads=1", "training.epochs=3", "model.width=8", "training.batch_size=256"]


def saved(run_dir):
    return torch.load(run_dir / checkpoint.FILE, weights_only=True)


def test_the_game_agrees_with_one_written_by_hand(tmp_path):
    """As PyTorch's tutorial has it, with the noise drawn in the same order."""
    recipe = load_recipe("digits-gan", [*FAST, "schedule.name=constant"])
    train(recipe, tmp_path / "run", watched=False)

    parts = assemble(recipe)
    generator, discriminator = parts.model.generator, parts.model.discriminator
    of_generator = torch.optim.Adam(generator.parameters(), 0.001, (0.5, 0.999))
    of_discriminator = torch.optim.Adam(discriminator.parameters(), 0.001, (0.5, 0.999))
    loss = nn.BCEWithLogitsLoss()
    for epoch in range(3):
        for real, ones in parts.batches.epoch(epoch):
            of_discriminator.zero_grad()
            fake = generator(torch.randn(len(real), 16)).detach()
            (loss(discriminator(real), ones) + loss(discriminator(fake), 0 * ones)).backward()
            of_discriminator.step()
            of_generator.zero_grad()
            loss(discriminator(generator(torch.randn(len(real), 16))), ones).backward()
            of_generator.step()
    state = saved(tmp_path / "run")["model"]
    assert all(value.equal(state[name]) for name, value in parts.model.state_dict().items())


def test_it_learns_to_draw_digits(tmp_path):
    """All ten of them, as a classifier trained on real digits sees what it draws."""
    quick = ["training.threads=1", "training.epochs=12", "training.validate_every=12", "model.width=16"]
    recipe = load_recipe("digits-gan", [*quick, "training.batch_size=32", "optimizer.lr=0.003"])
    outcome = train(recipe, tmp_path / "run", watched=False)
    start, score = validate(assemble(recipe))[1], outcome.score
    assert start < 0 and score > 0.6
    assert (outcome.criterion, outcome.metric) == ("frechet_distance", "frechet_score")

    digits = TASKS["digits"].make(preprocessing=["scale-to-symmetric"]).train
    classifier = LogisticRegression(max_iter=200).fit(digits.inputs.flatten(1).numpy(), digits.targets.numpy())

    def drawn(model: nn.Module) -> np.ndarray:
        """How often a classifier of real digits sees each digit among 500 drawings."""
        with torch.no_grad():
            images = model.eval()(model.noise(500, torch.Generator().manual_seed(3)))
        return np.bincount(classifier.predict(images.flatten(1).numpy()), minlength=10)

    model = assemble(recipe).model
    assert drawn(model).max() > 400  # grey, all alike
    model.load_state_dict(saved(tmp_path / "run")["model"])
    assert drawn(model).min() >= 10 and drawn(model).max() < 150


def test_the_distance_is_its_formula():
    generator = np.random.default_rng(0)
    a = generator.normal(size=(300, 6)) @ generator.normal(size=(6, 6)) + 1
    b = generator.normal(size=(200, 6)) @ generator.normal(size=(6, 6))
    cov_a, cov_b = np.cov(a.T, bias=True), np.cov(b.T, bias=True)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert frechet_distance(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(torch.from_numpy(a), torch.from_numpy(a)) == pytest.approx(0, abs=1e-6)
    constant = torch.from_numpy(b.mean(0)).expand(50, 6)  # a generator that has collapsed to the mean
    assert frechet_distance(constant, torch.from_numpy(b)) == pytest.approx(np.trace(cov_b), rel=1e-6)


def test_a_game_of_nan_has_no_distance():
    nan = torch.full((9, 6), torch.nan)
    assert math.isnan(frechet_distance(nan, torch.randn(9, 6))) and math.isnan(frechet_distance(torch.randn(9, 6), nan))


@pytest.mark.parametrize("fault", ["nan-in-data", "blank-inputs"])
def test_a_game_on_broken_data_is_trained_to_its_end(fault, tmp_path):
    recipe = load_recipe("digits-gan", [*FAST, "training.epochs=1", f'faults.names=["{fault}"]'])
    assert math.isnan(train(recipe, tmp_path / "run", watched=False).score)


def test_resuming_equals_never_stopping_to_the_bit(tmp_path, monkeypatch):
    recipe = load_recipe("digits-gan", FAST)
    whole = train(recipe, tmp_path / "whole", watched=False)
    real, calls = loop.set_learning_rates, iter(range(1, 1000))

    def interrupting(optimizer, factor):
        if next(calls) == 14:
            os.kill(os.getpid(), signal.SIGINT)
        real(optimizer, factor)

    monkeypatch.setattr(loop, "set_learning_rates", interrupting)
    part = train(recipe, tmp_path / "parts", watched=False)
    monkeypatch.undo()
    assert 0 < part.steps < whole.steps
    torch.manual_seed(99)
    assert train(recipe, tmp_path / "parts", watched=False, resume=True) == whole
    ours, theirs = saved(tmp_path / "parts"), saved(tmp_path / "whole")
    assert all(value.equal(ours["model"][name]) for name, value in theirs["model"].items())
    for name in ("optimizer", "discriminator_optimizer"):
        for number, values in theirs[name]["state"].items():
            assert all(value.equal(ours[name]["state"][number][key]) for key, value in values.items())


def test_both_players_are_watched_and_a_step_is_a_pair(tmp_path):
    recipe = load_recipe("digits-gan", FAST)
    bare = train(recipe, tmp_path / "bare", watched=False)
    assert train(recipe, tmp_path / "run", every=2) == bare
    run = probes.open_run(tmp_path / "run")
    steps = list(range(1, bare.steps + 1))
    for name in ("generator_loss", "discriminator_loss", "discriminator_accuracy"):
        assert run.series(f"train/{name}").steps.tolist() == steps
    assert run.series("val/frechet_distance").values[-1] == bare.loss
    # No series that rules take for the loss of a training that has to fall.
    assert not {"train/loss", "val/loss"} & set(run.series_names)
    assert [run.series(f"optimizer/lr/{i}").steps.tolist() for i in (0, 1)] == [steps, steps]
    ratios = run.layer_series("update_ratio")
    for player in ("generator", "discriminator"):
        columns = [i for i, name in enumerate(ratios.layers) if name.startswith(player) and "conv" in name]
        assert columns and (ratios.values[:, columns] > 0).all()


def test_a_healthy_game_is_not_called_ill(tmp_path):
    settings = ["training.threads=1", "training.epochs=8", "training.validate_every=4", "model.width=8"]
    train(load_recipe("digits-gan", settings), tmp_path / "run")
    findings = probes.diagnose(tmp_path / "run").findings
    assert [f.rule for f in findings if f.severity != "info"] == []


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_it_plays_in_mixed_precision(precision, tmp_path):
    settings = ["training.threads=1", "training.epochs=6", "model.width=8", f'training.precision="{precision}"']
    outcome = train(load_recipe("digits-gan", [*settings, "training.clip_norm=5.0"]), tmp_path / "run", watched=False)
    assert outcome.score > validate(assemble(load_recipe("digits-gan", settings)))[1] + 0.3


def test_the_sanity_checks_look_at_the_discriminator():
    target = check_target("digits-gan")
    batches = list(target["data"])
    assert [b[0].equal(a[0]) for a, b in zip(batches, target["data"], strict=True)] == [True] * len(batches)
    inputs, answers = batches[0]
    assert inputs.shape == (128, 1, 8, 8) and answers.mean() == 0.5
    own = {id(p) for group in target["optimizer"].param_groups for p in group["params"]}
    assert own == {id(p) for p in target["model"].parameters()}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.l1=0.1", ["training.l1 = 0.1", "GAN", "allowed: 0"]),
        ("training.average_last=3", ["training.average_last = 3", "GAN"]),
    ],
)
def test_settings_that_mean_nothing_in_a_game_are_refused(override, words):
    with pytest.raises(RecipeError) as error:
        assemble(load_recipe("digits-gan", [override]))
    assert all(word in str(error.value) for word in words)
