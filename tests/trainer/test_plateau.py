"""Reduce-on-plateau against PyTorch's own, and resumed in the middle."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ReduceLROnPlateau

from trainer import checkpoint
from trainer.loop import train
from trainer.plateau import Plateau
from trainer.recipe import load_recipe

# Few different values, so that plateaus are frequent.
LOSSES = st.lists(st.sampled_from([0.5, 0.9, 0.99, 0.9999, 0.99999, 1.0, 1.1, float("nan"), float("inf")]), max_size=60)


def torchs(losses, gamma, patience, threshold, cooldown, final):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = ReduceLROnPlateau(
        optimizer, factor=gamma, patience=patience, threshold=threshold, cooldown=cooldown, min_lr=final, eps=0.0
    )
    rates = []
    for loss in losses:
        scheduler.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


@settings(deadline=None)
@given(
    losses=LOSSES,
    gamma=st.sampled_from([0.1, 0.5, 0.9]),
    patience=st.integers(0, 4),
    threshold=st.sampled_from([0.0, 1e-4, 0.05]),
    cooldown=st.integers(0, 3),
    final=st.sampled_from([0.0, 0.01, 0.3]),
)
def test_it_reduces_when_torchs_does(losses, gamma, patience, threshold, cooldown, final):
    ours = Plateau(gamma, patience, threshold, cooldown, final)
    factors = []
    for loss in losses:
        ours.look(loss)
        factors.append(ours.state.factor)
    assert factors == torchs(losses, gamma, patience, threshold, cooldown, final)


@given(losses=LOSSES, cut=st.integers(0, 60))
def test_its_state_is_all_there_is_to_it(losses, cut):
    whole, before, after = (Plateau(0.5, 1, 1e-4, 1, 0.0) for _ in range(3))
    for loss in losses:
        whole.look(loss)
    for loss in losses[:cut]:
        before.look(loss)
    after.load_state_dict(before.state_dict())
    for loss in losses[cut:]:
        after.look(loss)
    assert after.state == whole.state


PLATEAU = ["schedule.name=plateau", "schedule.patience=0", "schedule.threshold=0.5", "schedule.gamma=0.5"]


def test_a_resumed_training_goes_on_at_the_reduced_rate(small_recipe, tmp_path):
    """Twelve epochs at once equal five and seven, and the rate was reduced in both parts."""
    path = small_recipe()

    def run(name, epochs, resume=False):
        train(load_recipe(path, [*PLATEAU, f"training.epochs={epochs}"]), tmp_path / name, watched=False, resume=resume)
        return torch.load(tmp_path / name / checkpoint.FILE, weights_only=True)

    whole = run("whole", 12)
    part = run("parts", 5)
    rest = run("parts", 12, resume=True)
    assert whole["schedule"] == rest["schedule"]
    assert 1.0 > part["schedule"]["factor"] > rest["schedule"]["factor"]
    # The last look comes after the last step, and halved the rate once more.
    assert rest["optimizer"]["param_groups"][0]["lr"] == 0.01 * 2 * rest["schedule"]["factor"]
    assert all(value.equal(rest["model"][name]) for name, value in whole["model"].items())
