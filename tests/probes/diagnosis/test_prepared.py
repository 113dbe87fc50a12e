"""Validation inputs that are prepared otherwise than those of the training: told at the second validation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes.diagnosis.signs.prepared import prepared_differently
from probes.diagnosis.view import RunView


def net(*more):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 64), *more, nn.ReLU(), nn.Linear(64, 8))


def trained(run_dir, model, shift, rate=0.01, steps=24):
    """24 steps, with validations before the first one and at the last; validation inputs are moved by ``shift``."""
    torch.manual_seed(0)
    centres = torch.randn(8, 16)
    labels = torch.arange(256) % 8
    rows, others = (centres[labels] + 0.3 * torch.randn(256, 16) for _ in range(2))
    seen = others + shift * torch.randn(16)  # as what still has its means lies beside standardised rows
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    with probes.watch(model, optimizer, run_dir=run_dir, every=10) as probe:
        for step in range(steps + 1):
            if step in (0, steps):
                model.eval()
                with torch.no_grad():
                    probe.log("val", loss=nn.functional.cross_entropy(model(seen), labels))
                model.train()
            if step < steps:
                batch = slice(32 * (step % 8), 32 * (step % 8) + 32)
                loss = nn.functional.cross_entropy(model(rows[batch]), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    return RunView.of_run(probes.open_run(run_dir))


def test_inputs_on_another_scale_are_told_at_the_second_validation(tmp_path):
    seen = prepared_differently(trained(tmp_path / "run", net(), 40))
    assert seen is not None
    assert seen.start > 2 * seen.train_start
    (finding,) = probes.diagnose(tmp_path / "run", ["no-generalization"]).findings
    assert finding.severity == "warning"
    assert "not prepared as those of the training" in finding.message


@pytest.mark.parametrize(
    ("more", "shift", "rate"),
    [
        ((), 0, 0.01),
        ((), 40, 0.0),  # nothing is learned: other inputs, but no harm yet
        ((nn.BatchNorm1d(64),), 40, 0.01),  # in validation another net: nothing can be told so early
    ],
)
def test_inputs_on_the_same_scale_nets_at_rest_and_other_nets_are_not(more, shift, rate, tmp_path):
    assert prepared_differently(trained(tmp_path / "run", net(*more), shift, rate)) is None


class TestValidatedAfterEachEpochOnly:
    """No validation before the first step: the first one, after an epoch, stands in for it."""

    steps = np.arange(1, 401)
    at = np.arange(40, 401, 40)

    def seen(self, validation, end=0.2, modes=(), status="finished"):
        noise = 0.03 * np.random.default_rng(0).standard_normal(400)
        series = {
            "train/loss": (self.steps, end + (1.0 - end) * np.exp(-self.steps / 60) + noise * end),
            "val/loss": (self.at[: len(validation)], validation),
        }
        manifest = {"model": {"mode_dependent": list(modes)}}
        return prepared_differently(RunView.of_arrays(series, manifest=manifest, status=status))

    wrong = (0.9, 2.5, 30.0, 40.0, 25.0, 30.0, 28.0, 33.0, 30.0, 31.0)

    def test_several_times_as_wrong_as_a_net_that_knows_nothing_from_the_next_one_on(self):
        found = self.seen(self.wrong)
        assert found is not None and (found.step, found.least) == (40, 2.5)
        assert self.seen(self.wrong, status="running") is not None
        assert self.seen(self.wrong[:4]) is None, "three later ones are few"

    @pytest.mark.parametrize(
        "healthy",
        [
            (0.5, 0.4, 0.5, 0.9, 1.5, 2.5, 4.0, 5.0, 6.0, 7.0),  # learned by heart: gets worse bit by bit
            (30.0, 31.0, 29.0, 30.0, 31.0, 30.0, 29.0, 30.0, 31.0, 30.0),  # in other units, and at rest
            (0.9, 20.0, 0.4, 0.3, 0.3, 25.0, 0.3, 0.3, 0.2, 0.2),  # spikes
        ],
    )
    def test_not_what_gets_worse_slowly_or_is_in_other_units_or_comes_back(self, healthy):
        assert self.seen(healthy) is None

    def test_nor_where_the_training_examples_are_known_by_heart(self):
        assert self.seen(self.wrong, end=0.02) is None
