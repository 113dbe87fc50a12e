"""L1 against the lasso of scikit-learn, and against its gradient by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso
from torch import nn

import probes
from trainer.assembly import assemble
from trainer.loop import take_step, train
from trainer.recipe import load_recipe
from trainer.regularization import l1_norm

LINEAR = [
    "model.name=softmax-regression",
    "optimizer.name=sgd",
    "optimizer.lr=0.1",
    "training.batch_size=400",
    "training.drop_last=false",
    "training.threads=1",
]


def test_weights_are_those_of_the_lasso(tmp_path):
    """A linear model of the diabetes data: scikit-learn minimises half our loss by coordinate descent."""
    l1 = 0.2
    settings = [f"training.l1={l1}", "schedule.name=cosine", "training.epochs=1500", "training.validate_every=1500"]
    settings += [
        "training.checkpoint_every=0",
        "optimizer.name=nesterov",
        "optimizer.lr=0.05",
        "optimizer.momentum=0.95",
    ]
    recipe = load_recipe("diabetes-mlp", [*LINEAR, *settings])
    train(recipe, tmp_path / "run", watched=False)
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["model"]
    data = assemble(recipe).task.train
    lasso = Lasso(alpha=l1 / 2).fit(data.inputs.numpy(), data.targets[:, 0].numpy())
    assert 2 <= np.count_nonzero(lasso.coef_) <= 8
    np.testing.assert_allclose(state["head.weight"][0].numpy(), lasso.coef_, atol=2e-3)
    assert state["head.bias"].item() == pytest.approx(lasso.intercept_, abs=2e-3)


def test_one_step_adds_the_sign_of_each_weight_and_leaves_biases_alone():
    plain, penalised = (assemble(load_recipe("diabetes-mlp", [*LINEAR, f"training.l1={l1}"])) for l1 in (0.0, 0.01))
    inputs, targets = next(iter(plain.batches))
    before = plain.model.head.weight.detach().clone()
    take_step(plain, plain.model, inputs, targets)
    measured = take_step(penalised, penalised.model, inputs, targets)
    torch.testing.assert_close(
        penalised.model.head.weight, plain.model.head.weight - 0.1 * 0.01 * before.sign(), rtol=0, atol=1e-7
    )
    assert penalised.model.head.bias.equal(plain.model.head.bias)
    assert measured["l1_penalty"].item() == pytest.approx(0.01 * before.abs().sum().item())


def test_what_is_counted():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))
    model[2].weight = model[0].weight  # tied: once
    assert l1_norm(model).item() == pytest.approx(model[0].weight.abs().sum().item())
    model[0].weight.requires_grad_(False)
    assert l1_norm(model).item() == 0


def test_the_logged_loss_is_without_the_penalty(small_recipe, tmp_path):
    """So that training and validation loss can be compared, as with weight decay."""
    recipe = load_recipe(small_recipe(), ["training.l1=0.01", "training.epochs=1", "model.dropout=0.0"])
    train(recipe, tmp_path / "run")
    run = probes.open_run(tmp_path / "run")
    assert run.series("train/loss").values[0] == pytest.approx(np.log(10), abs=0.05)
    parts = assemble(recipe)
    expected = 0.01 * sum(p.abs().sum().item() for p in parts.model.parameters() if p.ndim > 1)
    assert run.series("train/l1_penalty").values[0] == pytest.approx(expected, rel=1e-5)
