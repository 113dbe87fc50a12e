"""Forward and backward passes as people write them: re-used modules, exceptions, checkpointing, copies."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import probes

Measured = Callable[[probes.Run, str, str], dict[int, float]]


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def loss_of(model: nn.Module, batch: int = 10) -> torch.Tensor:
    return nn.functional.cross_entropy(model(torch.randn(batch, 6)), torch.randint(3, (batch,)))


class Reused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.act = nn.Linear(4, 4), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            x = self.act(self.cell(x))
        return x


def test_the_calls_of_a_reused_module_are_taken_together(tmp_path: Path, measured: Measured):
    model = Reused()
    outputs: list[torch.Tensor] = []
    model.cell.register_forward_hook(lambda m, a, o: outputs.append(o.detach().clone()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        model(torch.randn(5, 4)).sum().backward()
        optimizer.step()
    run = probes.open_run(tmp_path / "run")
    together = torch.cat(outputs).double()
    assert measured(run, "activation_mean", "cell")[1] == pytest.approx(together.mean().item(), rel=1e-5)
    assert measured(run, "activation_std", "cell")[1] == pytest.approx(together.std(correction=0).item(), rel=1e-5)
    assert run.histograms("activation", "cell").counts[-1].sum() == 3 * 5 * 4


class Many(nn.Module):
    """Modules that return tuples, dicts and packed sequences."""

    class Pair(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, object]:
            return {"note": "text", "value": x * 2}

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.attention = nn.GRU(4, 4), nn.MultiheadAttention(4, 2)
        self.pair, self.packed = Many.Pair(), nn.LSTM(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.gru(x)[0]
        x = self.attention(x, x, x)[0]
        x = self.pair(x)["value"]
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([5, 3]))
        return nn.utils.rnn.pad_packed_sequence(self.packed(packed)[0])[0]


def test_recurrent_attention_dict_and_packed_outputs(tmp_path: Path):
    model = Many()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        model(torch.randn(5, 2, 4)).sum().backward()
        optimizer.step()
    series = probes.open_run(tmp_path / "run").layer_series("activation_grad_norm")
    assert series.layers == ["gru", "attention", "pair", "packed"]
    assert (series.values[-1] > 0).all()


def test_a_watched_model_can_be_copied_and_pickled(tmp_path: Path):
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = torch.randn(4, 6)
    with probes.watch(model, optimizer, tmp_path / "run", every=1) as probe:
        loss_of(model).backward()
        optimizer.step()
        model(inputs)  # hooks for the coming frame are in place now
        twin, loaded = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
        optimizer_copy = copy.deepcopy(optimizer)
        torch.save(model, tmp_path / "model.pt")
        stored = torch.load(tmp_path / "model.pt", weights_only=False)
        assert b"probes" not in pickle.dumps(model)
        for other in (twin, loaded, stored):
            assert torch.equal(other(inputs), model(inputs))
            loss_of(other).backward()
            torch.optim.SGD(other.parameters(), lr=0.1).step()
        optimizer_copy.step()
        assert probe.step == 1
        optimizer.step()
        assert probe.step == 2


class Fragile(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.broken = nn.Linear(6, 3), False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer(x)
        if self.broken:
            raise RuntimeError("out of memory, say")
        return x


def test_an_exception_in_forward_leaves_the_probe_working(tmp_path: Path, measured: Measured):
    model = Fragile()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for step in range(4):
            optimizer.zero_grad()
            model.broken = step == 2
            try:
                model(torch.full((5, 6), 1e6 if model.broken else 1.0)).sum().backward()
            except RuntimeError:
                continue
            optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert list(measured(run, "grad_norm", "layer.weight")) == [1, 2, 3]
    assert max(measured(run, "activation_max_abs", "layer").values()) < 1e3


def test_activation_checkpointing(tmp_path: Path, measured: Measured):
    class Checkpointed(nn.Module):
        def __init__(self, reentrant: bool) -> None:
            super().__init__()
            self.first, self.inner, self.reentrant = nn.Linear(6, 6), small(), reentrant

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.utils.checkpoint.checkpoint(self.inner, self.first(x), use_reentrant=self.reentrant)

    for reentrant in (False, True):
        model = Checkpointed(reentrant)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with probes.watch(model, optimizer, tmp_path / str(reentrant), every=1):
            model(torch.randn(5, 6)).sum().backward()
            optimizer.step()
        run = probes.open_run(tmp_path / str(reentrant))
        assert measured(run, "activation_std", "inner.0")[1] > 0
        assert run.histograms("activation", "inner.0").counts[-1].sum() == 5 * 8


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_a_watched_model_can_be_scripted(tmp_path: Path, measured: Measured):
    model, inputs = small(), torch.randn(4, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for _ in range(3):
            outputs = model(inputs)
            hooks = [dict(m._forward_hooks) | dict(m._forward_pre_hooks) for m in model.modules()]
            scripted = torch.jit.script(model)
            whole = torch.jit.script(nn.Sequential(model, nn.Tanh()))
            assert [dict(m._forward_hooks) | dict(m._forward_pre_hooks) for m in model.modules()] == hooks
            assert torch.equal(scripted(inputs), outputs)
            assert torch.equal(whole(inputs), outputs.tanh())
            optimizer.zero_grad()
            outputs.sum().backward()
            optimizer.step()
    assert list(measured(probes.open_run(tmp_path / "run"), "activation_grad_norm", "0")) == [1, 2, 3]
    assert "scripting" not in torch.jit._script._script_impl.__module__


def test_calls_with_other_parameters_in_the_place_of_the_own(tmp_path: Path, measured: Measured):
    """Meta-learning: the passes run on weights that are themselves results, the own are what is trained."""
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    gradients = []
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for _ in range(3):
            optimizer.zero_grad()
            fast = dict(model.named_parameters())
            for _ in range(2):
                outputs = torch.func.functional_call(model, fast, (torch.randn(10, 6),))
                slopes = torch.autograd.grad(outputs.square().mean(), list(fast.values()), create_graph=True)
                fast = {n: w - 0.1 * g for (n, w), g in zip(fast.items(), slopes, strict=True)}
            torch.func.functional_call(model, fast, (torch.randn(10, 6),)).square().mean().backward()
            gradients.append(model[0].weight.grad.norm().item())
            optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert list(measured(run, "grad_norm", "0.weight").values()) == pytest.approx(gradients, rel=1e-5)
    assert min(measured(run, "update_norm", "0.weight").values()) > 0
    assert list(measured(run, "activation_grad_norm", "0")) == [1, 2, 3]


@pytest.mark.filterwarnings("ignore")
def test_quantization_aware_training(tmp_path: Path, measured: Measured):
    """The rounding modules inside a layer are parts of it."""
    from torch.ao import quantization

    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).train()
    model.qconfig = quantization.get_default_qat_qconfig()
    quantization.prepare_qat(model, inplace=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.randn(10, 6)).square().mean().backward()
            optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert run.layer_series("activation_grad_norm").layers == ["0", "1", "2"]
    assert list(measured(run, "activation_grad_norm", "0")) == [1, 2]
