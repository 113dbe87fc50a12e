"""Mixed precision: against autocast by hand, skipped steps, underflow, and exact resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import probes
from trainer import precision
from trainer.assembly import assemble
from trainer.errors import RecipeError
from trainer.loop import take_step, train
from trainer.precision import check_supported
from trainer.recipe import load_recipe

PLAIN = ["model.dropout=0.0", "training.augment=[]", "schedule.name=constant", "training.clip_norm=0.5"]


def saved(run_dir):
    return torch.load(run_dir / "checkpoint.pt", weights_only=True)


@pytest.mark.parametrize(("name", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_the_loop_agrees_with_one_written_by_hand(name, dtype, small_recipe, tmp_path):
    """As PyTorch's documentation has it: autocast, scale, unscale, clip, step, update."""
    recipe = load_recipe(small_recipe(), [*PLAIN, f'training.precision="{name}"'])
    train(recipe, tmp_path / "run", watched=False)

    parts = assemble(recipe)
    optimizer = torch.optim.SGD(parts.model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    scaler = torch.amp.GradScaler("cpu", enabled=name == "fp16")
    for epoch in range(3):
        for inputs, targets in parts.batches.epoch(epoch):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype):
                scores = parts.model(inputs)
            assert scores.dtype == dtype
            scaler.scale(nn.functional.cross_entropy(scores.float(), targets)).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(parts.model.parameters(), 0.5)
            scaler.step(optimizer)
            scaler.update()
    state = saved(tmp_path / "run")
    assert all(value.equal(state["model"][key]) for key, value in parts.model.state_dict().items())
    assert state["scaler"] == scaler.state_dict()
    assert all(value.dtype == torch.float32 for value in state["model"].values())


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_it_learns_as_well_as_in_full_precision(name, tmp_path):
    recipe = load_recipe("wine-mlp", ["training.threads=1", f'training.precision="{name}"'])
    assert train(recipe, tmp_path / "run", watched=False).score >= recipe.expect.at_least


def test_steps_that_overflow_are_skipped_and_recorded(small_recipe, tmp_path, monkeypatch):
    """A scale so high that the first gradients overflow: weights stay, the scale is halved, the step counts."""
    high = lambda kind, enabled: torch.amp.GradScaler(kind, init_scale=2.0**40, enabled=enabled)  # noqa: E731
    monkeypatch.setattr(precision, "GradScaler", high)
    recipe = load_recipe(small_recipe(), ["training.epochs=2", 'training.precision="fp16"'])
    train(recipe, tmp_path / "run", every=1)
    run = probes.open_run(tmp_path / "run")
    skipped = run.series("optimizer/skipped").steps
    assert skipped[:10].tolist() == list(range(1, 11)) and len(skipped) < 30
    assert run.last_step == 44
    assert saved(tmp_path / "run")["scaler"]["scale"] == 2.0 ** (40 - len(skipped))
    norms = run.layer_series("grad_norm")  # unscaled, whatever the scale
    assert np.nanmax(norms.values) < 100


def test_without_the_scaler_small_gradients_underflow():
    """Behind a tiny last layer: zero gradients in float16, the true ones with the scaler."""
    signs = torch.randint(0, 2, (10, 16), generator=torch.Generator().manual_seed(0)) * 2.0 - 1

    def first_gradients(*more: str) -> torch.Tensor:
        parts = assemble(load_recipe("digits-mlp", ["model.widths=[16]", *more]))
        with torch.no_grad():
            parts.model.head.weight.copy_(2.0**-22 * signs)  # float16 holds it exactly
        inputs, targets = next(iter(parts.batches))
        # A step of size 0 leaves the gradients to look at.
        parts.optimizer.param_groups[0]["lr"] = 0.0
        take_step(parts, parts.model, inputs, targets)
        return parts.model.fc1.weight.grad

    true = first_gradients()
    scaled = first_gradients('training.precision="fp16"')
    bare = first_gradients('training.precision="fp16"', "training.grad_scaler=false")
    assert true.norm() > 0
    torch.testing.assert_close(scaled, true, rtol=0.05, atol=0.05 * true.abs().max().item())
    assert not bare.any()


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_resuming_equals_never_stopping_to_the_bit(name, small_recipe, tmp_path):
    path = small_recipe("adam")
    settings = [f'training.precision="{name}"', "schedule.name=constant"]
    whole = train(load_recipe(path, [*settings, "training.epochs=4"]), tmp_path / "whole", watched=False)
    train(load_recipe(path, [*settings, "training.epochs=2"]), tmp_path / "parts", watched=False)
    rest = train(load_recipe(path, [*settings, "training.epochs=4"]), tmp_path / "parts", watched=False, resume=True)
    assert rest.loss == whole.loss
    ours, theirs = saved(tmp_path / "parts"), saved(tmp_path / "whole")
    assert all(value.equal(ours["model"][key]) for key, value in theirs["model"].items())
    assert ours["scaler"] == theirs["scaler"]


def test_another_precision_does_not_fit_the_checkpoint(small_recipe, tmp_path):
    train(load_recipe(small_recipe(), ["training.epochs=1"]), tmp_path / "run", watched=False)
    with pytest.raises(Exception, match="does not fit this recipe"):
        recipe = load_recipe(small_recipe(), ['training.precision="fp16"'])
        train(recipe, tmp_path / "run", watched=False, resume=True)


def test_a_lstm_that_torch_cannot_compute_in_float16_is_refused():
    cpu = torch.device("cpu")
    try:
        with torch.autocast("cpu", torch.float16):
            nn.LSTM(3, 3)(torch.zeros(2, 1, 3))
        possible = True
    except RuntimeError:
        possible = False
    before = torch.get_rng_state()
    if possible:
        check_supported(nn.LSTM(3, 3), "fp16", cpu)
    else:
        with pytest.raises(RecipeError, match='"bf16"'):
            assemble(load_recipe("digits-lstm", ['training.precision="fp16"']))
    torch.set_rng_state(before)
    check_supported(nn.LSTM(3, 3), "bf16", cpu)
    check_supported(nn.GRU(3, 3), "fp16", cpu)
