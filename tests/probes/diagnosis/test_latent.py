"""The code of a variational autoencoder, on made series: one that says nothing, and others that are in order."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 801)
FALLING = 0.05 * np.exp(-STEPS / 60)
REBUILT = 0.07 + 0.3 * np.exp(-STEPS / 40)


def said(code, rebuilt=REBUILT, name="train/kl", beside="train/recon", status="finished"):
    series = {"train/loss": (STEPS, code + rebuilt), name: (STEPS, code), beside: (STEPS, rebuilt)}
    report = judge(RunView.of_arrays(series, status=status), [RULES["constant-predictions"]])
    assert not [entry for entry in report.not_judged if "failed" in entry.reason]
    return [(f.severity, f.first_step) for f in report.findings]


def test_a_divergence_that_goes_to_nothing_is_a_code_that_says_nothing():
    # Below a hundredth of where it began (the level of the first five values): 60 ln 100 = 276 steps after these.
    ((severity, first),) = said(FALLING)
    assert severity == "warning"
    assert abs(first - (276 + 3)) <= 1
    assert [severity for severity, _ in said(FALLING, status="running")] == ["info"]
    assert said(FALLING, name="train/kl_loss", beside="train/reconstruction_loss")


def test_a_code_that_was_gone_within_the_first_epoch_goes_on_to_fall():
    soon_gone = 4e-6 * np.exp(-STEPS / 150)  # at half of the run, to a fifteenth
    assert [severity for severity, _ in said(soon_gone)] == ["warning"]
    assert said(soon_gone, beside="train/bce")
    assert said(1e3 * soon_gone) == []


@pytest.mark.parametrize(
    "code",
    [
        np.full(800, 4e-6),  # next to nothing by its weight: it does not fall
        np.full(800, 0.02),
        0.0004 + 0.01 * STEPS / 800,  # it rises: the code learns
        0.01 + 40 * np.exp(-STEPS / 5),  # from far too much to what is usual
        np.where(STEPS < 650, 0.05, 1e-6),  # gone only since a moment ago
        -FALLING,
    ],
)
def test_a_code_that_says_something_is_none(code):
    assert said(code) == []


def test_a_divergence_from_a_teacher_may_go_to_nothing():
    assert said(FALLING, beside="train/nll") == []
