"""Loops that accumulate, skip, clip and step with one optimizer or several, each trained for real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import probes

Measured = Callable[[probes.Run, str, str], dict[int, float]]


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def loss_of(model: nn.Module, batch: int = 10) -> torch.Tensor:
    return nn.functional.cross_entropy(model(torch.randn(batch, 6)), torch.randint(3, (batch,)))


def test_gradient_accumulation_counts_a_step_an_update(tmp_path: Path, measured: Measured):
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    norms = []
    with probes.watch(model, optimizer, tmp_path / "run", every=1) as probe:
        for _ in range(3):
            optimizer.zero_grad()
            for _ in range(4):
                (loss_of(model) / 4).backward()
            norms.append(model[0].weight.grad.norm().item())
            optimizer.step()
        assert probe.step == 3
    run = probes.open_run(tmp_path / "run")
    assert list(measured(run, "grad_norm", "0.weight").values()) == pytest.approx(norms, rel=1e-5)
    # All four micro-batches are seen: 4 x 10 examples of 8 units.
    assert run.histograms("activation", "0").counts[-1].sum() == 4 * 10 * 8


@pytest.mark.parametrize("fused", [False, True])
def test_skipped_steps_of_a_grad_scaler(fused: bool, tmp_path: Path, measured: Measured):
    model = small()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    expected = {}
    with probes.watch(model, optimizer, tmp_path / "run", every=1) as probe:
        for step in range(1, 7):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = loss_of(model)
            scale = scaler.get_scale()
            scaler.scale(loss).backward()
            if step == 3:
                model[0].weight.grad[0, 0] = float("inf")
            expected[step] = (model[0].weight.grad / scale).norm().item()
            scaler.step(optimizer)
            scaler.update()
        assert probe.step == 6
    run = probes.open_run(tmp_path / "run")
    skipped = run.series("optimizer/skipped")
    assert (skipped.steps.tolist(), skipped.values.tolist()) == ([3], [1.0])
    found = measured(run, "grad_norm", "0.weight")
    for step in (1, 2, 4, 5, 6):
        assert found[step] == pytest.approx(expected[step], rel=1e-4)
    assert 3 not in found or np.isinf(found[3])
    assert run.series("optimizer/lr").steps.tolist() == [1, 2, 3, 4, 5, 6]


def test_an_explicit_unscale_and_clipping_are_reported_as_the_optimizer_sees_them(tmp_path: Path):
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=4096.0)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for _ in range(3):
            optimizer.zero_grad()
            scaler.scale(loss_of(model)).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
            scaler.step(optimizer)
            scaler.update()
    norms = probes.open_run(tmp_path / "run").layer_series("grad_norm").values
    assert np.sqrt((norms**2).sum(1)) == pytest.approx([1e-3] * 3, rel=1e-3)


class Gan(nn.Module):
    """Two nets that are called one by one; its own forward never is."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 6))
        self.critic = nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(), nn.Linear(8, 1))


@pytest.mark.parametrize("critic_steps", [1, 3])
def test_the_two_optimizers_of_a_gan(critic_steps: int, tmp_path: Path, measured: Measured):
    gan = Gan()
    critic_optimizer = torch.optim.Adam(gan.critic.parameters(), lr=1e-2)
    generator_optimizer = torch.optim.Adam(gan.generator.parameters(), lr=1e-3)
    norms: dict[int, float] = {}
    with probes.watch(gan, [critic_optimizer, generator_optimizer], tmp_path / "run", every=1) as probe:
        for _ in range(6):
            for _ in range(critic_steps):
                gan.zero_grad()
                real, fake = torch.randn(8, 6), gan.generator(torch.randn(8, 2)).detach()
                (gan.critic(fake).mean() - gan.critic(real).mean()).backward()
                norms[probe.step + 1] = gan.critic[0].weight.grad.norm().item()
                critic_optimizer.step()
            gan.zero_grad()
            (-gan.critic(gan.generator(torch.randn(8, 2))).mean()).backward()
            generator_optimizer.step()
            probe.log("train", critic=0.0)
    assert probe.step == 6 * critic_steps
    run = probes.open_run(tmp_path / "run")
    assert measured(run, "grad_norm", "critic.0.weight") == pytest.approx(norms, rel=1e-5)
    turns = [critic_steps * (i + 1) for i in range(6)]
    assert list(measured(run, "grad_norm", "generator.0.weight")) == turns
    assert list(measured(run, "update_norm", "generator.0.weight")) == turns
    seen = measured(run, "activation_std", "generator.0")
    assert turns[0] in seen
    assert run.series("optimizer/lr/0").values[0] == 1e-2
    assert run.series("optimizer/lr/1").values[0] == 1e-3
    assert run.series("train/critic").steps.tolist() == turns


def test_parameter_groups_report_their_own_rates(tmp_path: Path):
    model = small()
    optimizer = torch.optim.SGD(
        [{"params": model[0].parameters(), "lr": 0.5}, {"params": model[2].parameters()}], lr=0.1
    )
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    with probes.watch(model, optimizer, tmp_path / "run"):
        for _ in range(3):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
            scheduler.step()
    run = probes.open_run(tmp_path / "run")
    assert run.series("optimizer/lr/0").values.tolist() == [0.5, 0.25, 0.125]
    assert run.series("optimizer/lr/1").values.tolist() == [0.1, 0.05, 0.025]
    groups = run.manifest["optimizers"][0]["groups"]
    assert [g["parameters"] for g in groups] == [["0.weight", "0.bias"], ["2.weight", "2.bias"]]


def test_lbfgs_gradients_are_those_of_its_last_evaluation(tmp_path: Path, measured: Measured):
    model = small()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
    inputs, targets = torch.randn(10, 6), torch.randint(3, (10,))

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        return loss

    norms = []
    with probes.watch(model, optimizer, tmp_path / "run", every=1) as probe:
        for _ in range(3):
            optimizer.step(closure)
            norms.append(model[0].weight.grad.norm().item())
    run = probes.open_run(tmp_path / "run")
    assert probe.step == 3
    assert list(measured(run, "grad_norm", "0.weight").values()) == pytest.approx(norms, rel=1e-5)
    assert all(v > 0 for v in measured(run, "update_norm", "0.weight").values())


def test_an_optimizer_is_found_when_none_is_given(tmp_path: Path, measured: Measured):
    model, other = small(), small()
    other_optimizer = torch.optim.SGD(other.parameters(), lr=0.9)
    with probes.watch(model, run_dir=tmp_path / "run", every=1) as probe:
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        for _ in range(3):
            loss_of(other).backward()
            other_optimizer.step()
            loss_of(model).backward()
            optimizer.step()
        assert probe.step == 3
    run = probes.open_run(tmp_path / "run")
    assert [o["class"] for o in run.manifest["optimizers"]] == ["AdamW"]
    assert run.series("optimizer/lr").values.tolist() == [0.01] * 3
    assert list(measured(run, "grad_norm", "0.weight")) == [1, 2, 3]


def test_two_probes_on_one_model(tmp_path: Path):
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with (
        probes.watch(model, optimizer, tmp_path / "a", every=1),
        probes.watch(model, optimizer, tmp_path / "b", every=1),
    ):
        for _ in range(3):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
    a, b = probes.open_run(tmp_path / "a"), probes.open_run(tmp_path / "b")
    for kind in ("grad_norm", "update_norm", "activation_std", "activation_grad_norm"):
        np.testing.assert_array_equal(a.layer_series(kind).values, b.layer_series(kind).values)
