"""Loops as people write them, each trained for real."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import probes


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def loss_of(model: nn.Module, batch: int = 10) -> torch.Tensor:
    return nn.functional.cross_entropy(model(torch.randn(batch, 6)), torch.randint(3, (batch,)))


def measured(run: probes.Run, kind: str, layer: str) -> dict[int, float]:
    """Step -> value, where there is one."""
    series = run.layer_series(kind)
    column = series.values[:, series.layers.index(layer)]
    return {int(s): float(v) for s, v in zip(series.steps, column, strict=True) if not np.isnan(v)}


def test_gradient_accumulation_counts_a_step_an_update(tmp_path: Path):
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
def test_skipped_steps_of_a_grad_scaler(fused: bool, tmp_path: Path):
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
def test_the_two_optimizers_of_a_gan(critic_steps: int, tmp_path: Path):
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


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.embed(tokens))


def test_tied_parameters_appear_once(tmp_path: Path):
    model = Tied()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        optimizer.zero_grad()
        model(torch.tensor([[1, 2]])).sum().backward()
        optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert run.layer_series("grad_norm").layers == ["embed.weight"]
    assert run.layer_series("activation_std").layers == ["embed", "head"]


def test_frozen_then_unfrozen_parameters(tmp_path: Path):
    model = small()
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for step in range(4):
            if step == 2:
                model[0].requires_grad_(True)
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert list(measured(run, "grad_norm", "0.weight")) == [3, 4]
    assert list(measured(run, "update_norm", "0.weight")) == [3, 4]
    assert list(measured(run, "weight_norm", "0.weight")) == [0, 1, 2, 3, 4]
    assert list(measured(run, "activation_std", "0")) == [1, 2, 3, 4]  # its outputs belong to trained passes


def test_parameters_outside_the_optimizer_show_no_update(tmp_path: Path):
    model = small()
    optimizer = torch.optim.SGD(model[2].parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for _ in range(2):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert measured(run, "update_norm", "0.weight") == {1: 0.0, 2: 0.0}
    assert measured(run, "update_norm", "2.weight")[2] > 0


def test_a_module_added_later_is_measured_from_then_on(tmp_path: Path):
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        for step in range(4):
            if step == 2:
                model.append(nn.Linear(3, 3))
                optimizer.add_param_group({"params": model[3].parameters()})
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert list(measured(run, "grad_norm", "3.weight")) == [3, 4]
    assert list(measured(run, "update_norm", "3.weight")) == [3, 4]
    assert list(measured(run, "activation_std", "3")) == [3, 4]
    assert list(measured(run, "grad_norm", "0.weight")) == [1, 2, 3, 4]
    assert "3.weight" in [p["name"] for p in run.model["parameters"]]


def test_sparse_embeddings(tmp_path: Path):
    model = nn.Sequential(nn.Embedding(50, 4, sparse=True), nn.Flatten(), nn.Linear(12, 2))
    optimizer = torch.optim.SparseAdam([model[0].weight])
    dense = torch.optim.SGD(model[2].parameters(), lr=0.1)
    expected = []
    with probes.watch(model, [optimizer, dense], tmp_path / "run", every=1):
        for _ in range(3):
            model.zero_grad()
            model(torch.tensor([[1, 1, 2], [3, 1, 4]])).pow(2).sum().backward()
            expected.append(model[0].weight.grad.to_dense().norm().item())
            optimizer.step()
            dense.step()
    run = probes.open_run(tmp_path / "run")
    assert list(measured(run, "grad_norm", "0.weight").values()) == pytest.approx(expected, rel=1e-5)
    assert measured(run, "update_norm", "0.weight")[3] > 0


class Reused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.act = nn.Linear(4, 4), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            x = self.act(self.cell(x))
        return x


def test_the_calls_of_a_reused_module_are_taken_together(tmp_path: Path):
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


@pytest.mark.parametrize("mode", ["no_grad", "inference", "with_grad"])
def test_evaluation_inside_the_loop_never_mixes_in(mode: str, tmp_path: Path):
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


def test_lbfgs_gradients_are_those_of_its_last_evaluation(tmp_path: Path):
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_float_types(dtype: torch.dtype, tmp_path: Path):
    model = small().to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        model(torch.randn(10, 6, dtype=dtype)).square().sum().backward()
        expected = model[0].weight.grad.double().norm().item()
        optimizer.step()
    run = probes.open_run(tmp_path / "run")
    assert measured(run, "grad_norm", "0.weight")[1] == pytest.approx(expected, rel=1e-5)
    assert measured(run, "activation_std", "0")[1] > 0
    assert run.model["parameters"][0]["dtype"] == str(dtype).removeprefix("torch.")


class Spectral(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.randn(4, dtype=torch.complex64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.irfft(torch.fft.rfft(x) * self.mix, n=6)


def test_complex_parameters(tmp_path: Path):
    model = Spectral()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        model(torch.randn(3, 6)).square().sum().backward()
        expected = model.mix.grad.norm().item()
        optimizer.step()
    assert measured(probes.open_run(tmp_path / "run"), "grad_norm", "mix")[1] == pytest.approx(expected, rel=1e-5)


def test_channels_last_weights_keep_their_filters(tmp_path: Path):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).to(memory_format=torch.channels_last)
    weights = model[0].weight.detach().clone().contiguous().numpy()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        model(torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)).sum().backward()
        optimizer.step()
    run = probes.open_run(tmp_path / "run")
    np.testing.assert_array_equal(run.filters(0).weights, weights)
    assert measured(run, "weight_norm", "0.weight")[0] == pytest.approx(np.linalg.norm(weights), rel=1e-5)


def test_an_optimizer_is_found_when_none_is_given(tmp_path: Path):
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


def test_an_exception_in_forward_leaves_the_probe_working(tmp_path: Path):
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


def test_activation_checkpointing(tmp_path: Path):
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


def test_meta_quantised_and_lazy_parameters_are_named_and_left_out(tmp_path: Path):
    model = nn.Sequential(nn.Linear(6, 3), nn.LazyLinear(2))
    model.codes = nn.Parameter(torch.zeros(3, dtype=torch.int8), requires_grad=False)
    model.ghost = nn.Parameter(torch.zeros(3, device="meta"))
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1):
        model[0](torch.randn(2, 6)).sum().backward()
        optimizer.step()
    notes = " | ".join(probes.open_run(tmp_path / "run").model["notes"])
    for name in ("codes", "ghost", "1.weight"):
        assert f"{name} is not measured" in notes
