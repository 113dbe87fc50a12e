"""Wrong targets and what they cost, against counted entropies and a net that knows every right class."""

from __future__ import annotations

import math

import numpy as np
import pytest

from probes.diagnosis.registry import RULES
from probes.diagnosis.signs.label_noise import (
    classes_of,
    cost_of_wrong_targets,
    costs_as_wrong_targets,
    lost_to_wrong_targets,
)
from probes.diagnosis.view import RunView


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("right", [0.3, 0.55, 0.8, 1.0])
def test_the_cost_is_the_entropy_of_a_target_that_is_right_or_any_other(classes: int, right: float) -> None:
    shares = np.array([right] + [(1 - right) / (classes - 1)] * (classes - 1))
    entropy = -sum(p * math.log(p) for p in shares.tolist() if p > 0)
    assert cost_of_wrong_targets(np.array([right]), classes)[0] == pytest.approx(entropy, abs=1e-6)


def test_no_targets_leave_more_open_at_the_same_accuracy() -> None:
    generator = np.random.default_rng(0)
    for shares in generator.dirichlet(np.ones(7), size=200):
        entropy = float(-(shares * np.log(shares)).sum())
        assert entropy <= cost_of_wrong_targets(shares.max(keepdims=True), 7)[0] + 1e-9


def test_targets_drawn_anew_are_told_from_mixed_examples() -> None:
    """A net that answers as well as can be: half of the targets are any class, or each example is two mixed."""
    generator = np.random.default_rng(1)
    targets = generator.random((40, 500)) < 0.55  # right, of 10 classes
    loss = np.where(targets, -math.log(0.55), -math.log(0.45 / 9)).mean(1)
    assert costs_as_wrong_targets(loss, targets.mean(1), 10)
    share = generator.random((40, 500))  # mixup: the loss is that of both targets, the accuracy that of the first
    mixed = -(share * np.log(share) + (1 - share) * np.log(1 - share)).mean(1)
    assert not costs_as_wrong_targets(mixed, (share > 0.5).mean(1), 10)


@pytest.mark.parametrize("wrong", [0.3, 0.6])
@pytest.mark.parametrize("classes", [3, 10])
def test_what_wrong_targets_take_is_known_at_every_accuracy(wrong: float, classes: int) -> None:
    """Answers counted against true targets and against targets of which a part was drawn from the other classes."""
    rng = np.random.default_rng(2)
    held, right = [], []
    for known in (0.55, 0.7, 0.8, 0.9):
        true = rng.integers(classes, size=40_000)
        answers = np.where(rng.random(40_000) < known, true, rng.integers(classes, size=40_000))
        other = (true + rng.integers(1, classes, size=40_000)) % classes
        held.append(np.mean(answers == true))
        right.append(np.mean(answers == np.where(rng.random(40_000) < wrong, other, true)))
    lost = lost_to_wrong_targets(np.array(held), np.array(right), 0.005, classes)
    assert lost == pytest.approx(wrong * classes / (classes - 1), abs=0.03)
    assert lost_to_wrong_targets(np.array(held), np.array(held), 0.005, classes) is None
    assert lost_to_wrong_targets(np.array(held), np.array(right), 0.2, classes) is None, "this may be chance"


KNOWN = np.array([0.1, 0.35, 0.5, 0.55, 0.5, 0.45, 0.42, 0.4, 0.4, 0.4, 0.4])
"""Accuracy on held-out examples while wrong targets are learned by heart, at each of 11 validations."""
BY_HEART = np.array([0, 0, 0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95])
"""Part of the training examples that is known by heart from each validation to the next."""


def _of_targets(
    wrong: float, *, held: np.ndarray = KNOWN, by_heart: np.ndarray = BY_HEART, cost: float = 1.0, drops: float = 0.0
) -> list[str]:
    """What the rule says of a net that learns 10 classes from targets of which a part is ``wrong``."""
    rng, span, steps = np.random.default_rng(3), 40, np.arange(1, 401)
    general = 0.9 * (1.0 - wrong) * (held[1:] - 0.1) / 0.9 + 0.1
    right = np.repeat(general + by_heart * (1.0 - general), span)
    loss = cost * cost_of_wrong_targets(right, 10) + 0.02 * rng.standard_normal(400)
    series = {
        "train/loss": (steps, loss),
        "train/accuracy": (steps, rng.binomial(32, right) / 32),
        "val/loss": (np.arange(11) * span, np.full(11, 1.8)),
        "val/accuracy": (np.arange(11) * span, held),
    }
    modes = [{"name": "drop", "type": "Dropout", "dropped": drops}] if drops else []
    manifest = {"data": {"classes": 10}, "loss": {"class": "CrossEntropyLoss"}, "model": {"mode_dependent": modes}}
    view = RunView.of_arrays(series, {}, manifest=manifest)
    rule = RULES["validation-anomaly"]
    return [f.message for f in rule.judge(view, **rule.thresholds) if f.severity == "warning"]


def test_wrong_targets_are_told_also_when_they_have_been_learned_by_heart() -> None:
    (message,) = _of_targets(0.6)
    assert message.startswith("Up to step ")
    assert "many of the training targets are not" in message


def test_a_net_that_overfits_right_targets_is_not_said_to_have_wrong_ones() -> None:
    assert _of_targets(0.0) == []
    assert _of_targets(0.2) == [], "few are wrong"


def test_mixed_examples_cost_less_than_wrong_targets() -> None:
    assert _of_targets(0.6, cost=0.7) == []


def test_what_is_forgotten_between_two_validations_was_not_lost_to_targets() -> None:
    collapsed = np.array([0.1, 0.3, 0.5, 0.6, 0.6, 0.12, 0.1, 0.1, 0.1, 0.1, 0.1])
    assert _of_targets(0.0, held=collapsed, by_heart=np.zeros(10)) == []


def test_with_dropout_more_must_be_lost() -> None:
    never = np.zeros(10)
    assert len(_of_targets(0.5, by_heart=never)) == 1
    assert _of_targets(0.5, by_heart=never, drops=0.4) == []


def test_the_number_of_classes_is_that_of_the_targets_or_of_the_last_layer() -> None:
    modules = [{"name": "head", "type": "Linear", "activation": None, "output_shape": [32, 5], "parameters": []}]

    def of(manifest: dict[str, object]) -> int | None:
        return classes_of(RunView.of_arrays({}, {}, manifest=manifest))

    assert of({"data": {"classes": 3}, "model": {"modules": modules}}) == 3
    assert of({"model": {"modules": modules}}) == 5
    assert of({}) is None
