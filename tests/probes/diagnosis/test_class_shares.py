"""What always giving the shares of uneven classes costs, and nets that have learned no more than these."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from probes.diagnosis import RULES
from probes.diagnosis.class_shares import cost_of_shares, entropy_of_shares
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView
from probes.instrument.manifest import describe_loss

SHARES = np.array([0.45, 0.3, 0.15, 0.1])
COUNTS = [520, 344, 172, 116]
ENTROPY = float(-(SHARES * np.log(SHARES)).sum())
STEPS, TIMES = np.arange(1, 601), np.arange(0, 601, 50)
FOUND = 1.0 - np.exp(-STEPS / 80.0)
"""How much of the shares is known: from ln C down to their entropy in the first half."""
SHARES_ALONE = math.log(4) + (ENTROPY - math.log(4)) * FOUND
CROSS_ENTROPY = {"class": "CrossEntropyLoss", "reduction": "mean", "ignore_index": -100, "label_smoothing": 0.0}
YES_OR_NO = {"class": "BCEWithLogitsLoss", "reduction": "mean"}


def view(train, validation, right=0.45, *, loss=None, counts=None, shape=(32,), status="finished", own=0.45, more=None):
    """A run of 600 steps over four uneven classes, validated every 50 steps."""
    rng = np.random.default_rng(0)
    counts = COUNTS if counts is None else counts
    series = {
        "train/loss": (STEPS, train + 0.1 * rng.standard_normal(600)),
        "train/accuracy": (STEPS, own + 0.08 * rng.standard_normal(600)),
        "val/loss": (TIMES, np.broadcast_to(validation, 13) + 0.003 * rng.standard_normal(13)),
        "val/accuracy": (TIMES, np.broadcast_to(right, 13)),
        **(more or {}),
    }
    data = {"output_shape": [32, 4], "target_shape": list(shape), "classes": len(counts), "label_counts": list(counts)}
    return RunView.of_arrays(series, {}, manifest={"loss": loss or CROSS_ENTROPY, "data": data}, status=status)


def said(run):
    report = judge(run, [RULES["loss-not-decreasing"], RULES["no-generalization"]])
    assert not [entry for entry in report.not_judged if "failed" in entry.reason], report.not_judged
    return [finding.rule for finding in report.findings if finding.severity == "warning"]


def course(start, end):
    """The same fall at first, and a straight one to ``end`` over the rest."""
    return start + np.linspace(0.0, end - ENTROPY, 600)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_entropy_of_drawn_labels_is_the_true_one_within_its_error(smoothing):
    rng = np.random.default_rng(1)
    given = (1.0 - smoothing) * SHARES + smoothing / 4
    true = float(-(given * np.log(given)).sum())
    drawn = [entropy_of_shares(rng.multinomial(200, SHARES) / 200, 200.0, smoothing) for _ in range(4000)]
    costs = np.array([found.cost for found in drawn])
    assert abs(costs.mean() - true) < 4.0 * costs.std() / math.sqrt(len(costs)) + 2e-4
    assert np.median([found.error for found in drawn]) == pytest.approx(costs.std(), rel=0.1)


def test_a_net_that_finds_the_shares_and_nothing_else_has_learned_nothing():
    run = view(SHARES_ALONE, np.append(math.log(4), np.full(12, ENTROPY)))
    assert said(run) == ["loss-not-decreasing"]
    assert "the shares of the classes" in judge(run, [RULES["loss-not-decreasing"]]).findings[0].message


def test_not_one_that_learns_more_or_may_yet():
    learning = np.append(math.log(4), np.linspace(ENTROPY, 0.7 * ENTROPY, 12))
    assert not said(view(course(SHARES_ALONE, 0.7 * ENTROPY), learning, np.linspace(0.45, 0.65, 13), own=0.6))
    assert not said(view(SHARES_ALONE, np.append(math.log(4), np.full(12, ENTROPY)), status="running"))


def test_not_where_few_labels_leave_the_cost_in_doubt():
    few = [45, 30, 15, 10]
    assert cost_of_shares(view(SHARES_ALONE, ENTROPY, counts=few)) is not None
    assert not said(view(SHARES_ALONE, np.append(math.log(4), np.full(12, ENTROPY)), counts=few))


def test_where_one_class_is_always_answered_the_accuracy_tells_its_share():
    rng, frames = np.random.default_rng(2), np.array([1, 2, 5, 10, 20, 50, 100, 200, 500])
    always = np.append([0.6, 0.7, 0.9], np.ones(6))
    series = {
        "data/largest_prediction_share": (frames, always),
        "train/accuracy": (STEPS, rng.binomial(32, 0.45, 600) / 32),
    }
    frames_alone, known = (
        cost_of_shares(view(SHARES_ALONE, ENTROPY)),
        cost_of_shares(view(SHARES_ALONE, ENTROPY, more=series)),
    )
    assert frames_alone is not None and known is not None
    assert known.error < 0.8 * frames_alone.error
    assert abs(known.cost - ENTROPY) < 3.0 * known.error


def test_not_one_of_faint_regularities_that_hold_in_validation():
    faint = np.append(math.log(4), np.linspace(ENTROPY, 0.95 * ENTROPY, 12))
    assert not said(view(course(SHARES_ALONE, 0.95 * ENTROPY), faint, 0.46))
    assert not said(view(course(SHARES_ALONE, 0.98 * ENTROPY), np.full(13, ENTROPY), np.linspace(0.45, 0.52, 13)))


def test_examples_learned_by_heart_against_validation_that_never_beats_the_shares():
    level = np.append(math.log(4), np.linspace(ENTROPY, 1.08 * ENTROPY, 12))
    assert said(view(course(SHARES_ALONE, 0.8 * ENTROPY), level, own=0.55)) == ["no-generalization"]
    better = np.append(math.log(4), np.linspace(ENTROPY, 0.9 * ENTROPY, 12))
    assert not said(view(course(SHARES_ALONE, 0.8 * ENTROPY), better, own=0.55))


@pytest.mark.parametrize(
    "unknown",
    [
        {"loss": {**CROSS_ENTROPY, "weighted": True}},
        {"loss": {**CROSS_ENTROPY, "reduction": "sum"}},
        {"shape": (32, 20)},
        {"counts": [40, 25, 15, 9]},
        {"counts": [72, 73, 70, 73]},
    ],
)
def test_not_known_with_weights_neighbours_or_few_labels_and_not_needed_of_even_ones(unknown):
    assert cost_of_shares(view(SHARES_ALONE, ENTROPY, **unknown)) is None


def test_what_the_loss_leaves_out_has_no_share():
    found = cost_of_shares(view(SHARES_ALONE, ENTROPY, loss={**CROSS_ENTROPY, "ignore_index": 0}))
    left = np.array(COUNTS[1:]) / sum(COUNTS[1:])
    assert found is not None
    assert found.cost == pytest.approx(float(-(left * np.log(left)).sum()) + 1.0 / sum(COUNTS[1:]))


def yes_or_no(first=0.693, end=0.4227, low=-2.0, high=-1.2):
    """A run of 600 steps on 15% of yes; always no is answered, from the tenth step on."""
    rng = np.random.default_rng(0)
    frames = np.array([1, 2, 5, 10, 20, 50, 100, 200, 500])
    share = np.array([0.19, 0.12, 0.06, 0.22, 0.16, 0.19, 0.12, 0.09, 0.16])
    held = np.append(first, np.full(12, end))
    series = {
        "train/loss": (STEPS, end + (first - end) * np.exp(-STEPS / 15.0) + 0.08 * rng.standard_normal(600)),
        "train/accuracy": (STEPS, rng.binomial(32, 0.85, 600) / 32),
        "val/loss": (TIMES, held + 0.001 * rng.standard_normal(13)),
        "val/accuracy": (TIMES, np.full(13, 0.85)),
        "data/target_mean": (frames, share),
        "data/target_std": (frames, np.sqrt(share * (1.0 - share))),
        "data/output_min": (frames, np.append([-0.1, -0.1, -0.2], np.full(6, low))),
        "data/output_max": (frames, np.append([0.1, 0.1, 0.1], np.full(6, high))),
    }
    data = {"output_shape": [32, 1], "target_shape": [32, 1], "target_min": 0.0, "target_max": 1.0}
    return RunView.of_arrays(series, {}, manifest={"loss": YES_OR_NO, "data": data}, status="finished")


def test_rare_yes_is_counted_by_the_answers():
    found = cost_of_shares(yes_or_no())
    assert found is not None
    assert abs(found.cost - 0.4227) < 2.5 * found.error < 0.0125
    assert said(yes_or_no()) == ["loss-not-decreasing"]
    unsure = cost_of_shares(yes_or_no(high=0.5))  # where both are answered the frames alone tell
    assert unsure is not None
    assert unsure.error > 0.02


def test_rare_yes_that_is_told_from_no_a_little_is_learned():
    assert not said(yes_or_no(end=0.405))
    assert cost_of_shares(yes_or_no(first=1.2)) is None  # the yes weigh more


def test_the_manifest_says_that_classes_are_weighed():
    assert describe_loss(nn.CrossEntropyLoss(torch.tensor([1.0, 2.0])))["weighted"]
    assert describe_loss(nn.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0])))["weighted"]
    assert "weighted" not in describe_loss(nn.CrossEntropyLoss(label_smoothing=0.1))
