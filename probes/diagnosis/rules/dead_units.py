"""Units that output zero for every input: no gradient passes through them, and they never come back.

What it detects
---------------
Layers most of whose units were silent for every example seen over the last frames, in a run that does not
learn.

Why it matters
--------------
The gradient of ReLU is zero where its output is. A unit that is silent on all the data gets no gradient, so
its weights never change again. When a whole layer dies, nothing below it is trained any more.

Criterion
---------
A layer counts when the fraction of dead units is above `dead` (0.7) in each of its last `frames` (2) frames:
units that were silent on every example of a window of recent frames, or, when at least 99.5% of all outputs
of a frame are zero, that share. It is reported when it does harm: the training loss has fallen by less than
half, or the output of the last module no longer depends on the example (it varies by less than 0.1% over the
batch, or is one number but for rounding). It is critical when the layer is dead altogether (above 0.97) and
the loss has fallen by less than a tenth, or the output is constant. A layer that was dead in its first frame
and never came alive is reported in the same way.

Where no training loss tells of harm, or the run has ended with less than a tenth of its loss gone (and the outputs were
not all alike in the first frame, which has another cause), the last frame must show all of it: a layer that gives only
zeros, outputs that are the same for all examples, and gradients of exactly zero in every weight before it (two or
more). Then nothing can bring it back, and one frame is enough. Critical; a warning while the run goes on.

Without harm it is not reported: wide layers of nets that learn well often have many silent units.
Debugger reports layers in which more than half of the units are active on less than 1% of inputs.

Evidence
--------
The dead fraction of the worst layers, and the loss at both ends.

What to try
-----------
1. Lower the learning rate: one large step can push the biases of a whole layer below zero.
2. Initialise for ReLU (He), with biases of zero or slightly above (0.01).
3. Use leaky ReLU, ELU or GELU, which pass gradient on both sides, or batch normalisation before the
   activation.
4. Normalise the inputs.

When it misleads
----------------
A set of inputs that is much narrower than the one the net was trained on (in fine-tuning) leaves many units
silent that are not dead. Layers computed by functions (`F.relu`) are not seen.

Example that fires
------------------
```python
hidden = [nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU()]
model = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(32, 10))
nn.init.constant_(model[3].bias, -20.0)
train(model, torch.optim.SGD(model.parameters(), lr=0.1))
```

Example that stays quiet
------------------------
```python
hidden = [nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU()]
model = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(32, 10))
nn.init.constant_(model[1].bias[:20].data, -20.0)
train(model, torch.optim.SGD(model.parameters(), lr=0.1))
```

References
----------
- Maas, Hannun and Ng, Rectifier nonlinearities improve neural network acoustic models, 2013 (leaky ReLU).
- Lu et al., Dying ReLU and initialization, 2020.
- Amazon SageMaker Debugger, rule DeadRelu (compared above).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from probes.diagnosis.finding import Evidence, Finding, Severity
from probes.diagnosis.numbers import names, percent, round_rate, short
from probes.diagnosis.progress import Progress, progress, progress_if_known
from probes.diagnosis.rule import Rule
from probes.diagnosis.signs.extinct import SAME, Extinct, extinct
from probes.diagnosis.view import Floats, LayerTable, Mask, NotJudged, RunView

WHOLLY = 0.97
SILENT = 0.995
ROUNDING = 1e-5
"""Deviation over mean below which numbers in float32 differ by rounding only (its precision is 1.2e-7)."""
LITTLE = 0.1
"""Share of the loss that is gone, below which a run that ended with a layer extinct came to nothing."""
RECTIFIERS = ("relu", "relu6", "hardswish", "hardshrink", "softshrink")


def criterion(fraction: Floats, measured: Mask, *, dead: float = 0.7, frames: float = 2) -> Mask:
    """Which layers are dead at the end, [L].

    Args:
        fraction: share of dead units per frame and layer, [T, L].
        measured: where it was measured, [T, L].
        dead: share of a layer's units (Debugger: half, of units that are rarely active).
        frames: last measured frames that must all be above.
    """
    result = np.zeros(fraction.shape[1], dtype=bool)
    for layer in range(fraction.shape[1]):
        seen = fraction[measured[:, layer], layer][-int(frames) :]
        result[layer] = len(seen) >= frames and bool((seen > dead).all())
    return result


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge every layer with a rectifier, and the harm by the training loss."""
    table = _silence(view)
    if table is None or not table.measured.any():
        raise NotJudged("no fraction of dead units was recorded (no rectifier module, or too few examples seen)")
    gone = extinct(view, RECTIFIERS)
    if gone is not None and progress_if_known(view) is None:
        return [_extinct(view, gone)]
    if table.measured.sum(axis=0).max() < thresholds["frames"]:
        if gone is not None and _came_to_nothing(view, progress_if_known(view)):
            return [_extinct(view, gone, logged=True)]
        raise NotJudged(f"fewer than {thresholds['frames']:.0f} frames of dead_fraction")
    learned = progress(view)
    if learned is None:
        raise NotJudged("no training loss to judge the harm of dead units by")
    found = criterion(table.values, table.measured, **thresholds)
    constant = _constant_output(view)
    if not found.any() and gone is not None and _came_to_nothing(view, learned):
        return [_extinct(view, gone, logged=True)]
    if not found.any() or not (learned.share < 0.5 or constant):
        return []
    columns = np.flatnonzero(found)
    layers = tuple(table.layers[column] for column in columns)
    last = [int(np.flatnonzero(table.measured[:, column])[-1]) for column in columns]
    worst = [float(table.values[row, column]) for row, column in zip(last, columns, strict=True)]
    wholly = max(worst) > WHOLLY
    severity: Severity = "critical" if wholly and (learned.share < 0.1 or constant) else "warning"
    starts = []
    for column in columns:
        rows = np.flatnonzero(table.measured[:, column])
        alive = np.flatnonzero(table.values[rows, column] <= thresholds["dead"])
        starts.append(int(table.steps[rows[alive[-1] + 1 if len(alive) else 0]]))
    first = min(starts)
    top = layers[int(np.argmax(worst))]
    others = f" ({len(layers)} layers in all: {names(layers)})" if len(layers) > 1 else ""
    rate = view.learning_rate(first)
    from_the_start = first == int(table.steps[np.flatnonzero(table.measured.any(axis=1))[0]])
    slower = f"lower the learning rate from {short(rate)} to about {round_rate(rate / 10)}" if rate else None
    initial = "initialise for ReLU (torch.nn.init.kaiming_normal_), with biases of zero or slightly above"
    order = (initial, slower) if from_the_start else (slower, initial)
    return [
        RULE.finding(
            severity,
            f"{percent(max(worst))} of the units of {top} are dead since step {first}{others}: they output "
            f"zero for every example. The loss went from {short(learned.start)} to {short(learned.end)}.",
            (first, view.last_step),
            view,
            layers=layers,
            evidence=(
                *tuple(
                    Evidence("dead_fraction", value, thresholds["dead"], ">", int(table.steps[row]), layer)
                    for value, row, layer in zip(worst, last, layers, strict=True)
                )[:8],
                Evidence(learned.series, learned.end, 0.5 * learned.start, ">", note="loss at the end"),
            ),
            suggestions=(
                *tuple(text for text in order if text),
                "use leaky ReLU, ELU or GELU, which pass gradient on both sides",
                "put batch or layer normalisation before the activation, and normalise the inputs",
            ),
        )
    ]


def _came_to_nothing(view: RunView, learned: Progress | None) -> bool:
    """Whether a run has ended with next to none of its loss gone, and its outputs were not all alike at first."""
    if view.status == "running" or learned is None or learned.share >= LITTLE:
        return False
    table = view.layers("batch_variation")
    if table is None or not table.measured[0].any():
        return False
    return float(table.values[0][table.measured[0]][-1]) > SAME


def _extinct(view: RunView, gone: Extinct, *, logged: bool = False) -> Finding:
    """The finding on a layer that is dead as a whole, seen in a single frame."""
    rate = view.learning_rate(gone.step)
    return RULE.finding(
        "warning" if view.status == "running" else "critical",
        f"{gone.layer} gave nothing but zeros at step {gone.step}, the outputs were the same for all examples, and "
        f"none of the {gone.weights} weights before it had a gradient: nothing can bring it back.",
        (gone.step, view.last_step),
        view,
        layers=(gone.layer,),
        evidence=(Evidence("zero_fraction", 1.0, WHOLLY, ">", gone.step, gone.layer),),
        suggestions=(
            f"lower the learning rate from {short(rate)} to about {round_rate(rate / 10)}, or the momentum"
            if rate
            else "lower the learning rate by a factor of ten, or the momentum",
            *(() if logged else ("log the training loss: it tells when that happened",)),
            "use leaky ReLU, ELU or GELU, which pass gradient on both sides",
        ),
    )


def _silence(view: RunView) -> LayerTable | None:
    """`dead_fraction`, with a layer that is zero throughout a frame taken for dead in that frame.

    The window over which a unit must be silent may reach back to frames in which a layer was still alive.
    """
    dead, zero = view.layers("dead_fraction"), view.layers("zero_fraction")
    rectifiers = [module.name for module in view.modules if module.activation in RECTIFIERS]
    if zero is None or not rectifiers:
        return dead
    zero = zero.pick(rectifiers)
    wholly = zero.measured & (zero.values >= SILENT)
    values, measured = np.where(wholly, zero.values, np.nan), wholly.copy()
    if dead is not None:
        kept = [name for name in zero.layers if name in dead.layers]
        rows = np.isin(zero.steps, dead.steps)
        columns = [zero.layers.index(name) for name in kept]
        window = dead.pick(kept).at(zero.steps)
        at = np.ix_(np.flatnonzero(rows), np.asarray(columns, dtype=np.int64))
        values[at] = np.where(wholly[at], values[at], window.values)
        measured[at] |= window.measured
    return LayerTable(zero.layers, zero.steps, values, measured)


def _constant_output(view: RunView) -> bool:
    """Whether the last module's output no longer depends on the example: it varies less than 0.1% over the batch, or
    is the same number everywhere. Of a single output unit the variation over the batch is all the variation there
    is, and of a constant one what is left of it is rounding.
    """
    table = view.layers("batch_variation")
    if table is not None and table.measured[-1].any() and table.values[-1][table.measured[-1]][-1] < 1e-3:
        return True
    spread, middle = view.layers("activation_std"), view.layers("activation_mean")
    if spread is None or middle is None or spread.layers != middle.layers:
        return False
    known = np.flatnonzero(spread.measured[-1] & middle.measured[-1])
    if not len(known) or len(spread) != len(middle):
        return False
    return bool(spread.values[-1, known[-1]] <= ROUNDING * abs(middle.values[-1, known[-1]]))


RULE = Rule(
    slug="dead-units",
    family="activations",
    severity="critical",
    title="Units are dead",
    needs="2 frames of the fraction of dead units, and one training loss",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
