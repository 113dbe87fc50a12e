"""Recurrent weights that begin so large that every moment of a sequence multiplies what went before.

A random matrix W [n, n] with elements of standard deviation s has a spectral radius of s * sqrt(n) (the circular law:
Girko; Tao and Vu, 2010). A state that passes through it again and again is held by a slope of 1; beyond that the states
of a net with a tanh are chaotic (Sompolinsky, Crisanti and Sommers, Chaos in random neural networks, 1988), and its
gradients explode through time (Pascanu, Mikolov and Bengio, 2013).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from probes.diagnosis.view import RunView

BEYOND = 3.0
"""Radius that no scheme in use gives: orthogonal 1, Xavier 1, PyTorch's default 0.6, He 1.4, a standard normal of ten
units 3.2."""


@dataclass(frozen=True)
class Multiplied:
    """A recurrent matrix: its name, its module, and its spectral radius before the first step."""

    name: str
    module: str
    radius: float


def multiplied(view: RunView) -> tuple[Multiplied, ...]:
    """Recurrent weights (`weight_hh...` of `torch.nn`) that are trained and begin with a radius above `BEYOND`."""
    stds = view.layers("weight_std")
    if stds is None or not len(stds) or stds.steps[0] != 0 or view.start_step > 0:
        return ()
    found = []
    for parameter in view.parameters:
        own = parameter.name.rpartition(".")[2].startswith("weight_hh")
        if not own or not parameter.trainable or len(parameter.shape) != 2 or parameter.name not in stds.layers:
            continue
        first = stds.pick([parameter.name])
        radius = float(first.values[0, 0]) * math.sqrt(parameter.shape[1])
        if first.measured[0, 0] and math.isfinite(radius) and radius > BEYOND:
            found.append(Multiplied(parameter.name, parameter.module, radius))
    return tuple(found)
