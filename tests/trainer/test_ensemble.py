"""Averages of the last checkpoints: against NumPy, against a loop by hand, and where both kinds are one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import probes
from trainer import checkpoint
from trainer.assembly import assemble
from trainer.ensemble import COMBINE, Snapshots, averaged, ensemble, mean_weights
from trainer.loop import train, validate
from trainer.recipe import load_recipe

SCORES = np.random.default_rng(0).normal(size=(5, 30, 4)) * 4


def softmax(x):
    return np.exp(x) / np.exp(x).sum(2, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(
    ("problem", "predict", "head"),
    [
        ("multi-class", softmax, lambda s: s.softmax(1)),
        ("binary", sigmoid, torch.sigmoid),
        ("multi-label", sigmoid, torch.sigmoid),
        ("unit-regression", sigmoid, torch.sigmoid),
        ("regression", lambda s: s, lambda s: s),
    ],
)
def test_the_prediction_is_the_mean_of_the_predictions(problem, predict, head):
    scores = COMBINE[problem](torch.from_numpy(SCORES))
    np.testing.assert_allclose(head(scores).numpy(), predict(SCORES).mean(0), rtol=1e-9)


def test_probabilities_too_small_for_a_float_are_combined():
    scores = torch.tensor([[[200.0, -200.0]], [[150.0, -150.0]]])
    assert torch.isfinite(COMBINE["multi-class"](scores)).all()
    assert COMBINE["binary"](scores)[0, 0].item() == pytest.approx(150 + np.log(2), abs=1e-3)


def test_weights_are_the_mean_and_counters_the_last():
    states = [{"w": torch.tensor([float(i)]), "n": torch.tensor(i)} for i in (1, 2, 6)]
    mean = mean_weights(states)
    assert mean["w"].item() == 3 and mean["n"].item() == 6


def test_of_a_linear_model_both_averages_are_the_same():
    parts = assemble(load_recipe("diabetes-mlp", ["model.name=softmax-regression"]))
    snapshots = Snapshots(3)
    for _ in range(4):
        nn.init.normal_(parts.model.head.weight)
        snapshots.take(parts.model)
    inputs = parts.task.validation.inputs
    one = averaged(parts.model, snapshots, parts.batches)(inputs)
    torch.testing.assert_close(one, ensemble(parts.model, snapshots, "regression")(inputs))


def test_batch_statistics_are_taken_anew():
    """Those of the averaged weights, over the training examples, as computed by hand."""
    parts = assemble(load_recipe("digits-mlp", ["model.norm=batch", "model.widths=[16]", "model.dropout=0.0"]))
    snapshots = Snapshots(2)
    for _ in range(2):
        for parameter in parts.model.parameters():
            nn.init.normal_(parameter)
        snapshots.take(parts.model)
    model = averaged(parts.model, snapshots, parts.batches)
    means = [model.fc1(inputs.flatten(1)).mean(0) for inputs, _ in parts.batches]
    torch.testing.assert_close(model.norm1.running_mean, torch.stack(means).mean(0), rtol=1e-4, atol=1e-4)
    assert parts.model.norm1.running_mean.eq(0).all()  # the model itself is left alone


@pytest.fixture
def settings():
    return ["training.average_last=2", "model.dropout=0.0", "training.augment=[]", "schedule.name=constant"]


def test_the_last_epochs_are_averaged_logged_and_scored(small_recipe, tmp_path, settings):
    recipe = load_recipe(small_recipe(), [*settings, "training.epochs=4"])
    outcome = train(recipe, tmp_path / "run", every=20)

    parts = assemble(recipe)  # the same by hand: the weights after the third and the fourth epoch
    optimizer = torch.optim.SGD(parts.model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    states, scores = [], []
    for epoch in range(4):
        for inputs, targets in parts.batches.epoch(epoch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(parts.model(inputs), targets).backward()
            optimizer.step()
        states.append({name: p.detach().clone() for name, p in parts.model.named_parameters()})
        with torch.no_grad():
            scores.append(parts.model(parts.task.validation.inputs).softmax(1))
    targets = parts.task.validation.targets
    by_predictions = (scores[2] + scores[3]) / 2
    loss, score = outcome.averages["predictions"]
    assert loss == pytest.approx(-by_predictions[range(len(targets)), targets].log().mean().item(), rel=1e-5)
    assert score == pytest.approx((by_predictions.argmax(1) == targets).double().mean().item())
    parts.model.load_state_dict({name: (states[2][name] + states[3][name]) / 2 for name in states[2]})
    assert outcome.averages["weights"] == pytest.approx(validate(parts), rel=1e-5)
    assert outcome.loss == validate_last(parts, states[3])

    run = probes.open_run(tmp_path / "run")
    for name, (loss, score) in outcome.averages.items():
        for metric, value in (("loss", loss), ("accuracy", score)):
            series = run.series(f"average_of_{name}/{metric}")
            assert (series.steps.tolist(), series.values.tolist()) == ([88], [value])


def validate_last(parts, state):
    parts.model.load_state_dict(state)
    return validate(parts)[0]


def test_resuming_keeps_what_is_to_be_averaged(small_recipe, tmp_path, settings):
    path = small_recipe()
    settings = [*settings, "model.dropout=0.2", "model.norm=batch"]
    whole = train(load_recipe(path, [*settings, "training.epochs=4"]), tmp_path / "whole", watched=False)
    train(load_recipe(path, [*settings, "training.epochs=3"]), tmp_path / "parts", watched=False)
    rest = train(load_recipe(path, [*settings, "training.epochs=4"]), tmp_path / "parts", watched=False, resume=True)
    assert rest.averages == whole.averages
    states = torch.load(tmp_path / "parts" / checkpoint.FILE, weights_only=True)["snapshots"]["states"]
    assert len(states) == 2


def test_averaging_disturbs_nothing(small_recipe, tmp_path, settings):
    path = small_recipe()
    plain = train(load_recipe(path, [*settings, "training.average_last=0"]), tmp_path / "plain", watched=False)
    with_average = train(load_recipe(path, settings), tmp_path / "average", watched=False)
    assert (plain.loss, plain.averages) == (with_average.loss, {})
