"""The examples of every rule, run as they stand in its documentation, judged by every rule (the cross-fire
matrix).
"""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn
from trainings import digits, train

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.text import example

FIRES, QUIET = "Example that fires", "Example that stays quiet"

ALSO: dict[str, set[str]] = {
    "collapsed-activations": {"constant-predictions", "loss-not-decreasing"},
    "weights-growing": {"loss-output-mismatch"},
    "oscillating-loss": {"noisy-loss"},
    "noisy-loss": {"oscillating-loss"},
    "slow-convergence": {"learning-rate-too-low"},
    "noisy-filters": {"learning-rate-too-low", "slow-convergence", "loss-not-decreasing"},
    "nonfinite-values": {"constant-predictions", "learning-rate-too-high", "exploding-gradients"},
    "vanishing-gradients": {"collapsed-activations", "constant-predictions", "loss-not-decreasing"},
    "exploding-gradients": {
        "collapsed-activations",
        "weights-growing",
        "nonfinite-values",
        "learning-rate-too-high",
        "dead-units",
    },
    "learning-rate-too-high": {"collapsed-activations", "constant-predictions", "dead-units"},
    "dead-units": {"collapsed-activations", "constant-predictions", "loss-not-decreasing", "missing-gradients"},
    "constant-predictions": {"missing-gradients"},  # its sigmoid lets nothing back when the scores have grown
    "gradients-not-cleared": {"overfitting"},
    "no-generalization": {"overfitting"},
    "learning-rate-too-low": {"loss-not-decreasing", "slow-convergence"},
    "saturated-activations": {"poor-initialization"},  # by weights far too large
    "poor-initialization": {
        "collapsed-activations",
        "loss-not-decreasing",
        "vanishing-gradients",
        "constant-predictions",
    },
    "unnormalized-inputs": {
        "learning-rate-too-high",
        "collapsed-activations",
        "constant-predictions",
        "unexpected-initial-loss",
        "dead-units",
        "loss-not-decreasing",
    },
}
"""Rule -> what else its ill example shows, and rightly so. Anything not listed fails."""


@functools.cache
def report(slug, heading):
    """The report of all rules on the example ``heading`` of rule ``slug``."""
    torch.manual_seed(0)
    inputs, targets = digits()
    names = {"torch": torch, "nn": nn, "inputs": inputs, "targets": targets}
    made = []

    def example_train(model, optimizer, **options):
        if "data" not in options and (names["targets"] is not targets or names["inputs"] is not inputs):
            options["data"] = names["inputs"][:1400], names["targets"][:1400]
            options["validation"] = names["inputs"][1400:], names["targets"][1400:]
        made.append(train(model, optimizer, **options))

    names["train"] = example_train
    exec(example(RULES[slug], heading), names)
    return judge(made[-1], RULES.values())


@pytest.mark.parametrize("slug", RULES)
def test_the_ill_example_fires_and_nothing_unexpected_does(slug):
    found = {f.rule for f in report(slug, FIRES).findings if f.severity != "info"}
    assert slug in found
    assert found - {slug} <= ALSO.get(slug, set())


@pytest.mark.parametrize("slug", RULES)
def test_the_healthy_example_is_quiet(slug):
    judged = report(slug, QUIET)
    assert [f.rule for f in judged.findings if f.severity != "info"] == []
    assert slug in judged.clear or slug in {f.rule for f in judged.findings}, "the example must be judged"
