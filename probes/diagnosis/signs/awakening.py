"""A plateau that is being left: the loss rests, and what tells the examples apart grows within the net.

Near a saddle the loss hardly changes while the part of the signal that is learned grows by a share of itself again and
again, until it is large enough to be seen in the loss (Saxe, McClelland and Ganguli, Exact solutions to the nonlinear
dynamics of learning in deep linear neural networks, 2014; LeCun et al., Efficient BackProp, 1998, on plateaus of
sigmoid nets). A net that is dead, or in which nothing comes through, shows no such growth.
"""

from __future__ import annotations

import numpy as np

from probes.diagnosis.task import last_module
from probes.diagnosis.view import RunView

FRAMES = 4
"""Frames in a row over each of which it must have grown: one rise in four is chance, four are not."""
GROWN = 1.25
"""Growth over all of them: more than batches of some dozen examples differ by."""
FAINT = 0.25
"""Variation across the examples, as a share of all variation, above which it is no longer small: where a net tells its
examples apart and has learned nothing yet, the loss does not wait for more of that."""


def is_awakening(view: RunView) -> bool:
    """Whether the variation across the examples (`batch_variation`) of the last hidden module is below `FAINT` and has
    grown in each of the last `FRAMES` frames, by `GROWN` in all. In the last module a common bias would hide it.
    """
    table, last = view.layers("batch_variation"), last_module(view)
    if table is None or last is None:
        return False
    hidden = [name for name in table.layers if name != last.name]
    hidden = [name for name in hidden if bool(table.pick([name]).measured.any())]
    if not hidden:
        return False
    one = table.pick(hidden[-1:])
    values = one.values[one.measured[:, 0], 0][-FRAMES - 1 :]
    if len(values) <= FRAMES or not np.isfinite(values).all():
        return False
    return bool((np.diff(values) > 0).all()) and bool(GROWN * values[0] < values[-1] < FAINT)
