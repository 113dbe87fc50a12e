"""Gradients shrink layer by layer on the way back, so that the first layers hardly learn.

What it detects
---------------
The gradient of the weights falls by orders of magnitude from the last layers to the first, steadily through
depth, and the first layers stand still because of it, while the loss is still far from learned.

Why it matters
--------------
The first layers keep their random initial values, and the layers above learn on random features, or nothing
at all: the loss stays on a plateau.

Criterion
---------
Looked at are weight matrices and kernels that the optimizer moves (no biases, no lookup tables, nothing
frozen), at least `layers` (4) of them. The root mean square of the gradient's elements is compared, so that
large and small layers are comparable. A frame shows the pattern when

- the gradient falls from the upper third of the layers to the lower third by `decades` (2.5) orders of
  magnitude;
- it falls as a trend: rank correlation with depth at least `trend` (0.7), not one small layer;
- the first layers stand still: their update ratio is below `still` (1e-4 per step) and below 1/100 of that
  of the upper third. What weight decay moves is no learning: for SGD, with momentum or without, an update
  counts up to lr * ||gradient|| / ((1 - momentum) ||weight||). For Adam and its kin, whose updates do not shrink
  with the gradient, a fall by `decades` + 1.5 counts instead, or by `decades` + 0.5 (AutoTrainer's ratio) of both
  the gradient of the weights and that of the outputs when the loss stands still (less than 2% in 200 steps).

The same fall of the gradient of the outputs (what is passed back from layer to layer) counts too when the
first layers stand still and the loss has fallen by less than 10%: with small weights the outputs shrink on
the way up as the gradient does on the way back, and the gradient of the weights, their product, is small
everywhere.

Not reported when the gradient of the first layers has grown threefold meanwhile: then a plateau is being
left. Nor while the learning rate is still being raised: then all layers stand still.

Reported when at least 60% of the latter half of the frames (and at least 3 frames) show it, and the training
loss has fallen by less than half. It is critical when the loss has fallen by less than 10%; for Adam and its
kin it counts only then, and after 200 steps, unless their first layers stand still as well: below the epsilon in
their denominator the gradient's size counts again. AutoTrainer takes a ratio below 1e-3 together with a first
gradient below 1e-4; Debugger a mean absolute gradient below 1e-7: absolute sizes that a healthy net reaches
when it has converged.

A run that has ended is told, too, when the gradient of the weights fell by `decades` as a trend in the first 3 frames
or more, over 20 steps and a twentieth of the run, and then no longer, while the loss stayed within a twentieth of where
it began (or of what it costs to give all examples the shares of the classes, which the last biases learn alone), and
something but less than half of it was learned by the end (or nothing, after a quarter of the run or more
was lost to them): the steps in which nothing came through are what it lacks.

Through time, in a recurrent module (RNN, LSTM, GRU) that is fed by another one: the gradient of what it is fed has
one vector for each moment. In at least 60% of the latter half of the frames (and at least 3) the median of its
elements lies `forgets` (3) orders of magnitude below their root mean square, so that all but the last moments get
next to nothing, and after 200 steps the training loss has fallen by less than 10%. A warning; only information in a
run that goes on and has done fewer than 1,000 steps. LSTM and GRU that learn show the pattern as well: without a
loss that stands still it is none.

Evidence
--------
The gradient of the first and last layers, the rank correlation, and the update ratio of the first layers, at
the last frame that shows the pattern.

What to try
-----------
1. Replace sigmoid and tanh in hidden layers by ReLU, or add batch or layer normalisation between the layers.
2. Initialise for the activation in use (He for ReLU, Xavier for tanh).
3. Add shortcuts (residual blocks), or use fewer layers.
4. For recurrent nets: LSTM or GRU in place of the plain cell.

When it misleads
----------------
Through time nothing can be said of recurrent nets that get their inputs directly, or step by step (cells). Where the
last moments alone would do, a loss that stands still has another cause. A net whose first layers
are meant to learn slowly (layer-wise learning rates in fine-tuning) has small updates but no trend of the
gradient. A loss that cannot fall far (heavily noisy targets) makes the judgement by half of the loss too
severe.

Example that fires
------------------
```python
layers = [nn.Flatten(), nn.Linear(64, 32), nn.Sigmoid()]
for _ in range(7):
    layers += [nn.Linear(32, 32), nn.Sigmoid()]
model = nn.Sequential(*layers, nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1))
```

Example that stays quiet
------------------------
```python
layers = [nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU()]
for _ in range(7):
    layers += [nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU()]
model = nn.Sequential(*layers, nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1))
```

References
----------
- Hochreiter, Untersuchungen zu dynamischen neuronalen Netzen, 1991; Bengio et al., Learning long-term
  dependencies with gradient descent is difficult, 1994.
- Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010.
- Zhang et al., AutoTrainer, ICSE 2021; Amazon SageMaker Debugger, rule VanishingGradient (thresholds
  compared above).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.class_shares import cost_of_shares
from probes.diagnosis.finding import Evidence, Finding, Severity
from probes.diagnosis.gradients import Depth, through_depth
from probes.diagnosis.numbers import percent, short
from probes.diagnosis.progress import progress
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import longest_run
from probes.diagnosis.signs.recurrent import through_time
from probes.diagnosis.signs.vanished_at_first import HALF, vanished_at_first
from probes.diagnosis.tracks import training_loss
from probes.diagnosis.view import Floats, Mask, NotJudged, RunView

MINIMUM_FRAMES = 3
PERSISTENT_SHARE = 0.6
ADAPTIVE_STEPS = 200
ESCAPING = 3.0
STUCK = 0.02
"""Fall of the loss below which it stands still (as in `loss-not-decreasing`)."""


@dataclass(frozen=True)
class Pattern:
    """Per frame [T]: whether gradients vanish, by how many decades, the rank correlation, the lower layers'
    updates.
    """

    shows: Mask
    decades: Floats
    trend: Floats
    lower_update: Floats
    backward: Mask


def criterion(
    gradient: Floats,
    update_ratio: Floats,
    adaptive: bool,
    signal: Floats | None = None,
    stuck: bool = False,
    *,
    layers: float = 4,
    decades: float = 2.5,
    trend: float = 0.7,
    still: float = 1e-4,
    forgets: float = 3.0,
) -> Pattern:
    """In which frames gradients vanish through depth.

    Args:
        gradient: RMS of each weight's gradient, [T, L] in forward order.
        update_ratio: ||update|| / ||weight|| of each, without weight decay where that is known, [T, L].
        signal: what is passed back through the layers, [T, L], when it was recorded (`Depth.signal`).
        adaptive: whether the optimizer's updates are independent of the gradient's size (Adam and its kin).
        stuck: whether nothing at all is learned.
        layers: fewest layers for a trend (used by the judge).
        decades: fall from the upper to the lower third, in powers of ten (AutoTrainer: 3, from last to first
            layer).
        trend: rank correlation of gradient and depth (1: it falls at every layer).
        still: update ratio below which a layer stands still; 1e-3 is usual, 1e-4 the slow end (CS231n).
        forgets: spread of the gradient over the moments of a sequence, in powers of ten (used by the judge;
            AutoTrainer's 3, of layers, taken for moments).
    """
    third = max(1, gradient.shape[1] // 3)
    lower = np.median(update_ratio[:, :third], axis=1)
    upper = np.median(update_ratio[:, -third:], axis=1)
    fall, correlation = _fall(gradient, third), _rank_correlation_with_depth(gradient)
    needed = decades + 1.5 if adaptive else decades
    shows = (fall >= needed) & (correlation >= trend)
    if not adaptive:
        shows &= (lower < still) & (lower < 0.01 * upper)
    if signal is not None:
        # With small weights the outputs shrink on the way up as the signal does on the way back: their
        # product, the
        # gradient of the weights, is then small everywhere and shows no trend of its own.
        back, back_correlation = _fall(signal, third), _rank_correlation_with_depth(signal)
        if adaptive and stuck:
            both = np.minimum(fall, back) >= decades + 0.5
            shows |= both & (np.minimum(correlation, back_correlation) >= trend)
        starved = (back >= needed) & (back_correlation >= trend) & ((lower < still) | adaptive) & ~shows
        fall, correlation = np.where(starved, back, fall), np.where(starved, back_correlation, correlation)
        return Pattern(shows | starved, fall, correlation, lower, starved)
    return Pattern(shows, fall, correlation, lower, np.zeros(len(gradient), dtype=bool))


def _fall(gradient: Floats, third: int) -> Floats:
    """By how many powers of ten the upper third lies above the lower, [T]."""
    # Underflow to exact zero is the far end of vanishing, as long as the layers above it still show the fall.
    size = np.log10(np.maximum(gradient, 1e-45))
    return np.asarray(np.median(size[:, -third:], axis=1) - np.median(size[:, :third], axis=1))


def _rank_correlation_with_depth(gradient: Floats) -> Floats:
    """Spearman's correlation of each frame's gradients with depth, [T]; 0 where fewer than 3 are positive.

    Layers with a gradient of exactly zero have no rank: a dead layer cuts the gradient to zero at one blow,
    which is no trend.
    """
    result = np.zeros(len(gradient))
    for row, values in enumerate(gradient):
        seen = np.flatnonzero(np.isfinite(values) & (values > 0))
        if len(seen) >= 3:
            ranks = np.argsort(np.argsort(values[seen])).astype(np.float64)
            result[row] = np.corrcoef(ranks, np.arange(len(seen)))[0, 1]
    return result


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the latter half of the frames: through depth, and through time."""
    in_time = _through_time(view, thresholds["forgets"])
    try:
        depth = through_depth(view, layers=int(thresholds["layers"]))
        return _through_depth(view, depth, thresholds) or in_time or _at_first(view, depth, thresholds)
    except NotJudged:
        if in_time:
            return in_time
        raise


def _through_time(view: RunView, forgets: float) -> list[Finding]:
    learned = progress(view)
    if learned is None or learned.share >= 0.1 or view.last_step < ADAPTIVE_STEPS or view.warming_up:
        return []
    findings = []
    for passed in through_time(view):
        shows = passed.decades >= forgets
        if len(shows) < MINIMUM_FRAMES or shows.sum() < MINIMUM_FRAMES:
            continue
        if shows[len(shows) // 2 :].mean() < PERSISTENT_SHARE or not shows[-1]:
            continue
        first, last = int(passed.steps[_onset(shows)]), int(passed.steps[-1])
        decades = float(passed.decades[-1])
        settled = view.status != "running" or view.last_step >= 5 * ADAPTIVE_STEPS
        findings.append(
            RULE.finding(
                "warning" if settled else "info",
                f"The gradient that comes back through {passed.module} ({passed.type}) to {passed.inputs} hardly "
                f"reaches beyond the last moments of a sequence: its median element is {decades:.1f} orders of "
                f"magnitude below the root mean square. "
                f"The loss went from {short(learned.start)} to {short(learned.end)} only.",
                (first, view.last_step),
                view,
                layers=(passed.module,),
                evidence=(
                    Evidence("activation_gradient", decades, forgets, ">", last, passed.inputs, "orders of magnitude"),
                    Evidence(learned.series, learned.share, 0.1, "<", note="fall of the loss"),
                ),
                suggestions=(
                    "use LSTM or GRU with a forget bias of 1" if passed.type == "RNN" else "shorten the sequences",
                    "initialise the recurrent weights orthogonally (torch.nn.init.orthogonal_)",
                    "let the output look at all moments (attention, or a mean over time), not at the last alone",
                ),
            )
        )
    return findings[:1]


def _at_first(view: RunView, depth: Depth, thresholds: dict[str, float]) -> list[Finding]:
    """What is said of gradients that vanished while the run stood where it began, and no longer do."""
    learned = progress(view)
    usable = np.isfinite(depth.gradient).all(axis=1) & (depth.gradient > 0).any(axis=1)
    steps, gradient = depth.steps[usable], depth.gradient[usable]
    if learned is None or view.status == "running" or not len(steps):
        return []
    third = max(1, gradient.shape[1] // 3)
    decades = _fall(gradient, third)
    shows = decades >= thresholds["decades"]
    leading = len(shows) if shows.all() else int(np.argmin(shows))  # later frames do not matter, and ranks take time
    shows[:leading] = _rank_correlation_with_depth(gradient[:leading]) >= thresholds["trend"]
    name, curve = training_loss(view)
    shares = cost_of_shares(view)
    untold = learned.reference if shares is None else shares.low
    found = vanished_at_first(steps, shows, decades, curve.finite, learned, view.last_step, untold)
    if found is None:
        return []
    low, high = float(np.median(gradient[found.row, :third])), float(np.median(gradient[found.row, -third:]))
    stayed = "where it began" if untold >= learned.reference else f"at {short(untold)}, what the shares alone cost"
    return [
        RULE.finding(
            "warning",
            f"From the first step to step {found.step} at least the gradient fell {found.decades:.1f} orders of "
            f"magnitude from the last layers to the first, and {name} stayed {stayed}: it came from "
            f"{short(learned.reference)} to {short(learned.end)} only in {view.last_step} steps.",
            (int(steps[0]), found.step),
            view,
            layers=depth.layers[:third],
            evidence=(
                Evidence(
                    "grad_norm", low, high, "<", found.step, depth.layers[0], "RMS of the elements, first against last"
                ),
                Evidence(name, learned.share, HALF, "<", note=f"fall of the loss ({percent(max(learned.share, 0))})"),
            ),
            suggestions=_advice(view, len(depth.layers)),
        )
    ]


def _through_depth(view: RunView, depth: Depth, thresholds: dict[str, float]) -> list[Finding]:
    usable = np.isfinite(depth.gradient).all(axis=1) & (depth.gradient > 0).any(axis=1)
    usable &= np.isfinite(depth.update_ratio).all(axis=1)
    signal = depth.signal if depth.signal is not None and np.isfinite(depth.signal[usable]).all() else None
    steps, gradient, update = depth.steps[usable], depth.gradient[usable], depth.update_ratio[usable]
    signal = signal[usable] if signal is not None else None
    if len(steps) < MINIMUM_FRAMES:
        raise NotJudged(f"{len(steps)} frames with finite gradients in every layer, needs {MINIMUM_FRAMES}")
    # What a million steps look like is seen in a few hundred frames of them.
    rows = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), 400)).astype(np.int64))
    steps, gradient, update = steps[rows], gradient[rows], update[rows]
    signal = signal[rows] if signal is not None else None
    learned = progress(view)
    share = learned.share if learned is not None else None
    stuck = share is not None and share < STUCK and view.last_step >= ADAPTIVE_STEPS
    pattern = criterion(gradient, update, view.adaptive, signal, stuck, **thresholds)
    recent = pattern.shows[len(steps) // 2 :]
    if recent.mean() < PERSISTENT_SHARE or pattern.shows.sum() < MINIMUM_FRAMES:
        return []
    if view.warming_up and not view.adaptive:
        return []
    moving = view.adaptive and not _first_layers_stand_still(update, thresholds["still"])
    if moving and (share is None or share >= 0.1 or view.last_step < ADAPTIVE_STEPS):
        return []
    if share is not None and share >= 0.5:
        return []
    shown = np.flatnonzero(pattern.shows)
    end = int(shown[-1])
    if pattern.backward[end] and (share is None or share >= 0.1):
        return []
    severity: Severity = "critical" if share is not None and share < 0.1 else "warning"

    onset = _onset(pattern.shows)
    source = signal if signal is not None and pattern.backward[end] else gradient
    kind, what = ("grad_norm", "RMS of the elements")
    if source is signal:
        kind, what = ("activation_grad_std", "standard deviation of the elements")
    third = max(1, len(depth.layers) // 3)
    if np.median(source[end, :third]) > ESCAPING * np.median(source[onset, :third]):
        return []  # the gradient of the first layers is growing: a plateau that is being left
    first = int(steps[onset])
    low, high = float(np.median(source[end, :third])), float(np.median(source[end, -third:]))
    trend, still = float(pattern.trend[end]), float(pattern.lower_update[end])
    slow = depth.layers[: max(third, int((source[end] < 0.01 * high).sum()))]
    seen, lowest = int(steps[end]), depth.layers[0]
    which = "gradient passed back" if source is signal else "gradient"
    message = (
        f"The {which} falls {pattern.decades[end]:.1f} orders of "
        f"magnitude from the last layers ({short(high)}) to the first ({short(low)}), and moves {lowest} "
        f"by {short(float(update[end, 0]))} of its size per step."
    )
    evidence = [
        Evidence(kind, low, high, "<", seen, lowest, f"{what}, first against last layers"),
        Evidence(kind, trend, thresholds["trend"], ">", seen, None, "rank correlation with depth"),
        Evidence("update_ratio", still, thresholds["still"], "<", seen, lowest, "first layers, without weight decay"),
    ]
    if learned is not None and share is not None:
        message += f" The loss went from {short(learned.start)} to {short(learned.end)} only."
        evidence.append(Evidence(learned.series, share, 0.5, "<", note=f"fall of the loss ({percent(max(share, 0))})"))
    active = end >= len(steps) - 2
    return [
        RULE.finding(
            severity,
            message,
            (first, view.last_step if active else int(steps[end])),
            view,
            layers=slow,
            evidence=tuple(evidence),
            suggestions=_advice(view, len(depth.layers)),
        )
    ]


def _first_layers_stand_still(update: Floats, still: float) -> bool:
    """Whether the lower third hardly moves and the upper third does, in the median of the latter half of the frames."""
    third = max(1, update.shape[1] // 3)
    recent = update[len(update) // 2 :]
    lower, upper = float(np.median(recent[:, :third])), float(np.median(recent[:, -third:]))
    return lower < still and lower < 0.01 * upper


def _onset(shows: Mask) -> int:
    """The first frame of the stretch that reaches the end, single misses forgiven."""
    start, length = longest_run(shows | np.concatenate(([False], shows[:-1])) & np.concatenate((shows[1:], [False])))
    return start if length else int(np.argmax(shows))


def _advice(view: RunView, layers: int) -> tuple[str, ...]:
    squashing = sorted({m.activation for m in view.modules if m.activation in ("sigmoid", "tanh", "softsign")} - {None})
    normalised = any("Norm" in module.type for module in view.modules)
    advice = []
    if squashing:
        advice.append(f"replace {' and '.join(str(name) for name in squashing)} in the hidden layers by ReLU or GELU")
    if not normalised:
        advice.append("add batch or layer normalisation between the layers")
    advice.append(
        "initialise for the activation in use: torch.nn.init.kaiming_normal_ for ReLU, xavier_uniform_ with "
        "calculate_gain for tanh"
    )
    advice.append(f"add shortcuts (residual blocks), or use fewer than {layers} layers")
    return tuple(advice)


RULE = Rule(
    slug="vanishing-gradients",
    family="gradients",
    severity="critical",
    title="Gradients vanish",
    needs="3 frames of gradient norms and update ratios, and 4 weights in depth",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
