"""Losses whose level wanders, or begins at nothing: what has come back before, and what follows its target."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.signs.followed import follows_targets, guessed_over_frames, has_levelled
from probes.diagnosis.view import RunView


def diverges(series, **details):
    return [f.severity for f in judge(RunView.of_arrays(series, **details), [RULES["loss-diverging"]]).findings]


def wandering(seed, length=1000, tasks=40):
    """A stream of tasks of other difficulty, each learned while it lasts: the loss rises with every harder one."""
    random = np.random.default_rng(seed)
    hard = np.repeat(np.exp(1.0 * random.standard_normal(tasks)), length // tasks)
    return hard * np.exp(0.2 * random.standard_normal(len(hard)))


@pytest.mark.parametrize("seed", range(6))
def test_a_level_that_rises_and_comes_back_again_and_again_is_no_divergence(seed):
    loss = wandering(seed)
    loss[:5] = loss.min()  # the first task was the easiest
    loss[-80:-60] = loss.min()
    loss[-60:] = 2.0 * loss.min() + 2.0 * np.median(loss)  # and the last one is hard
    loss[500:600] = loss[-1]  # as one before was
    assert diverges({"train/loss": (np.arange(1, 1001), loss)}) == []


def test_a_rise_that_outlasts_all_before_is_one():
    loss = np.exp(0.1 * np.random.default_rng(0).standard_normal(1000))
    loss[200:300] = 30.0
    loss[-400:] = 30.0
    assert diverges({"train/loss": (np.arange(1, 1001), loss)}) == ["critical"]
    loss[300:500] = 30.0
    assert diverges({"train/loss": (np.arange(1, 1001), loss)}) == []


@pytest.mark.parametrize(("height", "told"), [(2.0, False), (20.0, True)])
def test_a_rise_far_above_all_before_is_told_before_it_outlasts_them(height, told):
    """Twenty steps up, where the loss came back from twenty at twice its start."""
    loss = np.exp(0.1 * np.random.default_rng(0).standard_normal(300))
    loss[100:120] = 2.0
    loss[-20:] = np.geomspace(2.0, height, 20)
    assert (diverges({"train/loss": (np.arange(1, 301), loss)}) != []) is told


def test_what_was_gained_and_lost_for_three_times_as_long_as_ever_before():
    def of(first, last):
        loss = np.full(1200, 0.2)
        loss[:10] = 1.0
        loss[300 : 300 + first] = 0.9
        loss[1200 - last :] = 0.9
        return diverges({"train/loss": (np.arange(1, 1201), loss)})

    assert of(100, 200) == []
    assert of(50, 400) == ["warning"]


def gambler(steps, learn=True, seed=0):
    """(loss, targets) per step of tabular TD(0) for the chance to leave the table rich, all values equal at first."""
    random = np.random.default_rng(seed)
    values, purse = np.full(17, 0.2), 8
    losses, targets = np.empty(steps), np.empty(steps)
    for step in range(steps):
        after = purse + (1 if random.random() < 0.47 else -1)
        target = values[after] if 0 < after < 16 else float(after == 16)
        losses[step], targets[step] = (values[purse] - target) ** 2 + 1e-6 * random.random(), target
        values[purse] += 0.05 * (target - values[purse]) * learn
        purse = after if 0 < after < 16 else int(random.integers(1, 16))
    return losses, targets


def of_gambler(losses, targets, seen=True, **details):
    frames = np.array([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000])
    frames = frames[frames <= len(losses)]
    smooth = np.convolve(losses, np.ones(50) / 50, mode="valid")[::50]
    series = {"train/loss": (np.arange(50, len(losses) + 1, 50)[: len(smooth)], smooth)}
    manifest = {}
    if seen:
        manifest = {"recognised_loss": {"class": "MSELoss", "reduction": "mean"}}
        series |= {
            "data/recognised": (
                np.r_[frames, series["train/loss"][0][-3:] + 1],
                np.r_[losses[frames - 1], smooth[-3:]],
            ),
            "data/target_mean": (frames, targets[frames - 1]),
            "data/target_std": (frames, 0.0 * frames),
        }
    return diverges(series, manifest=manifest, **details)


def made_gambler(noise=0.3, steps=5000):
    """The same as it looks in a net: at first all answers are alike, and no error is seen until one win is known."""
    random = np.random.default_rng(1)
    losses = np.where(np.arange(steps) < 200, 1e-5, 2.5e-3) * np.exp(noise * random.standard_normal(steps))
    return losses, np.where(np.arange(steps) < 200, -0.2, random.uniform(-0.2, 1.0, steps))


def test_temporal_differences_that_begin_at_nothing_are_told_from_a_divergence_by_their_targets():
    losses, targets = made_gambler()
    assert of_gambler(losses, targets) == []
    assert of_gambler(losses, targets, seen=False) == ["critical"]  # nothing is known of what they follow
    assert of_gambler(losses, np.full(len(targets), 0.1) + 0.01 * targets) == [
        "critical"
    ]  # it is worse than their mean


def test_or_by_what_is_logged_beside_them():
    losses, _ = made_gambler()
    steps = np.arange(50, 5001, 50)
    smooth = losses.reshape(-1, 50).mean(axis=1)
    assert diverges({"train/loss": (steps, smooth), "train/td_error": (steps, np.sqrt(smooth))}) == []
    assert diverges({"train/loss": (steps, smooth), "train/mean_q": (steps, 0 * smooth)}) == []
    growing = smooth * np.exp(steps / 500.0)
    assert diverges({"train/loss": (steps, growing), "train/td_error": (steps, np.sqrt(growing))}) == ["critical"]


@pytest.mark.parametrize("until", [600, 1000, 3000, 5000])
def test_a_gambler_that_learns_is_healthy_at_any_moment(until):
    losses, targets = gambler(5000)
    assert of_gambler(losses[:until], targets[:until], status="running") == []


def walked(run_dir, steps=1500, seed=0):
    """Sutton and Barto's random walk by a net and batches of one: 1 for the right end, 0 for the left one."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    place = 10
    with probes.watch(net, opt, run_dir=run_dir) as probe:
        for _ in range(steps):
            after = place + (1 if torch.rand(()) < 0.5 else -1)
            ends = after in (0, 20)
            with torch.no_grad():
                target = torch.tensor([[float(after == 20)]]) if ends else net(torch.tensor([[after / 10 - 1.0]]))
            loss = nn.functional.mse_loss(net(torch.tensor([[place / 10 - 1.0]])), target)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            place = 10 if ends else after
    return probes.open_run(run_dir)


@pytest.mark.parametrize("seed", range(2))
def test_a_net_that_walks_at_random_is_healthy_at_any_moment(tmp_path, seed):
    run = walked(tmp_path / "run", seed=seed)
    assert follows_targets(RunView.of_run(run))
    rules = ["loss-diverging", "oscillating-loss", "learning-rate-too-low"]
    for step in (300, 500, 750, 1000, 1250, None):
        assert not [f for f in probes.diagnose(run, rules, at_step=step).findings if f.severity != "info"]


def test_swings_are_measured_by_what_the_mean_of_the_targets_costs():
    steps = np.arange(1, 601)
    swing = 0.002 + 0.0015 * np.sin(steps / 10.0)
    frames = np.array([1, 2, 5, 10, 20, 50, 100, 200, 500])
    known = {"recognised_loss": {"class": "MSELoss", "reduction": "mean"}}
    seen = {
        "data/recognised": (frames, swing[frames - 1]),
        "data/target_mean": (frames, np.linspace(0.0, 1.0, 9)),
        "data/target_std": (frames, np.zeros(9)),
    }

    def swings(**beside):
        view = RunView.of_arrays({"train/loss": (steps, swing)} | beside, manifest=known)
        return [f.severity for f in judge(view, [RULES["oscillating-loss"]]).findings]

    assert swings() == ["warning"]
    assert swings(**seen) == []  # a hundredth of the variance of the targets
    assert swings(**{"train/td_error": (steps, swing)}) == []  # a target network is renewed now and then


def test_what_the_mean_of_all_targets_costs():
    frames = np.arange(1, 101)
    targets = np.random.default_rng(0).normal(3.0, 0.4, (100, 50))
    series = {"data/target_mean": (frames, targets.mean(1)), "data/target_std": (frames, targets.std(1))}
    view = RunView.of_arrays(series)
    off = targets - targets.mean()
    assert guessed_over_frames(view, "MSELoss") == pytest.approx((off**2).mean())
    assert guessed_over_frames(view, "L1Loss") >= np.abs(off).mean()
    huber = nn.functional.huber_loss(torch.from_numpy(off), torch.zeros(100, 50, dtype=torch.float64)).item()
    assert guessed_over_frames(view, "HuberLoss") == pytest.approx(huber, rel=0.1)
    assert guessed_over_frames(view, "CrossEntropyLoss") is None


def test_the_measures():
    flat = np.r_[np.full(4, 1.0), np.full(4, 1.9)]
    assert has_levelled(flat) and has_levelled(np.r_[flat, np.full(8, 3.7)])
    assert not has_levelled(np.exp(np.arange(20.0)))
    assert not has_levelled(np.array([1.0]))
    assert not follows_targets(RunView.of_arrays({"train/loss": ([1], [1.0])}))
