"""No check fails on a healthy set-up, and each fault is noticed by the check that is meant to notice it.

The set-ups are in benchmarks/checks/, which also runs every check on every one of them and writes the table in docs/.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from probes.checks import SanityReport, check, slugs

sys.path.insert(0, str(Path(__file__).parents[3]))

from benchmarks.checks.__main__ import caught
from benchmarks.checks.faulty import FAULTY
from benchmarks.checks.healthy import HEALTHY, WARNS
from benchmarks.checks.unseen import UNSEEN

SLOW = ("learning-rate-range", "overfit-small-batch", "input-dependence")
QUICK = [slug for slug in slugs() if slug not in SLOW]
WHOLE = (
    "mlp gelu, layer norm, dropout, adamw",
    "cnn, digits",
    "diabetes, mse",
    "multi-label",
    "variational autoencoder",
    "rnn on waves",
    "dict inputs with a mask",
)


def report(make: Any, **options: Any) -> SanityReport:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # No time limit: what a loaded machine does not get done must not decide a test.
        return check(**make(), budget=3600.0, **options)


def test_there_are_enough_of_them() -> None:
    assert len(HEALTHY) >= 30 and len(FAULTY) >= 25
    assert {fault.check for fault in FAULTY.values()} == set(slugs()), "each check has a fault to catch"


@pytest.mark.parametrize("name", [*HEALTHY, *UNSEEN])
def test_healthy(name: str) -> None:
    found = report({**HEALTHY, **UNSEEN}[name], checks=None if name in WHOLE else QUICK)
    said = {r.check: f"{r.status}: {r.message}" for r in found.results if r.status in ("warn", "fail")}
    assert set(said) <= set(WARNS.get(name, {})), said
    assert found.ok
    assert not [r.message for r in found.results if "broke" in r.message]


@pytest.mark.parametrize("name", FAULTY)
def test_fault(name: str) -> None:
    fault = FAULTY[name]
    found = report(fault.make, checks=[fault.check])
    assert caught(fault, found), found[fault.check]
    assert found[fault.check].suggestions, "it says what to do"
