"""A step that makes infinities of finite gradients: Adam and its kin in float16, whose ``eps`` is zero there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.view import RunView

SMALLEST = 2.0**-25
"""Numbers up to this are rounded to zero in float16 (IEEE 754: half of its smallest subnormal, 2^-24)."""


@dataclass(frozen=True)
class Divided:
    """The first frame whose updates are not finite while all gradients so far are, and the weights concerned."""

    step: int
    layers: tuple[str, ...]
    eps: float | None


def divided_by_nothing(view: RunView) -> Divided | None:
    """Told of float16 weights under an optimizer that divides by the gradient's own size.

    It adds ``eps`` to that size. The usual 1e-8 is zero in float16, and so is the square of a gradient below 2e-4: what
    is divided by them is infinite or no number, whatever the learning rate.
    """
    updates, gradients = view.layers("update_norm"), view.layers("grad_norm")
    half = {parameter.name for parameter in view.parameters if parameter.dtype == "float16"}
    if not half or not view.adaptive or updates is None or gradients is None:
        return None
    broken = updates.measured & ~np.isfinite(updates.values)
    rows = np.flatnonzero(broken.any(axis=1))
    if not len(rows):
        return None
    step = int(updates.steps[rows[0]])
    layers = tuple(name for name, bad in zip(updates.layers, broken[rows[0]], strict=True) if bad)
    early = gradients.until(step)
    finite = np.isfinite(early.values) | ~early.measured
    if not half.issuperset(layers) or not len(early) or not finite.all():
        return None
    known = [group.eps for group in view.optimizers if group.eps is not None]
    if known and min(known) > SMALLEST:
        return None
    return Divided(step, layers, min(known, default=None))
