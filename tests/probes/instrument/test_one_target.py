"""Broadcast targets, told from the gradient at the outputs; beside every loss that compares with an example's own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import probes
from probes.instrument.recognition.one_target import OneTarget

ROWS = 32
Loss = Callable[[Tensor, Tensor], Tensor]


def drawn(loss: Loss, rows: int = ROWS, frames: int = 40, seed: int = 0, spread: float = 2.0) -> list[float]:
    """What is said of scores [rows, 1] and targets [rows], both drawn at random, under a loss of the two."""
    generator = torch.Generator().manual_seed(seed)
    one = OneTarget()
    said: list[float] = []
    for step in range(frames):
        scores = (spread * torch.randn(rows, 1, generator=generator)).requires_grad_()
        targets = 3.0 + torch.randn(rows, generator=generator)
        (gradient,) = torch.autograd.grad(loss(scores, targets), scores)
        found = one.look(step, 0.0, (rows, 1), scores.detach().numpy().ravel(), gradient.numpy().ravel())
        said += [value for _, _, value in found]
    return said


@pytest.fixture(autouse=True)
def without_pytorchs_own_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize(
    "loss",
    [
        F.mse_loss,
        lambda o, t: F.mse_loss(o, t, reduction="sum"),
        lambda o, t: 0.5 * ((o - t) ** 2).mean() / 4,
        F.l1_loss,
        lambda o, t: F.l1_loss(o, t, reduction="sum"),
    ],
)
def test_scores_beside_a_row_of_targets_are_told(loss: Loss):
    assert len(drawn(loss)) >= 25


def test_the_value_is_the_mean_of_the_targets():
    generator = torch.Generator().manual_seed(0)
    means = []
    for _ in range(40):
        torch.randn(ROWS, 1, generator=generator)
        means.append(float((3.0 + torch.randn(ROWS, generator=generator)).mean()))
    said = drawn(F.mse_loss)
    np.testing.assert_allclose(said, means[: len(said)], atol=1e-4)


def own(loss: Loss) -> Loss:
    return lambda o, t: loss(o.squeeze(1), t)


@pytest.mark.parametrize(
    "loss",
    [
        own(F.mse_loss),
        own(F.l1_loss),
        own(F.smooth_l1_loss),
        own(lambda o, t: F.binary_cross_entropy_with_logits(o, (t > 3).float())),
        own(lambda o, t: F.soft_margin_loss(o, (t > 3).float() * 2 - 1)),
        own(lambda o, t: F.poisson_nll_loss(o, t.abs())),
        own(lambda o, t: F.relu(1 - o * torch.sign(t - 3)).mean()),
        lambda o, t: -o.mean(),  # the critic of a Wasserstein GAN
        lambda o, t: ((o - 1) ** 2).mean(),  # least squares GAN: one label for all
        lambda o, t: (o - o.mean()).square().mean(),  # the spread of the outputs
        lambda o, t: (o.std() - 1).square(),
        lambda o, t: (o - o.T).abs().mean(),  # the mean difference of all pairs
        lambda o, t: F.relu(1 - (o - o.T) * torch.sign(t[:, None] - t)).mean(),  # ranking by pairs
        lambda o, t: o.exp().mean() - o.mean(),
        lambda o, t: F.softplus(o).mean(),
        lambda o, t: (o.mean() - t.mean()) ** 2,
        lambda o, t: F.mse_loss(o.squeeze(1).sort()[0], t.sort()[0]),  # optimal transport: pairs by order
    ],
)
@pytest.mark.parametrize("spread", [0.01, 2.0, 50.0])
def test_what_compares_each_with_its_own_is_not(loss: Loss, spread: float):
    assert drawn(loss, spread=spread) == []


def test_two_labels_in_turn_are_not():
    """A critic that sees batches of real examples and of generated ones."""
    turn = iter(range(100))
    assert drawn(lambda o, t: ((o - next(turn) % 2) ** 2).mean()) == []


def test_a_line_through_points_without_noise_is_not():
    """Where targets are a multiple of the input, as the scores are, gradients are in order, too: but not for long."""
    one, weight = OneTarget(), -2.0
    generator = torch.Generator().manual_seed(0)
    for step in range(30):
        x = torch.randn(ROWS, 1, generator=generator)
        scores = (weight * x).requires_grad_()
        (gradient,) = torch.autograd.grad(F.mse_loss(scores, 3 * x + 2), scores)
        assert one.look(step, 0.0, (ROWS, 1), scores.detach().numpy().ravel(), gradient.numpy().ravel()) == []
        weight += 0.05


@pytest.mark.parametrize("shapes", ["broadcast", "mended"])
@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss])
def test_a_training_is_told_without_its_loss(tmp_path: Path, loss: Loss, shapes: str):
    torch.manual_seed(1)
    x = torch.randn(400, 6)
    y = x @ torch.randn(6) + 0.5 * torch.randn(400)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with probes.watch(model, optimizer, tmp_path / "run", every=1) as probe:
        for _ in range(60):
            rows = torch.randint(400, (ROWS,))
            outputs = model(x[rows])
            value = loss(outputs if shapes == "broadcast" else outputs.squeeze(1), y[rows])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            probe.log("train", loss=value.item())
    report = probes.diagnose(tmp_path / "run")
    found = [finding for finding in report.findings if finding.rule == "loss-output-mismatch"]
    assert len(found) == (shapes == "broadcast")
    assert all("broadcast" in finding.message and finding.severity == "warning" for finding in found)
