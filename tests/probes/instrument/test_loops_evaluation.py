"""Passes that do not train, among those that do: evaluations and gradients asked for inputs."""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import probes

Measured = Callable[[probes.Run, str, str], dict[int, float]]


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.parametrize("mode", ["no_grad", "inference", "with_grad"])
def test_evaluation_inside_the_loop_never_mixes_in(mode: str, tmp_path: Path, measured: Measured):
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    context = {"no_grad": torch.no_grad, "inference": torch.inference_mode, "with_grad": torch.enable_grad}[mode]
    maxima = []
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for _ in range(3):
            optimizer.zero_grad()
            with context():
                model(torch.full((10, 6), 1e6))
            inputs = torch.randn(10, 6)
            loss = model(inputs).sum()
            with context():
                model(torch.full((10, 6), 1e6))
            loss.backward()
            maxima.append(nn.functional.linear(inputs, model[0].weight, model[0].bias).abs().max().item())
            optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert list(measured(run, "activation_max_abs", "0").values()) == pytest.approx(maxima, rel=1e-5)
    assert run.layer_series("input_max").values.max() < 1e3


def adversarial(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Large, and with a gradient of its own: what the input should be to raise the output."""
    inputs = (inputs * 1e4).requires_grad_()
    (gradient,) = torch.autograd.grad(model(inputs).square().sum(), inputs)
    return (inputs + gradient).detach()


def saliency(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """By `backward`, which leaves gradients at the parameters as well."""
    inputs = (inputs * 1e4).requires_grad_()
    model(inputs)[:, 0].sum().backward()
    model.zero_grad()
    return inputs.grad


@pytest.mark.parametrize("eval_mode", [True, False])
@pytest.mark.parametrize("ask", [adversarial, saliency])
def test_gradients_of_inputs_are_no_training(ask: Callable, eval_mode: bool, tmp_path: Path, measured: Measured):
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    maxima, gradients = [], []
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for _ in range(3):
            inputs = torch.randn(10, 6)
            for _ in range(12):  # more than the calls that a frame looks at
                model.train(not eval_mode)
                ask(model, inputs)
            model.train()
            optimizer.zero_grad()
            hidden = nn.functional.linear(inputs, model[0].weight, model[0].bias)
            maxima.append(hidden.abs().max().item())
            outputs = model(inputs)
            outputs.sum().backward()
            gradients.append((10 * 3) ** 0.5)
            ask(model, inputs) if ask is adversarial else None
            optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert list(measured(run, "activation_max_abs", "0").values()) == pytest.approx(maxima, rel=1e-5)
    assert list(measured(run, "activation_grad_norm", "2").values()) == pytest.approx(gradients, rel=1e-5)
    assert run.histograms("activation", "0").counts[-1].sum() == 10 * 8
    assert run.layer_series("input_max").values.max() < 1e2


def test_the_penalised_gradient_of_a_critic_is_not_its_training_batch(tmp_path: Path, measured: Measured):
    """WGAN-GP: a gradient with respect to a mixture of inputs, and a backward through that gradient."""
    critic = nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3)
    expected = []
    with probes.watch(critic, optimizer, tmp_path / "run", every=1):
        for _ in range(3):
            real, fake = torch.randn(10, 6), torch.randn(10, 6)
            mixed = ((real + fake) * 1e3).requires_grad_()
            (slope,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
            loss = critic(fake).mean() - critic(real).mean() + (slope.norm(dim=1) - 1).square().mean()
            optimizer.zero_grad()
            expected.append(nn.functional.linear(torch.cat([fake, real]), critic[0].weight, critic[0].bias).abs().max())
            loss.backward()
            optimizer.step()
    run = probes.open_run(tmp_path / "run")
    found = list(measured(run, "activation_max_abs", "0").values())
    assert found == pytest.approx([m.item() for m in expected], rel=1e-5)
    assert measured(run, "activation_grad_norm", "2")[3] == pytest.approx((20 * 0.1**2) ** 0.5, rel=1e-4)


def test_a_net_trained_through_its_own_derivative_is_measured(tmp_path: Path, measured: Measured):
    """A physics-informed net: every pass has gradients of its input, and the loss is made of them."""
    net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, optimizer, tmp_path / "run", every=1):
        for _ in range(2):
            x = torch.rand(20, 1, requires_grad=True)
            (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
            optimizer.zero_grad()
            (slope - x.cos()).square().mean().backward()
            optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert list(measured(run, "activation_std", "1")) == [1, 2]
    assert measured(run, "activation_grad_norm", "1")[2] > 0


@pytest.mark.parametrize("frozen", [False, True])
def test_fine_tuning_in_evaluation_mode_is_training(frozen: bool, tmp_path: Path, measured: Measured):
    model = small().eval()
    model[0].requires_grad_(not frozen)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.randn(10, 6)).sum().backward()
            optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert list(measured(run, "activation_std", "0")) == [1, 2]
    assert list(measured(run, "activation_std", "2")) == [1, 2]


def test_parameters_asked_of_autograd_are_trained(tmp_path: Path, measured: Measured):
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for _ in range(2):
            loss = model(torch.randn(10, 6)).sum()
            for p, g in zip(model.parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True):
                p.grad = g
            optimizer.step()
    assert list(measured(probes.open_run(tmp_path / "run"), "activation_grad_norm", "0")) == [1, 2]


class Parts(nn.Module):
    """A net that is evaluated as a whole and trained by calling its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(x))


@pytest.mark.parametrize("context", [torch.no_grad, torch.enable_grad])
def test_training_by_parts_beside_evaluations_of_the_whole(context: Callable, tmp_path: Path, measured: Measured):
    model = Parts()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for step in range(8):
            optimizer.zero_grad()
            if step < 6:
                model.head(model.encoder(torch.randn(10, 6))).sum().backward()
            else:
                model(torch.randn(10, 6)).sum().backward()
            optimizer.step()
            with context():
                model.eval()(torch.full((10, 6), 1e6))
                model.train()
    run = probes.open_run(tmp_path / "run")
    found = measured(run, "activation_max_abs", "encoder")
    assert set(found) >= {2, 3, 4, 5, 6, 7, 8}
    assert max(found.values()) < 1e3


def test_accumulated_losses_with_one_backward(tmp_path: Path, measured: Measured):
    """Twelve passes none of which has trained when the next begins."""
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for _ in range(2):
            optimizer.zero_grad()
            torch.stack([model(torch.randn(10, 6)).sum() for _ in range(12)]).sum().backward()
            optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert run.histograms("activation", "0").counts[-1].sum() == 8 * 10 * 8
    assert run.histograms("activation_gradient", "2").counts[-1].sum() == 8 * 10 * 3


@pytest.mark.filterwarnings("error")
def test_outputs_carry_nothing_of_the_probe(tmp_path: Path):
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        outputs = model(torch.randn(10, 6))
        assert not outputs._backward_hooks
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            buffer = io.BytesIO()
            torch.save(outputs, buffer)
            assert b"probes" not in buffer.getvalue()
            assert torch.equal(pickle.loads(pickle.dumps(outputs)), outputs)
        outputs.sum().backward()
        optimizer.step()
