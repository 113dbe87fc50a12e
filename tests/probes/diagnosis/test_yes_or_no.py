"""Answers of yes and no, one of an example or several: what guessing gets right and costs, and what that convicts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.class_shares import cost_of_shares
from probes.diagnosis.engine import judge
from probes.diagnosis.outcome import answers_poorly
from probes.diagnosis.progress import guessing_loss, majority_share, progress
from probes.diagnosis.view import RunView
from probes.diagnosis.yes_or_no import YesOrNo, counts_examples, yes_or_no

STEPS, FRAMES, TIMES = np.arange(1, 401), np.array([1, 2, 5, 10, 20, 50, 100, 200, 300]), np.arange(0, 401, 40)
SHARES = np.array([0.1, 0.2, 0.4, 0.3, 0.35, 0.15])
GIVEN = {"class": "BCEWithLogitsLoss", "reduction": "mean"}


def targets_seen(targets):
    """What the probe records of batches of targets [T, N, ...]."""
    flat = targets.reshape(len(targets), -1)
    seen = {"mean": flat.mean(1), "std": flat.std(1), "min": flat.min(1), "max": flat.max(1)}
    return {f"data/target_{name}": (FRAMES, values) for name, values in seen.items()}


def tags(count=32):
    return (np.random.default_rng(0).random((len(FRAMES), count, len(SHARES))) < SHARES).astype(float)


def course(start, end):
    return end + (start - end) * np.exp(-STEPS / 40.0)


def view(loss=None, right=None, *, targets=None, given=None, layers=None, held=None, apart=False):
    targets = tags() if targets is None else targets
    rng = np.random.default_rng(1)
    loss = course(0.69, 0.2) if loss is None else loss
    series = {"train/loss": (STEPS, loss * (1.0 + 0.03 * rng.standard_normal(400))), **targets_seen(targets)}
    if right is not None:
        series["train/accuracy"] = (STEPS, np.broadcast_to(right, 400))
    if held is not None:
        series["val/loss"], series["val/accuracy"] = ((TIMES, np.broadcast_to(v, len(TIMES))) for v in held)
    shape = list(targets.shape[1:])
    manifest = {"loss": given or GIVEN, "data": {"target_shape": shape, "output_shape": shape}}
    if apart:
        each = targets.reshape(-1, targets.shape[-1])
        manifest["data"] |= {"target_means": each.mean(0).tolist(), "target_examples": len(each)}
    if layers is not None:
        names = [f"{name}.weight" for name in ("fc1", "fc2")]
        entries = [{"name": n, "module": n[:3], "shape": [16, 16], "trainable": True} for n in names]
        manifest["model"] = {"parameters": entries, "modules": []}
        layers = {kind: (names, [0, 1, 200], np.array(rows)) for kind, rows in layers.items()}
    return RunView.of_arrays(series, layers or {}, manifest=manifest)


def test_guessing_is_known_of_several_answers_at_once():
    run, targets = view(right=0.92), tags()
    counted = np.maximum(targets.mean((0, 1)), 1 - targets.mean((0, 1))).mean()
    assert guessing_loss(run) == pytest.approx(math.log(2))
    assert majority_share(run) == pytest.approx(max(targets.mean(), 1 - targets.mean()))
    assert majority_share(run) <= counted + 1e-9
    seen = yes_or_no(run)
    assert seen is not None and (seen.examples, seen.answers) == (32 * len(FRAMES), 6)


def test_of_one_answer_the_more_frequent_is_guessed():
    targets = tags()[:, :, :1]
    assert majority_share(view(targets=targets)) == pytest.approx(1 - targets.mean())
    assert majority_share(view(targets=targets[:, :, 0])) == pytest.approx(1 - targets.mean())


@pytest.mark.parametrize(
    "targets",
    [
        np.random.default_rng(2).random((len(FRAMES), 32, 1)),  # fractions
        np.repeat(np.arange(len(FRAMES)) % 2, 32).reshape(-1, 32, 1).astype(float),  # an adversary's
        (np.random.default_rng(3).random((len(FRAMES), 8, 1, 12, 12)) < 0.2).astype(float),  # a mask
    ],
)
def test_not_known_of_other_targets(targets):
    run = view(targets=targets)
    assert yes_or_no(run) is None and guessing_loss(run) is None and majority_share(run) == 0.0


def test_weights_and_sums_cost_something_else():
    assert guessing_loss(view(given={**GIVEN, "weighted": True})) is None
    assert guessing_loss(view(given={**GIVEN, "reduction": "sum"})) is None
    assert guessing_loss(view(given={"class": "MSELoss", "reduction": "mean"})) is None


@pytest.mark.parametrize("sharpness", [0.5, 1.5, 3.0])
def test_an_accuracy_of_whole_examples_is_told_by_the_loss(sharpness):
    rng = np.random.default_rng(4)
    targets = (rng.random((400, 64, 12)) < 0.3).astype(float)
    scores = sharpness * (2 * targets - 1 + 0.6 * rng.standard_normal(targets.shape))
    losses = np.logaddexp(0.0, scores) - targets * scores
    right = (scores > 0) == (targets > 0.5)
    each = view(losses.mean((1, 2)), right.mean((1, 2)), targets=targets[: len(FRAMES)])
    assert counts_examples(each) is False and majority_share(each) > 0.6
    if sharpness > 1.0:  # answers that are hardly better than chance leave it open
        whole = view(losses.mean((1, 2)), right.all(2).mean(1), targets=targets[: len(FRAMES)])
        assert counts_examples(whole) is True and majority_share(whole) == 0.0


def test_an_accuracy_that_is_logged_less_often_than_the_loss():
    steps, seldom = np.arange(1, 40_001), np.arange(100, 40_001, 100)
    losses = np.full(len(steps), 0.2)
    for right, whole in ((0.5, True), (0.93, False)):
        series = {"train/loss": (steps, losses), "train/accuracy": (seldom, np.full(len(seldom), right))}
        assert counts_examples(RunView.of_arrays(series)) is whole
    assert counts_examples(RunView.of_arrays({"train/loss": (steps, losses)})) is None


def test_an_accuracy_near_that_of_the_more_frequent_answers_is_poor():
    assert answers_poorly(view(course(0.69, 0.5), 0.78)) is True
    assert answers_poorly(view(course(0.69, 0.15), 0.95)) is False


ALIKE = {
    "weight_min": [[0.5, 0.5], [0.4, 0.4], [0.3, 0.2]],
    "weight_max": [[0.5, 0.5], [0.41, 0.41], [0.5, 0.6]],
}
DRAWN = {**ALIKE, "weight_min": [[-0.5, -0.5], [-0.4, -0.4], [-0.3, -0.2]]}


def symmetric(run):
    report = judge(run, [RULES["symmetric-initialization"]])
    assert not [entry for entry in report.not_judged if "failed" in entry.reason], report.not_judged
    return [(finding.rule, finding.severity) for finding in report.findings]


def test_a_loss_that_came_down_to_guessing_from_far_above_has_learned_nothing():
    run = view(course(300.0, 0.55), 0.74, layers=ALIKE)
    learned = progress(run)
    assert learned is not None and learned.share < 0.25
    assert symmetric(run) == [("symmetric-initialization", "warning")]
    assert not symmetric(view(course(300.0, 0.55), 0.74, layers=DRAWN))
    assert not symmetric(view(course(300.0, 0.1), 0.97, layers=ALIKE))


EVEN = (np.random.default_rng(5).random((len(FRAMES), 64, 6)) < 0.25).astype(float)
GUESSED = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)


def generalises(run):
    report = judge(run, [RULES["no-generalization"]])
    assert not [entry for entry in report.not_judged if "failed" in entry.reason], report.not_judged
    return not report.findings


TRUE = float(np.mean(-SHARES * np.log(SHARES) - (1 - SHARES) * np.log1p(-SHARES)))


def test_what_the_shares_cost_is_that_of_each_answer_or_more_where_they_were_not_counted_apart():
    together, apart = cost_of_shares(view()), cost_of_shares(view(apart=True))
    assert together is not None and apart is not None
    assert abs(apart.cost - TRUE) < 3 * apart.error and together.cost > TRUE + 0.02


@pytest.mark.parametrize("shares", [np.full(8, 0.5), SHARES])
def test_the_more_frequent_answers_are_no_more_frequent_than_counted(shares):
    rng = np.random.default_rng(6)
    drawn = [
        YesOrNo(tuple((rng.random((100, len(shares))) < shares).mean(0)), 100, len(shares)).common for _ in range(500)
    ]
    assert np.mean(drawn) <= np.maximum(shares, 1 - shares).mean() < np.mean(drawn) + 0.06


def test_uneven_answers_that_are_even_together():
    shares = np.array([0.8, 0.2, 0.75, 0.25, 0.85, 0.15])
    targets = (np.random.default_rng(7).random((len(FRAMES), 64, 6)) < shares).astype(float)
    cost = float(np.mean(-shares * np.log(shares) - (1 - shares) * np.log1p(-shares)))
    held = np.append(0.69, np.linspace(cost, 1.05 * cost, 10)), np.append(0.5, np.full(10, 0.8))
    assert generalises(view(course(0.69, 0.8 * cost), 0.85, targets=targets, held=held))
    assert not generalises(view(course(0.69, 0.8 * cost), 0.85, targets=targets, held=held, apart=True))
    better = np.append(0.69, np.linspace(cost, 0.8 * cost, 10)), np.append(0.5, np.linspace(0.8, 0.86, 10))
    assert generalises(view(course(0.69, 0.7 * cost), 0.87, targets=targets, held=better, apart=True))


def test_examples_learned_by_heart_while_validation_never_beats_the_shares():
    train = course(0.69, 0.42)
    by_heart = np.append(0.69, np.linspace(GUESSED, 1.05 * GUESSED, 10)), np.append(0.5, np.full(10, 0.75))
    assert not generalises(view(train, 0.79, targets=EVEN, held=by_heart))
    learned = np.append(0.69, np.linspace(GUESSED, 0.8 * GUESSED, 10)), np.append(0.5, np.linspace(0.75, 0.83, 10))
    assert generalises(view(train, 0.83, targets=EVEN, held=learned))


def test_a_logistic_regression_is_what_it_was_meant_to_be():
    """One output, one layer: no classifier of several classes that lacks hidden layers."""
    one = (np.random.default_rng(8).random((len(FRAMES), 32, 1)) < 0.4).astype(float)
    run = view(course(0.69, 0.55), 0.7, targets=one, held=(0.56, 0.7))
    weights = [{"name": "fc.weight", "module": "fc", "shape": [1, 16], "trainable": True}]
    run.manifest["model"] = {"parameters": weights, "modules": [{"name": "fc", "type": "Linear"}]}
    report = judge(run, [RULES["underfitting"]])
    assert not [entry for entry in report.not_judged if "failed" in entry.reason], report.not_judged
    assert not [finding for finding in report.findings if finding.severity != "info"]
