"""A net whose activations never did anything: signals so small that a tanh gives back what it reads.

The slope of a tanh is 1 at zero. Of normal signals with a standard deviation of 0.3 it gives back 0.94 of that, of 0.6
still 0.82. As long as all of them are small the net is one linear map.
"""

from __future__ import annotations

from probes.diagnosis.view import RunView

BENT = 0.9
"""Standard deviation of what an activation gives, over that of what it reads, from which it has hardly bent it."""
STRAIGHT_AT_ZERO = ("tanh", "softsign", "hardtanh")
"""Activations with a slope of 1 at zero on both sides."""


def never_bent(view: RunView) -> bool:
    """Whether the model has activations, all with a slope of 1 at zero, and in the last frame each gives back what the
    layer in front of it gives.
    """
    table = view.layers("activation_std")
    active = [place for place, module in enumerate(view.modules) if module.activation]
    if table is None or not active or active[0] == 0:
        return False
    if any(view.modules[place].activation not in STRAIGHT_AT_ZERO for place in active):
        return False
    for place in active:
        module, before = view.modules[place], view.modules[place - 1]
        if module.name not in table.layers or before.name not in table.layers:
            return False
        given, read = (float(table.pick([name]).values[-1, 0]) for name in (module.name, before.name))
        if module.output_shape != before.output_shape or not given >= BENT * read > 0:
            return False
    return True
