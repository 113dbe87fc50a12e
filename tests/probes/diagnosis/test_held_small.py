"""Weights that are clamped after each step, beside those that only move, decay, or are a critic's: real trainings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes.diagnosis.signs.held_small import held_small
from probes.diagnosis.view import RunView

RULES = ["underfitting", "learning-rate-too-high", "loss-not-decreasing"]


def trained(run_dir, bound=None, decay=0.0, adam=False, critic=False):
    torch.manual_seed(0)
    centres = torch.randn(3, 12)
    model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1 if critic else 3))
    kind, rate, every = (torch.optim.Adam, 1e-3, 10) if adam else (torch.optim.RMSprop, 3e-3, 1)
    optimizer = kind(model.parameters(), lr=rate, weight_decay=decay)
    with probes.watch(model, optimizer, run_dir=run_dir, every=every) as probe:
        for _ in range(250):
            labels = torch.randint(0, 3, (64,))
            scores = model(centres[labels] + 0.5 * torch.randn(64, 12))
            if critic:
                loss = (scores.squeeze(1) * (2.0 * (labels == 0) - 1.0)).mean()
            else:
                loss = nn.functional.cross_entropy(scores, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if bound is not None:
                with torch.no_grad():
                    for parameter in model.parameters():
                        parameter.clamp_(-bound, bound)
            if critic:
                probe.log("train", loss=loss)
            else:
                probe.log("train", loss=loss, accuracy=(scores.argmax(1) == labels).float().mean())
    view = RunView.of_run(probes.open_run(run_dir))
    findings = probes.diagnose(run_dir, RULES).findings
    return held_small(view), [finding for finding in findings if finding.severity != "info"]


def test_a_clamp_as_in_a_critic_is_what_holds_a_classifier_back(tmp_path):
    seen, findings = trained(tmp_path / "run", bound=0.01)
    assert seen is not None
    assert seen.step == 2
    assert seen.left < 0.2
    assert findings[0].rule == "underfitting"
    assert "other than the optimizer" in findings[0].message
    assert "clamp" in findings[0].suggestions[0]
    assert "learning-rate-too-high" not in [finding.rule for finding in findings]


def test_a_clamp_is_seen_between_frames_that_lie_apart_and_in_a_run_that_is_over(tmp_path):
    seen, findings = trained(tmp_path / "run", bound=0.01, adam=True)
    assert seen is not None
    assert seen.step == 10
    assert findings[0].rule == "underfitting"


@pytest.mark.parametrize(("bound", "decay"), [(None, 0.0), (1.0, 0.0), (None, 0.3)])
def test_weights_that_move_or_are_clamped_far_out_or_decay_are_not_held(bound, decay, tmp_path):
    seen, findings = trained(tmp_path / "run", bound, decay)
    assert seen is None
    assert [finding.rule for finding in findings if "other than the optimizer" in finding.message] == []


def test_a_critic_is_clamped_on_purpose(tmp_path):
    seen, findings = trained(tmp_path / "run", bound=0.01, critic=True)
    assert seen is not None
    assert [finding.rule for finding in findings if "other than the optimizer" in finding.message] == []


@pytest.mark.parametrize(("later", "told"), [(0.1, True), (1.0, False)])
def test_a_large_update_before_the_fall_does_not_account_for_it(later, told):
    frames, names = np.array([0, 1, 2, 5]), ["a.weight", "b.weight"]
    norms = np.tile(np.array([[4.0], [4.0], [0.4], [0.4]]), (1, 2))
    updates = np.tile(np.array([[2.0], [2.0 * later], [0.1]]), (1, 2))
    layers = {
        "weight_norm": (names, frames, norms),
        "weight_max": (names, frames, 0.1 * norms),
        "update_norm": (names, frames[1:], updates),
    }
    parameters = [{"name": name, "module": name[0], "shape": [8, 8], "trainable": True} for name in names]
    view = RunView.of_arrays({}, layers, manifest={"model": {"parameters": parameters}})
    assert (held_small(view) is not None) == told
