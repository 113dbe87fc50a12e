"""Sigmoid or tanh units sit at the ends of their range, where they pass hardly any gradient.

What it detects
---------------
Hidden layers most of whose bounded activations lie at the ends of their range, in a run that does not learn.

Why it matters
--------------
The slope of sigmoid and tanh is near zero at both ends. A saturated layer passes almost no gradient to the
layers below, and changes slowly itself.

Criterion
---------
A layer counts when more than `saturated` (0.6) of its outputs lie beyond 95% of the half range, in at least 60% of
the latter half of its frames (and in at least `frames`, 3). The last module of the net is left out: a classifier that
is sure of itself has a saturated output. It is reported when the training loss has fallen by less than half, or by
less than 0.6 beside a poor accuracy (of a binary cross-entropy of fractions, with a third left of what can be learned):
critical below a tenth; only information in a run that goes on while the variation across the examples of the last
hidden module is faint and grows (below a quarter of all, in each of the last 4 frames, by a quarter or more in all).
Where no one training loss was logged, as of a generator and a discriminator, a distance between generated and real
examples stands for it (Fréchet, FID, KID, MMD), from its value before the first step, or from that of always giving the
mean, where a score beside it tells; and the end of the generator counts as hidden once the run is over and less than a
tenth of that distance is gone.
Debugger reports more than half of the units beyond the same 95%.

Evidence
--------
The saturated fraction of the worst layers, and the loss at both ends.

What to try
-----------
1. Initialise smaller (Xavier, with the gain of the activation), and normalise the inputs.
2. Lower the learning rate, if the layers were not saturated at the start.
3. Batch or layer normalisation before the activation; ReLU or GELU in its place.

When it misleads
----------------
Gates and bottlenecks may be meant to be binary. The gates inside LSTM and GRU modules are not seen.

Example that fires
------------------
```python
hidden = [nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh()]
model = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(32, 10))
for layer in (model[1], model[3]):
    nn.init.normal_(layer.weight, 0.0, 10.0)
nn.init.normal_(model[5].weight, 0.0, 0.01)
train(model, torch.optim.SGD(model.parameters(), lr=0.003))
```

Example that stays quiet
------------------------
```python
hidden = [nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh()]
model = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1))
```

References
----------
- Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010.
- Amazon SageMaker Debugger, rules SaturatedActivation and TensorVariance (threshold compared above).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from probes.diagnosis.achieved import achieved
from probes.diagnosis.finding import Evidence, Finding, Severity
from probes.diagnosis.numbers import names, percent, round_rate, short
from probes.diagnosis.outcome import HALF, came_to_little
from probes.diagnosis.rule import Rule
from probes.diagnosis.signs.awakening import is_awakening
from probes.diagnosis.signs.rivals import are_rivals, generators_outputs
from probes.diagnosis.view import Floats, Mask, NotJudged, RunView

PERSISTENT_SHARE = 0.6
NOTHING = 0.1
"""Fall of the loss below which nothing was learned."""


def criterion(fraction: Floats, measured: Mask, *, saturated: float = 0.6, frames: float = 3) -> Mask:
    """Which layers are saturated over the latter half of their frames, [L].

    Args:
        fraction: share of outputs beyond 95% of the half range per frame and layer, [T, L].
        measured: where it was measured, [T, L].
        saturated: share of a layer's outputs (Debugger: half of its units).
        frames: fewest frames that must be above.
    """
    result = np.zeros(fraction.shape[1], dtype=bool)
    for layer in range(fraction.shape[1]):
        above = fraction[measured[:, layer], layer] > saturated
        recent = above[len(above) // 2 :]
        result[layer] = above.sum() >= frames and bool(recent.mean() >= PERSISTENT_SHARE) and bool(above[-1])
    return result


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge every hidden layer with a bounded activation, and the harm by the training loss."""
    table = view.layers("saturated_fraction")
    if table is None or not table.measured.any():
        raise NotJudged("no saturated fraction was recorded (no sigmoid or tanh module)")
    last = view.modules[-1].name if view.modules else None
    learned = achieved(view)
    if learned is None:
        raise NotJudged("no training loss to judge the harm of saturation by")
    # Pictures in black and white saturate the end of a generator that learns.
    counts = view.status != "running" and learned.share < NOTHING
    made = generators_outputs(view) if not counts and are_rivals(view) else None
    ends = {last, made.name if made is not None else last}
    hidden = table.pick([name for name in table.layers if name not in ends])
    seen_at_all = np.flatnonzero(np.asarray(hidden.measured.any(axis=0)))
    hidden = hidden.pick([hidden.layers[column] for column in seen_at_all])
    if not hidden.layers or hidden.measured.sum(axis=0).max() < thresholds["frames"]:
        raise NotJudged(f"no hidden layer has {thresholds['frames']:.0f} frames of saturated_fraction")
    found = criterion(hidden.values, hidden.measured, **thresholds)
    if not found.any() or not (learned.share < HALF or came_to_little(view, learned)):
        return []
    columns = np.flatnonzero(found)
    layers = tuple(hidden.layers[column] for column in columns)
    rows = [np.flatnonzero(hidden.measured[:, column]) for column in columns]
    worst = [float(hidden.values[seen[-1], column]) for seen, column in zip(rows, columns, strict=True)]
    starts = []
    for seen, column in zip(rows, columns, strict=True):
        below = np.flatnonzero(hidden.values[seen, column] <= thresholds["saturated"])
        starts.append(int(hidden.steps[seen[min(below[-1] + 1, len(seen) - 1) if len(below) else 0]]))
    first = min(starts)
    top = layers[int(np.argmax(worst))]
    others = f" ({len(layers)} layers in all: {names(layers)})" if len(layers) > 1 else ""
    rate = view.learning_rate(first)
    slower = f"lower the learning rate from {short(rate)} to about {round_rate(rate / 10)}" if rate else None
    smaller = "initialise smaller: torch.nn.init.xavier_uniform_ with calculate_gain, and normalise the inputs"
    waits = view.status == "running" and is_awakening(view)
    severity: Severity = "info" if waits else "critical" if learned.share < NOTHING else "warning"
    order = (smaller, slower) if first <= int(hidden.steps[0]) else (slower, smaller)
    return [
        RULE.finding(
            severity,
            f"{percent(max(worst))} of the outputs of {top} lie at the ends of their range{others}, since "
            f"step {first}. The loss went from {short(learned.start)} to {short(learned.end)}.",
            (first, view.last_step),
            view,
            layers=layers,
            evidence=(
                *tuple(
                    Evidence(
                        "saturated_fraction",
                        value,
                        thresholds["saturated"],
                        ">",
                        int(hidden.steps[seen[-1]]),
                        layer,
                    )
                    for value, seen, layer in zip(worst, rows, layers, strict=True)
                )[:8],
                Evidence(learned.series, learned.end, 0.5 * learned.start, ">", note="loss at the end"),
            ),
            suggestions=(
                *tuple(text for text in order if text),
                "put batch or layer normalisation before the activation, or use ReLU or GELU in its place",
            ),
        )
    ]


RULE = Rule(
    slug="saturated-activations",
    family="activations",
    severity="critical",
    title="Activations are saturated",
    needs="3 frames of the saturated fraction, and one training loss",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
