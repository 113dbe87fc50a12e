"""Lowest and largest values of a cross-entropy."""

from __future__ import annotations

import math


def floor_of(classes: int, span: float = 1.0) -> float:
    """The lowest cross-entropy of C scores that differ by at most ``span``: ln(1 + (C - 1) e^-span)."""
    return math.log1p((classes - 1) * math.exp(-span))


def entropy(sure: float, classes: int) -> float:
    """The largest cross-entropy of a model that gives its choice the probability ``sure`` and is right so often."""
    sure = min(max(sure, 1.0 / classes), 1.0 - 1e-9)
    rest = 1.0 - sure
    return -sure * math.log(sure) - rest * math.log(rest / (classes - 1))
