"""The weights begin far too large or far too small for the net's depth, and it does not learn.

What it detects
---------------
Outputs of the last layer that, before anything is learned, are many times larger than the inputs or next to
nothing, in a net that learns little.

Why it matters
--------------
Each layer multiplies what passes through by a factor that its initial weights set; over the depth these factors
multiply. Too large, the net is sure of wrong answers, its gradients are huge and the first steps ruin it; too small,
all inputs look alike to the last layers, and no gradient comes back.

Criterion
---------
In the first frame, at step 1, the standard deviation of the output of the last layer that has weights, over the
root mean square of the inputs where these were recorded, is above `large` (10); or what of it differs from example
to example, and not from unit to unit as biases do, is below `small` (1e-3), and not exactly zero (a last layer that
begins at zero is common and healthy). The weights must be to blame: the median over the layers of their standard
deviation times the square root of the fan-in (He: 1.4, Xavier about 1, torch's default 0.6) is then above
`large_gain` (2) or below `small_gain` (0.3). A signal that dies in usual weights is left to `vanishing-gradients`.
A warning when after `steps_needed` (100) steps the training loss has fallen by less than `learned` (0.2), measured
from that of guessing where it began above it; nothing otherwise. Layers that begin with all weights equal are told
by `symmetric-initialization`.

Evidence
--------
The standard deviation of the last layer's output at step 1, and the fall of the loss.

What to try
-----------
1. Initialise for the activation: kaiming_normal_ for ReLU, xavier_uniform_ for tanh and sigmoid, divided by the
   square root of the fan-in either way.
2. Leave the initialisation to torch.nn: its defaults suit nets of a few layers.
3. Add normalisation layers.

When it misleads
----------------
Regression on targets of large numbers may begin with large outputs on purpose; only a net that does not learn is
reported.

Example that fires
------------------
```python
model = nn.Sequential(
    nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
    nn.Linear(64, 10),
)
for module in model:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
train(model, torch.optim.SGD(model.parameters(), lr=0.02))
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1))
```

References
----------
- Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010.
- He et al., Delving deep into rectifiers, ICCV 2015.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.numbers import percent, short
from probes.diagnosis.progress import progress
from probes.diagnosis.rule import Rule
from probes.diagnosis.view import NotJudged, RunView


def criterion(
    output: float,
    varying: float,
    gain: float,
    *,
    large_gain: float = 2.0,
    small_gain: float = 0.3,
    large: float = 10.0,
    small: float = 1e-3,
    learned: float = 0.2,
    steps_needed: float = 100,
) -> Literal["large", "small"] | None:
    """Whether outputs are far too large or too small before anything is learned.

    Args:
        output: standard deviation of the last layer's output over the root mean square of the inputs.
        varying: the same across the examples of the batch alone.
        gain: standard deviation of the weights times the root of the fan-in, median of the layers.
        large_gain: gain above which the weights are to blame (He: 1.4).
        small_gain: gain below which they are (torch's default: 0.6).
        large: He, Xavier and torch's defaults stay between 0.05 and 3 for ten layers.
        small: float32 still computes well there, but the inputs look alike beside the biases.
        learned: fall of the loss above which no harm was done (used by the judge).
        steps_needed: steps before which nothing is said (used by the judge).
    """
    if output > large and gain > large_gain:
        return "large"
    return "small" if 0.0 < varying < small and gain < small_gain else None


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the first frame, and whether the net has learned since."""
    table = view.need_layers("activation_std")
    homes = {parameter.module for parameter in view.parameters if parameter.is_weight}
    places = [column for column, name in enumerate(table.layers) if name in homes]
    if int(table.steps[0]) > 1 or not places or not table.measured[0, places[-1]]:
        raise NotJudged("the outputs of the last layer with weights were not recorded at step 1")
    learned = progress(view)
    if learned is None or view.last_step < thresholds["steps_needed"]:
        raise NotJudged(f"needs a training loss over {int(thresholds['steps_needed'])} steps")
    layer, spread = table.layers[places[-1]], float(table.values[0, places[-1]])
    gain = _gain(view)
    varying, size = spread * _varying_share(view, layer), _input_size(view)
    kind = criterion(spread / size, varying / size, gain, **thresholds)
    if kind is None or learned.share >= thresholds["learned"]:
        return []
    message = (
        f"Before anything is learned the outputs of {layer} have a standard deviation of "
        f"{short(spread if kind == 'large' else varying)}{'' if kind == 'large' else ' from example to example'}: the "
        f"initial weights are far too {kind} (standard deviation times root of the fan-in: {short(gain)}). "
        f"{learned.series} went from {short(learned.start)} to {short(learned.end)}."
    )
    limit = thresholds[kind]
    return [
        RULE.finding(
            "warning",
            message,
            (int(table.steps[0]), view.last_step),
            view,
            layers=(layer,),
            evidence=(
                Evidence("activation_std", spread, limit if kind == "large" else None, ">", 1, layer, "at step 1"),
                Evidence(
                    "activation_std", varying, limit if kind == "small" else None, "<", 1, layer, "across examples"
                ),
                Evidence(
                    learned.series,
                    learned.share,
                    thresholds["learned"],
                    "<",
                    note=f"fall of the loss ({percent(max(learned.share, 0.0))})",
                ),
            ),
            suggestions=(
                "initialise for the activation in use: torch.nn.init.kaiming_normal_ for ReLU, xavier_uniform_ for "
                "tanh and sigmoid",
                "or leave the initialisation to torch.nn",
                "add batch or layer normalisation between the layers",
            ),
        )
    ]


def _varying_share(view: RunView, layer: str) -> float:
    """Standard deviation across the batch over that of all elements, in the first frame; 1 when not recorded."""
    table = view.layers("batch_variation")
    picked = table.pick([layer]) if table is not None else None
    if picked is None or not picked.layers or not picked.measured[0, 0] or not np.isfinite(picked.values[0, 0]):
        return 1.0
    return float(picked.values[0, 0])


def _input_size(view: RunView) -> float:
    """Root mean square of the inputs in the first frame; 1 when it was not recorded."""
    means, stds = view.layers("input_mean"), view.layers("input_std")
    if means is None or stds is None:
        return 1.0
    size = float(np.sqrt(np.mean(means.values[0] ** 2 + stds.values[0] ** 2)))
    return size if np.isfinite(size) and size > 0 else 1.0


def _gain(view: RunView) -> float:
    """Standard deviation times root of the fan-in of the weights as recorded first; median of the layers.

    Raises:
        NotJudged: not recorded, or some weights begin with all elements equal, which is another rule's business.
    """
    stds = view.need_layers("weight_std")
    fans = {p.name: p.numel / p.shape[0] for p in view.parameters if p.is_weight and p.numel}
    own = [column for column, name in enumerate(stds.layers) if name in fans and stds.measured[0, column]]
    gains = np.asarray([stds.values[0, column] * math.sqrt(fans[stds.layers[column]]) for column in own])
    if not len(gains) or not (gains[:-1] > 0).all():
        raise NotJudged("the spread of the initial weights is not known, or zero")
    return float(np.median(gains))


RULE = Rule(
    slug="poor-initialization",
    family="initialisation",
    severity="warning",
    title="The initial weights do not suit the net",
    needs="the outputs of the last layer at step 1, and the training loss over 100 steps",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
