"""Training and validation are equally poor, and come to rest there: the model cannot do better.

What it detects
---------------
A training loss that has stopped falling far above zero, with a validation loss beside it that is no worse, in a model
that something keeps from fitting: a layer of two or three units, hardly any units left by dropout, frozen layers, or no
nonlinearity at all.

Why it matters
--------------
What cannot be learned from the training examples cannot be learned at all: more data, more steps or more
regularisation do not help. The model, or what holds it back, must change first.

Criterion
---------
After `steps_needed` (100) steps and 10 values of the training loss it is at rest (its last tenth lies below its third
quarter by no more than a tenth of its whole fall, or the noise); the validation loss, where there is one, is above it
by at most `hug` (0.25) of what was learned plus 2% of the beginning (a loss that is measured against the variance of
the targets is first divided by how many times that of training it was before the first step, up to twice); and the
accuracy, where it is known, is below `good` (0.85), or, where a layer is narrow, that part of the way from always
giving the most frequent class to 1. Something was learned: 5% of the beginning or of guessing, or, where the cost of
guessing is not known, an accuracy 0.08 beyond that of always answering the most frequent class (not asked for where
dropout is 0.9 or more, nor, in a run that has ended, of a `straight`, `certain` or `proven` linear map: there may be
nothing that it can learn; with a narrow layer it is then enough that the training loss fell at all, by 5 standard
errors of a straight line, or that of validation by 1%, 5 times its noise). It is a warning when the training loss has
fallen by less than

- `narrow` (0.75) of its beginning, and a hidden layer of a classifier has two units, or three for nine classes or more,
  or its last layer reads no more numbers than that; or, of four classes and more, each entry of its only table
  (an embedding of 16 times as many entries or more) has no more, and these or their mean are all that the net reads;
- `dropped` (0.7), and dropout of 0.75 or more is in the model (then validation may be better than training; with 0.9 or
  more, and far more right in validation than in training, a loss that ends above its beginning, or a poor accuracy at
  the end or after 200 steps, neither rest nor the validation loss is asked for; such a loss makes it critical: the
  units that are kept are scaled up tenfold or more);
- `squeezed` (0.5), and a hidden layer has two units or one, fewer than half as many as there are inputs, in a chain of
  dense layers with one or two outputs that is no classifier; or its last layer, a dense one, reads no more than two
  numbers, which are all the channels or units of the layer in front of it (images, sequences);
- `answers` (0.7), and dropout stands behind the last layer: the gradients of its outputs are zero as often as a module
  of the model drops (0.2 or more);
- `frozen` (0.5), and more than half of the weights are frozen;
- `clamped` (0.5), and something other than the optimizer has made all weights small: from one frame to the next each
  has lost four fifths of its norm, three times what its updates could take or more, and never regained them (of a
  classifier, or where the loss of guessing or the variance of the targets is known; neither that anything was learned
  nor, in a run that is over, rest is asked for);
- `linear` (0.3), and a classifier has a single layer;
- `stacked` (0.3), and it has several without an activation between them: no activation module, and no zeros in the
  gradients of its layers as a ReLU would leave there;
- `straight` (0.5), and the same, where the first frame shows that the random weights of each dense layer pass on all
  that the one before gives, values and gradients: GELU, SiLU or sigmoid, called as functions, would take a part (then
  zeros may be where the gradients of the answers have as many: beyond the margin of a hinge loss nothing is left). Of
  what is no classifier the same is said where the model is a `Sequential` of nothing but dense layers, and neither an
  autoencoder (as many outputs as inputs) nor a factorisation (a layer narrower than both);
- `certain` (0.9), and the same of what is no classifier, or a model of another class whose dense layers are seen in the
  first frame to pass on all, and by signals that a tanh would bend too (exactly all, to a single output): where the
  loss is a mean squared error and the variance of the targets is known, or it is a binary cross-entropy of fractions,
  and the run is over;
- `proven` (0.75), and the accuracy is below `passable` (0.95), where a classifier is such a `Sequential` of nothing but
  dense layers, none narrower than inputs and outputs: what it calls is known, and so is that it is one linear map.

Of a binary cross-entropy of targets between 0 and 1 only what lies above their entropy counts, and begins at the cost
of always answering their mean; a layer that is `squeezed` is held to what a `narrow` one is.

Also a warning, whatever the model: several outputs in one mean squared error, in a run that is over, whose training and
validation loss are below half of the variance of all targets together, while an R^2 of validation was never above zero
(beyond two deviations of its noise) since the first tenth of the run: the largest outputs are all that the loss sees.

Without one training loss, as of a generator and a discriminator (losses and modules so named), it is a warning when a
layer of either that is not its last has two units or channels, or one, and in a run that is over a distance between
generated and real examples (Fréchet, FID, KID, MMD) has lost less than `narrow` of its value before the first step, or
of that of always giving the mean, where a score beside it tells, and came no nearer at the end.

Where a layer is narrow, or dropout 0.9 or more, a run that ended with its schedule (a rate below a fifth of its
highest) need not have come to rest: nothing more was to come.

In a run that goes on and has done fewer than 200 steps it is only information. So it is without such a cause, and then
given when less than half was learned: labels that the inputs do not
determine look the same.

Evidence
--------
Training and validation loss at the end, and what holds the model back.

What to try
-----------
1. Mend what is named: more units in the narrow layer, less dropout, train the frozen layers, add activations.
2. A larger model: it should be able to learn the training examples by heart.
3. Less weight decay and less augmentation.
4. When nothing helps: look at the examples it gets wrong. Could a person do better?

When it misleads
----------------
Noisy labels set a floor under the loss that no model can pass. A bottleneck on purpose (an autoencoder) is not
reported: it is no classifier. An absolute value that the forward pass takes between dense layers passes as much on as
nothing does, and is taken for nothing. Features frozen on purpose may simply not suffice, which is what is said.

Example that fires
------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2), nn.ReLU(), nn.Linear(2, 10))
train(model, torch.optim.Adam(model.parameters(), lr=0.02), steps=600)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.Adam(model.parameters(), lr=0.02), steps=600)
```

References
----------
- Goodfellow, Bengio and Courville, Deep Learning, 2016, section 5.2: capacity, overfitting and underfitting.
- Karpathy, A recipe for training neural networks, 2019 (first overfit, then regularise).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.manifest import ParameterInfo
from probes.diagnosis.numbers import names, percent, short
from probes.diagnosis.outcome import answers_poorly
from probes.diagnosis.progress import Progress, majority_share, progress, variance_of_targets
from probes.diagnosis.rates import schedule_is_over
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import at_rest, closing, noise, opening
from probes.diagnosis.signs.dropped import dropped_answers, shares_dropped
from probes.diagnosis.signs.held_small import held_small
from probes.diagnosis.signs.initial import first_loss
from probes.diagnosis.signs.linearity import certainly_in_a_row, dense_alone, in_a_row, narrowed, passes_on
from probes.diagnosis.signs.looked_up import narrow_table
from probes.diagnosis.signs.narrow_players import FEWEST, NarrowPlayers, narrow_players
from probes.diagnosis.signs.outweighed import Outweighed, outweighed
from probes.diagnosis.signs.squeezed import squeezed_by
from probes.diagnosis.slope import fall
from probes.diagnosis.task import classes_of_targets, outputs_of_last_weights
from probes.diagnosis.tracks import accuracy, training_loss, validation_loss
from probes.diagnosis.view import Floats, LayerTable, NotJudged, RunView

MINIMUM_VALUES = 10
BEYOND_CHANCE = 0.08
HALF = 0.5
CERTAIN = 5.0
"""Standard errors of a fall beyond doubt."""
SOMETHING = 0.01
"""Fall of the validation loss that is something."""
BETTER = 0.2
DROPS_MOST = 0.75
DROPS_ALL = 0.9
PATIENCE = 200
"""Steps of a run that goes on before it is a warning: what seems to be at rest may be a plateau."""
DEARER = 2.0
"""Times as much as those of training that validation examples may cost by chance."""
LEAST_OFF = 0.45
"""Share of zeros in the gradients of a layer that a ReLU after it may leave at least."""
_ONE_MAP = "there is no activation between its layers, which together are one linear map"

_MAPS = ("straight", "certain", "proven")

Kind = Literal[
    "narrow",
    "squeezed",
    "dropped",
    "answers",
    "frozen",
    "clamped",
    "linear",
    "stacked",
    "straight",
    "certain",
    "proven",
]


@dataclass(frozen=True)
class Obstacle:
    """What keeps a model from fitting: kind, description, layers, what to do, and whether it is beyond doubt."""

    kind: Kind
    what: str
    layers: tuple[str, ...]
    remedy: str
    strict: bool = False


def criterion(
    share: float,
    gap: float,
    right: float | None,
    kinds: Sequence[str],
    common: float = 0.0,
    *,
    narrow: float = 0.75,
    dropped: float = 0.7,
    answers: float = 0.7,
    frozen: float = 0.5,
    clamped: float = 0.5,
    squeezed: float = 0.5,
    linear: float = 0.3,
    stacked: float = 0.3,
    straight: float = 0.5,
    certain: float = 0.9,
    proven: float = 0.75,
    passable: float = 0.95,
    hug: float = 0.25,
    good: float = 0.85,
    steps_needed: float = 100,
) -> str | None:
    """The first of ``kinds`` that explains a poor end; "" when nothing does, None when the end is not poor.

    Args:
        share: fall of the training loss at rest, as a share of its reference.
        gap: validation loss above training loss, as a share of the same reference; 0 without validation.
        right: best accuracy known, 0 to 1; None when none is.
        kinds: obstacles seen in the model, "narrow", "squeezed", "dropped", "answers", "frozen", "clamped", "linear",
            "stacked", "straight", "certain" or "proven".
        common: accuracy of always giving the most frequent class; 0 where it is not known.
        narrow: fall below which a layer of two or three units is held to be the cause (such models end at 0.2 to 0.65,
            on tasks that wider ones learn to 0.97 and more).
        dropped: the same for strong dropout.
        answers: the same for dropout behind the last layer (half of the answers gone leave half of a squared error).
        squeezed: the same for two hidden units before what is no class.
        frozen: the same for frozen layers (a new head on features that suit the task goes beyond).
        clamped: the same for weights that are clamped after each step (binary nets, clamped at 1, go beyond).
        linear: the same for a linear model (on linearly separable tasks it goes beyond 0.9; half of all labels wrong
            leave 0.3).
        stacked: the same for several layers with nothing between them that was seen (a smooth function that the forward
            pass calls is not).
        straight: the same, where the first frame shows that nothing lies between them.
        certain: the same of what is no classifier, against the variance of the targets (a tenth of it is much: one
            layer would do as well).
        proven: the same, where the model is a `Sequential` of dense layers alone (a line between two moons leaves 0.4
            of the loss, and an eighth of the answers wrong).
        passable: accuracy at which one linear map of several layers does what is asked of it.
        hug: gap over fall, apart from 2% of the reference.
        good: accuracy that is not poor; with a narrow layer, part of the way from ``common`` to 1.
        steps_needed: steps before which nothing is said (used by the judge).
    """
    limits = {"narrow": narrow, "dropped": dropped, "frozen": frozen, "linear": linear, "stacked": stacked}
    limits |= {"straight": straight, "answers": answers, "proven": proven, "squeezed": squeezed, "clamped": clamped}
    limits["certain"] = certain
    enough = passable if "proven" in kinds else good
    enough = common + enough * (1.0 - common) if "narrow" in kinds else enough
    if right is not None and right >= enough and "dropped" not in kinds:
        return None
    if gap > hug * max(share, 0.0) + 0.02:
        return None
    found = next((kind for kind in kinds if share < limits[kind]), None)
    if found is not None:
        return found
    return "" if share < HALF and not kinds else None


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the one training loss beside the validation loss and the model's description."""
    try:
        name, curve = training_loss(view)
    except NotJudged:
        players = narrow_players(view, thresholds["narrow"]) if view.last_step >= thresholds["steps_needed"] else None
        if players is None:
            raise
        return [_narrow_players(view, players, thresholds["narrow"])]
    losses, learned = curve.finite.values, progress(view)
    needed = int(thresholds["steps_needed"])
    if learned is None or len(losses) < MINIMUM_VALUES or view.last_step < needed:
        seen = f"{len(losses)} values of {name} in {view.last_step} steps"
        raise NotJudged(f"{seen}, needs {MINIMUM_VALUES} in {needed}")
    if learned.reference <= 0:
        raise NotJudged(f"{name} is not a loss that zero is the best of")
    if (lost := outweighed(view, learned)) is not None:
        return [_outweighed(view, learned, lost)]
    validation = _validation_end(view)
    right = _right(view)
    obstacles = _obstacles(view, learned)
    if validation is None and not obstacles:
        raise NotJudged("no validation loss to compare with")
    smothered = max(_dropped(view).values(), default=0.0) >= DROPS_ALL
    blown_up = smothered and learned.share < 0.0
    smothering = smothered and (blown_up or _better_without(view) or _still_poor(view))
    one_unit = view.status != "running" and any(obstacle.strict for obstacle in obstacles)
    over = schedule_is_over(view)
    held = any(obstacle.kind == "clamped" for obstacle in obstacles)
    # One linear map may be unable to learn anything: that it is one was seen, and does not rest on what came of it.
    one_map = view.status != "running" and any(obstacle.kind in _MAPS for obstacle in obstacles)
    # Where hardly anything passes through a layer it may learn hardly anything: it is enough that it does.
    narrow = any(obstacle.kind in ("narrow", "squeezed") for obstacle in obstacles)
    cannot = one_map or (narrow and view.status == "finished" and (_fell(losses) or _validation_fell(view, learned)))
    if (
        not (
            at_rest(losses)
            or one_unit
            or (held and view.status != "running")
            or (over and narrow)
            or smothering
            or (smothered and over)
        )
        or view.warming_up
        or not (smothered or held or cannot or _learned(view, learned, right))
    ):
        return []
    # A net that is right far more often without its dropout than with it does not know its examples by heart.
    beside = learned.end if validation is None or smothering else validation[1] / _dearer(view, learned)
    gap = (beside - learned.end) / learned.reference
    kind = criterion(learned.share, gap, right, [o.kind for o in obstacles], majority_share(view), **thresholds)
    if kind is None or (not kind and validation is None):
        return []
    obstacle = next((o for o in obstacles if o.kind == kind), None)
    dropped, stands = kind == "dropped", kind in ("dropped", "clamped")
    return [_report(view, learned, validation, right, obstacle, blown_up and dropped, at_rest(losses) or not stands)]


def _outweighed(view: RunView, learned: Progress, lost: Outweighed) -> Finding:
    gone = 1.0 - learned.end / lost.variance
    return RULE.finding(
        "warning",
        f"{learned.series} is at {short(learned.end)}, {percent(gone)} below the variance of all targets together "
        f"({short(lost.variance)}), but {lost.fit.series} was never above {short(lost.fit.best)}: some of the "
        f"{lost.outputs} outputs are so large beside the others that they are all that the squared error sees.",
        (lost.fit.since, view.last_step),
        view,
        evidence=(
            Evidence(lost.fit.series, lost.fit.best, 0.0, "<", lost.fit.since, note="highest since then"),
            Evidence(learned.series, learned.end, lost.variance, "<", note="against the variance of all targets"),
        ),
        suggestions=(
            "standardise each target by its own mean and deviation, and scale the answers back",
            "or divide the squared error of each output by the variance of its targets",
        ),
    )


def _still_poor(view: RunView) -> bool:
    """Whether a classifier still answers poorly at the end of a run, or after more steps than patience has."""
    return (view.status != "running" or view.last_step >= PATIENCE) and answers_poorly(view) is True


def _better_without(view: RunView) -> bool:
    """Whether validation, without dropout, is right far more often than training."""
    own, other = accuracy(view, validation=False), accuracy(view, validation=True)
    if own is None or other is None or len(own[1].finite) < MINIMUM_VALUES or len(other[1].finite) < 3:
        return False
    return closing(other[1].finite.values) - closing(own[1].finite.values) > BETTER


def _report(
    view: RunView,
    learned: Progress,
    validation: tuple[str, float] | None,
    right: float | None,
    obstacle: Obstacle | None,
    blown_up: bool,
    rests: bool,
) -> Finding:
    early = view.status == "running" and view.last_step < PATIENCE
    beside = f", {validation[0]} at {short(validation[1])}" if validation is not None else ""
    answers = f", with at most {percent(right)} of the answers right" if right is not None else ""
    because = (
        f" What may hold the model back: {obstacle.what}."
        if obstacle is not None
        else " Nothing in the model explains it: it may be too small, or the inputs do not determine the targets."
    )
    evidence = [
        Evidence(learned.series, learned.end, learned.reference, "<", note="level at the end, against the beginning"),
        Evidence(learned.series, learned.share, note="fall of the loss"),
    ]
    if validation is not None:
        evidence.append(Evidence(validation[0], validation[1], learned.end, ">", note="level at the end"))
    stands = "ends above its beginning," if blown_up else "has come to rest" if rests else "is still"
    return RULE.finding(
        "critical" if blown_up and not early else "warning" if obstacle is not None and not early else "info",
        f"{learned.series} {stands} at {short(learned.end)} (a fall of {percent(max(learned.share, 0.0))})"
        f"{beside}{answers}.{because}",
        (0, view.last_step),
        view,
        layers=obstacle.layers if obstacle is not None else (),
        evidence=tuple(evidence),
        suggestions=(
            *((obstacle.remedy,) if obstacle is not None else ()),
            "use a larger model: it should be able to learn some hundred training examples by heart (babysit check)",
            _regularisation(view),
            "look at the training examples that it gets wrong: could a person do better?",
        ),
    )


def _regularisation(view: RunView) -> str:
    decay = max((group.weight_decay for group in view.optimizers), default=0.0)
    return (
        f"train without the weight decay of {short(decay)} for once" if decay else "train without augmentation for once"
    )


def _learned(view: RunView, learned: Progress, right: float | None) -> bool:
    """Whether anything was learned: what learns nothing has other troubles.

    An accuracy beyond chance at the loss of guessing is that of scores that have hardly grown: there the rate is low.
    """
    if learned.share >= 0.05 or learned.guessing is not None:
        return learned.share >= 0.05
    common = majority_share(view) or 1.0 / (_classes(view, learned) or 1)
    return right is not None and right > common + BEYOND_CHANCE


def _fell(losses: Floats) -> bool:
    """Whether a loss fell at all, beyond doubt."""
    trend = fall(np.arange(len(losses), dtype=np.float64), losses, part=1.01)
    return trend is not None and trend.certainty >= CERTAIN


def _validation_fell(view: RunView, learned: Progress) -> bool:
    """Whether the validation loss, which is of the same examples each time, fell by a hundredth, beyond its noise."""
    try:
        values = validation_loss(view)[1].finite.values
    except NotJudged:
        return False
    least = max(SOMETHING * learned.reference, CERTAIN * noise(values))
    return len(values) >= MINIMUM_VALUES and opening(values, points=1) - closing(values) > least


def _validation_end(view: RunView) -> tuple[str, float] | None:
    try:
        name, curve = validation_loss(view)
    except NotJudged:
        return None
    values = curve.finite.values
    return (name, closing(values)) if len(values) >= 3 else None


def _dearer(view: RunView, learned: Progress) -> float:
    """How many times as much the validation examples cost before the first step as those of training, from 1 to 2, by
    a loss that is measured against the targets: some of these are far off, by chance. 1 where it is not known.
    """
    try:
        curve = validation_loss(view)[1].finite
    except NotJudged:
        return 1.0
    if learned.variance is None or not len(curve) or curve.steps[0] > 0:
        return 1.0
    own = max(first_loss(view) or 0.0, learned.start, learned.variance)
    return min(max(float(curve.values[0]) / own, 1.0), DEARER)


def _right(view: RunView) -> float | None:
    """The best accuracy at the end, of training or validation, 0 to 1."""
    ends = []
    for validation in (False, True):
        track = accuracy(view, validation=validation)
        if track is not None and len(track[1].finite):
            ends.append(closing(track[1].finite.values))
    return max(ends, default=None)


def _classes(view: RunView, learned: Progress) -> int | None:
    """Number of classes, when the model is seen to be a classifier: by the loss, its beginning, or an accuracy."""
    seen = classes_of_targets(view) if learned.guessing is not None else None
    if seen is not None:
        return seen
    outputs = outputs_of_last_weights(view)
    if outputs < 2:
        return None
    near = abs(learned.start - math.log(outputs)) < 0.05 * math.log(outputs)
    known = any(accuracy(view, validation=validation) is not None for validation in (False, True))
    return outputs if near or known else None


def _narrow_players(view: RunView, found: NarrowPlayers, narrow: float) -> Finding:
    """The finding on a generator or a discriminator that passes everything through hardly any units."""
    learned = found.learned
    return RULE.finding(
        "warning",
        f"{names(found.layers)} {'has' if len(found.layers) == 1 else 'have'} {found.units} units or channels, and "
        f"{learned.series}, which went from {short(learned.start)} to {short(learned.end)}, comes no nearer.",
        (view.last_step // 2, view.last_step),
        view,
        layers=found.layers,
        evidence=(
            Evidence("run.json", found.units, FEWEST + 1, "<", layer=found.layers[0], note="units or channels"),
            Evidence(learned.series, learned.share, narrow, "<", note="part of the distance that is gone"),
        ),
        suggestions=("use wider layers in both nets: 32 channels and more",),
    )


def _obstacles(view: RunView, learned: Progress) -> list[Obstacle]:
    """What the description of the model shows, the most telling first."""
    modules = {module.name: module for module in view.modules}
    weights = [
        p for p in view.parameters if p.is_weight and modules and modules.get(p.module) is not None
        and not modules[p.module].looks_up
    ]  # fmt: skip
    found = []
    dropped = _dropped(view)
    if dropped:
        highest = max(dropped.values())
        found.append(
            Obstacle(
                "dropped",
                f"dropout of {percent(highest)} ({', '.join(dropped)})",
                tuple(dropped),
                f"lower the dropout from {short(highest)} to 0.5 or less",
            )
        )
    answers = dropped_answers(view)
    if answers is not None:
        layer, part = answers
        found.append(
            Obstacle(
                "answers",
                f"dropout of {percent(part)} behind the last layer ({layer}) sets the answers themselves to 0",
                (layer,),
                f"remove the dropout behind {layer}, the last layer: drop hidden units only",
            )
        )
    frozen = [p for p in view.parameters if p.is_weight and not p.trainable]
    everything = sum(p.numel for p in view.parameters if p.is_weight)
    share = sum(p.numel for p in frozen) / everything if everything else 0.0
    if share > HALF:
        layers = tuple(dict.fromkeys(p.module for p in frozen))
        found.append(
            Obstacle("frozen", f"{percent(share)} of its weights are frozen", layers, "train the frozen layers, too")
        )
    classes = _classes(view, learned)
    measured = learned.guessing is not None or learned.variance is not None or classes is not None
    if measured and (taken := held_small(view)) is not None:
        found.append(
            Obstacle(
                "clamped",
                f"something other than the optimizer makes its weights small after each step, as a clamp does (by step "
                f"{taken.step} each has lost most of its norm, by far more than the update; now the largest element is "
                f"{short(taken.largest)})",
                taken.names,
                "do not clamp the weights after optimizer.step(): that is for critics of a Wasserstein loss",
            )
        )
    if classes is not None and weights:
        found.extend(_shape_of(view, weights, classes))
    elif (pinched := squeezed_by(weights, modules)) is not None:
        name, units, inputs = pinched
        found.append(
            Obstacle(
                "narrow" if learned.floor else "squeezed",
                f"{name} has {units} unit{'s' * (units > 1)} for {inputs} inputs",
                (name,),
                f"give {name} more units: {2 * inputs} or more instead of {units}",
            )
        )
    elif weights and (kind := _one_map(view, learned, weights)) is not None:
        layers = tuple(dict.fromkeys(p.module for p in weights))
        found.append(Obstacle(kind, _ONE_MAP, layers[:-1], "put an activation such as ReLU between the layers"))
    return found


def _one_map(view: RunView, learned: Progress, weights: Sequence[ParameterInfo]) -> Kind | None:
    """How certain it is that what is no classifier is one linear map of several layers; None where it is not known."""
    alone = in_a_row(view)
    order = list(dict.fromkeys(parameter.module for parameter in weights))
    # Deep linear nets learn in steps, with plateaus between them: what they come to is known at the end.
    known = (variance_of_targets(view) is not None and learned.variance is not None) or learned.floor > 0.0
    measured = known and view.status != "running"
    if measured and (alone or (_no_nonlinearity(view, order) and certainly_in_a_row(view))):
        return "certain"
    return "straight" if alone else None


def _shape_of(view: RunView, weights: Sequence[ParameterInfo], classes: int) -> list[Obstacle]:
    """Too narrow a layer, or no nonlinearity."""
    modules = {module.name: module for module in view.modules}
    order = list(dict.fromkeys(p.module for p in weights))
    found = []
    limit = 3 if classes >= 9 else 2
    for name in order[:-1]:
        shape = modules[name].output_shape
        # A channel has a value at every place: all of them are what the next layer can work with.
        units = math.prod(shape[1:]) if len(shape) == 4 else (shape[-1] if len(shape) >= 2 else 0)
        if 1 <= units <= limit:
            found.append(
                Obstacle(
                    "narrow",
                    f"{name} has {units} units for {classes} classes",
                    (name,),
                    f"give {name} more units: {8 * classes} or more instead of {units}",
                    strict=units == 1 and classes >= 4,
                )
            )
            break
    read = weights[-1].shape[-1]
    if not found and len(order) > 1 and len(weights[-1].shape) == 2 and read <= limit:
        # What was pooled over all places before it is one number a channel.
        found.append(
            Obstacle(
                "narrow",
                f"{order[-1]} reads {read} numbers to tell {classes} classes",
                (order[-1],),
                f"give {order[-1]} more to read: {8 * classes} channels or more instead of {read}",
                strict=read == 1 and classes >= 4,
            )
        )
    # To tell two or three classes apart, a number for each word may do: that is a linear model of their counts.
    if not found and classes >= 4 and (table := narrow_table(view, limit)) is not None:
        numbers = f"{table.numbers} number{'s' * (table.numbers > 1)}"
        found.append(
            Obstacle(
                "narrow",
                f"{table.name} has {numbers} for each of {table.entries:,} entries to tell {classes} classes",
                (table.name,),
                f"give the entries of {table.name} more numbers: {8 * limit} or more instead of {table.numbers}",
                strict=table.numbers == 1,
            )
        )
    if len(order) == 1:
        found.append(
            Obstacle("linear", "it is a linear model, of one layer", tuple(order), "add a hidden layer with a ReLU")
        )
    elif dense_alone(view) and not narrowed(view):
        found.append(
            Obstacle("proven", _ONE_MAP, tuple(order[:-1]), "put an activation such as ReLU between the layers")
        )
    elif _no_nonlinearity(view, order):
        found.append(
            Obstacle(
                "straight" if passes_on(view) else "stacked",
                _ONE_MAP,
                tuple(order[:-1]),
                "put an activation such as ReLU between the layers",
            )
        )
    return found


def _no_nonlinearity(view: RunView, order: Sequence[str]) -> bool:
    """Whether several plain layers follow one another with nothing between them that is not linear."""
    plain = ("Linear", "Conv1d", "Conv2d", "Conv3d", "AvgPool1d", "AvgPool2d", "AdaptiveAvgPool2d", "BatchNorm1d",
             "BatchNorm2d", "Dropout", "Flatten")  # fmt: skip
    if any(module.activation or module.type not in plain for module in view.modules):
        return False
    zeros = view.layers("activation_grad_zero_fraction")
    if zeros is None:
        return False
    hidden = zeros.pick(list(order[:-1]))
    # A ReLU that the forward pass calls as a function leaves a zero wherever it is off.
    # Dropout leaves one wherever it drops.
    dropped = max(shares_dropped(view).values(), default=0.0)
    limit = 0.02 if dropped == 0.0 else dropped + 0.1
    if not hidden.measured.any():
        return False
    if float(hidden.values[hidden.measured].max()) < limit <= LEAST_OFF:
        return True
    return dropped == 0.0 and _only_where_the_answers_have_none(zeros, hidden, order[-1]) and passes_on(view)


def _only_where_the_answers_have_none(zeros: LayerTable, hidden: LayerTable, last: str) -> bool:
    """Whether in no frame the gradients of hidden layers are zero more often than those of the answers: an example that
    costs nothing, as one beyond the margin of a hinge loss, leaves zeros everywhere.
    """
    answers = zeros.pick([last])
    if not answers.layers or not answers.measured.all() or not hidden.measured.all():
        return False
    return bool((hidden.values <= answers.values + 0.02).all())


def _dropped(view: RunView) -> dict[str, float]:
    """Module -> share that it drops, where that is most of the units."""
    return {name: share for name, share in shares_dropped(view).items() if share >= DROPS_MOST}


RULE = Rule(
    slug="underfitting",
    family="generalisation",
    severity="warning",
    title="The model cannot fit the data",
    needs="10 values of the training loss over 100 steps, the model's description, and a validation loss",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
