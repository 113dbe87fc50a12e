"""At which steps a run was validated, and what of its training follows each validation."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.tracks import VALIDATION_SPLITS, split_of
from probes.diagnosis.view import Curve, Floats, RunView, Steps

ENOUGH = 5
"""Values of a curve below which nothing is said of its level."""
MINIMUM_PAIRS = 3
"""Validations below which they are not held against the training between them."""


def validated(view: RunView) -> Steps:
    """The steps at which anything of a validation split was logged."""
    steps = [
        curve.steps
        for name in view.series_names
        if split_of(name)[0] in VALIDATION_SPLITS and (curve := view.series(name)) is not None
    ]
    return np.unique(np.concatenate(steps)) if steps else np.empty(0, dtype=np.int64)


def between(validation: Curve, train: Curve) -> Floats:
    """How many values of training lie between each validation and the next, at least 1, [T]."""
    edges = np.searchsorted(train.steps, np.append(validation.steps, train.steps[-1]), side="right")
    return np.maximum(np.diff(edges), 1).astype(np.float64)


def following(validation: Curve, train: Curve, *, mean: bool = False) -> Floats:
    """The median or the mean of what was logged in training from each validation to the next, [T].

    After the last one: what was logged before it.
    """
    edges = np.searchsorted(train.steps, np.append(validation.steps, train.steps[-1]), side="right")
    values = np.empty(len(validation))
    for index in range(len(validation)):
        begin, end = int(edges[index]), int(edges[index + 1])
        if end <= begin:
            begin, end = max(0, begin - 1), max(begin, 1)
        values[index] = float((np.mean if mean else np.median)(train.values[begin:end]))
    return values
