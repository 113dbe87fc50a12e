"""Pictures of a real sanity report, and of evidence that is none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from app.series import sanity_pictures as series
from probes import check


@pytest.fixture(scope="module")
def evidence() -> dict[str, Any]:
    """What the real checks say of a small convolutional net, as it comes back from JSON."""
    torch.manual_seed(0)
    images, labels = torch.randn(64, 1, 6, 6), torch.arange(64) % 3
    images += labels[:, None, None, None] * 0.5
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(64, 3)
    )  # fmt: skip
    names = [*series._MAKERS]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    report = check(model, torch.nn.CrossEntropyLoss(), [(images, labels)], optimizer=optimizer, checks=names)
    return {one["check"]: one["evidence"] for one in report.to_dict()["results"]}


@pytest.mark.parametrize("name", sorted(series._MAKERS))
def test_every_check_with_a_picture_gives_one_from_its_real_evidence(name: str, evidence) -> None:
    assert series.picture(name, evidence[name]) is not None


def test_the_curves_are_those_that_were_measured(evidence) -> None:
    sweep = series.picture("learning-rate-range", evidence["learning-rate-range"])
    told = evidence["learning-rate-range"]
    name, x, y, main = sweep.curves[1]
    assert name == "smoothed" and main and sweep.log_x
    np.testing.assert_array_equal(x, told["rates"])
    shown = np.isfinite(y)
    np.testing.assert_array_equal(y[shown], np.array(told["smoothed"])[shown])
    guides = {guide.value: guide for guide in sweep.guides}
    assert guides[told["suggested"]].upright and guides[0.05].label == "yours 0.05"
    overfit = series.picture("overfit-small-batch", evidence["overfit-small-batch"])
    (best,) = [curve for curve in overfit.curves if curve[3]]
    told = evidence["overfit-small-batch"]
    assert best[2].min() == pytest.approx(told["loss_end"], abs=1e-9) and best[2][0] == pytest.approx(
        told["loss_start"]
    )


def test_the_inputs_are_shown_as_images(evidence) -> None:
    found = series.picture("input-normalization", evidence["input-normalization"])
    assert isinstance(found, series.Images)
    assert found.pixels.shape[1:] == (6, 6, 3) and found.pixels.max() > 200 and found.pixels.min() < 50


def test_nan_in_a_curve_is_a_gap_and_not_a_failure() -> None:
    fit = {"learning_rate": 1.0, "loss": [2.0, "NaN", "Infinity", None]}
    evidence = {
        "examples": 4, "loss_floor": 0, "loss_constant": 2, "limits": {"pass": 0.1}, "learning_rate": 1.0,
        "curves": [fit],
    }  # fmt: skip
    (curve,) = series.picture("overfit-small-batch", evidence).curves
    assert curve[2][0] == 2.0 and math.isnan(curve[2][1]) and math.isinf(curve[2][2])


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    "curves",
    "limits",
    "layers",
    "inputs",
    "images",
    "counts",
    "rates",
    "losses",
    "smoothed",
    "suggested",
    "parameters",
    "gradient_norms",
    "update_ratios",
    "learning_rate",
    "loss_floor",
    "loss_constant",
    "examples",
]


@given(st.sampled_from(sorted(series._MAKERS)), st.dictionaries(st.sampled_from(KEYS), JSON))
@settings(max_examples=300, deadline=None)
def test_evidence_of_any_form_never_raises(name: str, evidence: dict[str, Any]) -> None:
    series.picture(name, evidence)
