"""Trainable parameters that the optimizer never changes.

What it detects
---------------
Parameters that require a gradient but are in no optimizer, parameters in an optimizer whose steps leave them exactly
as they were, although they have a gradient, or nearly so, and frozen layers that nobody has ever trained.

Why it matters
--------------
They stay at their random initial values while the rest of the net is trained around them. The usual causes:
an optimizer that was built before a layer was replaced or added, or with the parameters of one part only; a
learning rate of zero; half-precision weights so coarse that small updates are rounded away.

Criterion
---------
- *Outside*: trainable parameters that no optimizer of the run holds. A warning; only information when these are the
  first layers and the training loss has fallen by more than half, which is how a pretrained body is often kept fixed,
  or when no gradient came back to their modules in 3 frames. While the run goes on it is information until one came
  back, and before 3 frames or 10 steps. Those that change all the same (copies or averages of another net, or what
  another optimizer trains) are left out.
- *Never stepped*: a training loss was logged at least `waiting` (100) times, and not one step has been done: by the
  optimizer that was given, or, where none was given, by any, while the latter half of the losses is not below the first
  (by 0.02 of it and more than its error). A warning while the run goes on (a long gradient accumulation looks the
  same), else critical.
- *Thawed*: as *outside*, of parameters that were frozen in the first frame, require a gradient in the last one, and
  have not changed: whoever thaws a layer wants to train it.
- *Idle*: of several optimizers one has done no step that any frame saw, while another did in 3 or more, and none of
  its parameters has changed. A warning after 50 steps when the run is over; information before: its turn may come.
- *Ceased*: over the latter half of the values of a training loss (100 or more) there was less than a twentieth of the
  steps for each that there was in the first tenth: batches are still seen, but hardly any leads to a step. A warning;
  information when 0.75 of the loss is gone.
- *Unchanged* (weight matrices and kernels): the update is exactly zero in every one of at least `frames` (3)
  frames that have a gradient above zero; parameter groups whose learning rate is zero are left out unless
  that is so of all. A warning; critical when nothing at all is updated.
- *Rounded away*: weights in half precision or less, whose steps by plain gradient descent (no momentum, no decay) are
  in the median shorter than `kept` (0.5) of the learning rate times the gradient, which is what they would be exactly:
  most of each step is less than half a unit in the last place. A warning when, after `settled` (100) steps, less than
  half of the training loss is gone, else information.
- *Frozen untrained*: more than `most` (0.5) of the weights do not require a gradient and are as PyTorch initialises
  them: every bias of their module is zero (every scale of a normalisation one), or no weight is beyond
  1 / sqrt(inputs), up to which they are spread evenly. Values that change, and a frozen module that fails this, are
  those of a pretrained net or of a copy: then nothing is said. A warning after `settled` (100) steps (twice as
  many while the run goes on), when the loss is at rest or the run and its schedule are over, and the net is not good:
  an accuracy (of validation, where it is known) that is above always giving the most frequent class by less than 0.95
  of the way to 1, or without one, a loss that has lost less than 0.75 of its beginning (or, of a generator and a
  discriminator, a distance between generated and real examples that has lost as little: Fréchet, FID, KID, MMD). It
  need not be at rest in a run that is over where the frozen part is a body: two layers or more, with a normalisation
  whose scales are one and shifts zero, or kernels of two convolutions. From `FEWEST_STEPS` (10) steps
  and 3 frames on, whatever the loss does, when two such layers or more are given to the optimizer along with weights
  that it trains, until the net is good: whoever gives it weights means them to be trained. Such layers, none of them
  recurrent, are also held to what a regression at rest, or over, leaves of the variance of its targets by a mean
  squared error, of validation where it is known: a tenth. Else information: random features on purpose may do.
- *Frozen early*: more than `most` (0.5) of the weights were trained at the beginning alone, were not any more after
  `EARLY` (0.1) of the run, although the optimizer that holds them goes on with others, and have not changed since. A
  warning after `settled` (100) more steps, when the run is over or the loss at rest and the net is not good (as above);
  else information: to train first and freeze then is a method, but takes more than the beginning of a run.
- *Put back*: in a run that is over and came to little, weights that in every frame after 50 steps are within one update
  of where they began (norm, extremes, mean and spread of the elements), although that many steps in directions drawn by
  lot would have taken them 5 updates away. A warning.

Evidence
--------
The parameters, and for those in an optimizer the norms of gradient and update; for frozen ones their share of all.

What to try
-----------
1. Call `optimizer.step()` after `loss.backward()`.
2. Build the optimizer after the model is complete, from `model.parameters()`.
3. If a part is meant to stay fixed, say so: `requires_grad_(False)`. That also saves its gradients.
4. Load the pretrained weights before freezing them, and check that the names of the file were found.
5. Look at the learning rate (a schedule that reaches zero, a group with rate zero).
6. Keep master weights in float32 when training in half precision.

When it misleads
----------------
When only one of several optimizers was given to `watch`, the parameters of the others look forgotten: give
it all.

Example that fires
------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model[3] = nn.Linear(32, 10)
train(model, optimizer)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
model[3] = nn.Linear(32, 10)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
train(model, optimizer)
```

References
----------
- PyTorch documentation, torch.optim (constructing an optimizer after moving or changing a model).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from probes.diagnosis.achieved import achieved_if_known
from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.manifest import ParameterInfo
from probes.diagnosis.numbers import names, percent, short
from probes.diagnosis.outcome import came_to_little, knowledge_left, validated_short
from probes.diagnosis.progress import progress_if_known
from probes.diagnosis.rates import schedule_is_over
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import at_rest
from probes.diagnosis.signs.drawn import begins_as_drawn
from probes.diagnosis.signs.idle import Idle, frozen_early, never_stepped, thawed
from probes.diagnosis.signs.pinned import pinned
from probes.diagnosis.signs.recurrent import RECURRENT
from probes.diagnosis.signs.rounding import part_of_steps
from probes.diagnosis.signs.skipped import Ceased, ceased
from probes.diagnosis.signs.untrained import is_a_body, untrained
from probes.diagnosis.tracks import training_loss, training_losses
from probes.diagnosis.view import Floats, Mask, NotJudged, RunView

FEW_FRAMES = 3

FEWEST_STEPS, SEVERAL = 10, 2
"""Steps in which a frozen part is seen to be left out; frozen layers that are no layer of random features."""
EARLY = 0.1
"""Share of a run that is its beginning."""
FALLS = 0.02
"""Fall of the loss, from its first half to its latter, that shows that something changes the weights."""
STEPS = 50
"""Steps after which the turn of an optimizer should have come."""
HALF = 0.5
"""Fall of the training loss that shows that the steps suffice."""
GOOD, MUCH = 0.95, 0.75
"""Accuracy (as a share of the way from always giving the most frequent class to 1) and fall of the loss that are good
enough for a net of which most is random."""
NEARLY_ALL, WELL = 0.9, 0.8
"""Part of the variance of its targets that a regression explains where what is frozen does not hold it back; and of
what guessing gets wrong the part that is right where a layer that was left out is not missed."""


def criterion(
    update: Floats,
    gradient: Floats,
    *,
    frames: float = 3,
    waiting: float = 100,
    kept: float = 0.5,
    most: float = 0.5,
    settled: float = 100,
) -> Mask:
    """Which parameters stay exactly as they were although they have a gradient, [L].

    Args:
        update: norm of the applied update per frame and parameter, [T, L]; NaN where not measured.
        gradient: norm of the gradient, [T, L]; NaN where there was none.
        frames: fewest frames with a gradient above zero (a warm-up from zero leaves the first step without
            effect).
        waiting: losses logged without any step, from which it is said that there is none (used by the judge).
        kept: part of a step below which most of it was rounded away (used by the judge).
        most: share of the weights that are frozen as initialised (used by the judge).
        settled: steps after which frozen weights may be seen to hold the net back (used by the judge).
    """
    pushed = np.isfinite(gradient) & (gradient > 0) & np.isfinite(update)
    return np.asarray((pushed.sum(axis=0) >= frames) & (np.where(pushed, update, 0.0) == 0.0).all(axis=0))


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge first which parameters no optimizer holds, then which of the others never change."""
    if view.parameters and not view.optimizers:
        left = _left_by_all(view)
        if left is not None and left[1] >= thresholds["waiting"]:
            return [_never_stepped(view, *left, [p.name for p in view.parameters if p.trainable and p.numel])]
    if not view.parameters or not view.optimizers:
        raise NotJudged("the manifest does not say which parameters the optimizer holds")
    held = {name for group in view.optimizers for name in group.parameters}
    late = thawed(view, held)
    trainable = [p.name for p in view.parameters if (p.trainable or p.name in late) and p.numel]
    if not held & {p.name for p in view.parameters} and not any(group.parameters for group in view.optimizers):
        raise NotJudged("the manifest does not say which parameters the optimizer holds")
    waited = _losses_without_a_step(view)
    if waited is not None and waited[1] >= thresholds["waiting"]:
        return [_never_stepped(view, *waited, trainable)]
    idle = never_stepped(view)
    if idle:
        return [_idle(view, idle, trainable)]
    stopped = ceased(view)
    if stopped is not None:
        return [_ceased(view, stopped, trainable)]
    outside = [name for name in trainable if name not in held and not _changes(view, name)]
    if outside:
        return [_outside(view, outside, trainable)]
    return (
        _frozen(view, thresholds)
        or _frozen_early(view, thresholds)
        or _put_back(view)
        or _rounded(view, thresholds)
        or _unchanged(view, held, thresholds)
    )


def _rounded(view: RunView, thresholds: dict[str, float]) -> list[Finding]:
    """The finding when most of what plain gradient descent would do to coarse weights is rounded away."""
    lost = part_of_steps(view, int(thresholds["frames"])) if view.last_step >= thresholds["settled"] else {}
    weights = [p.name for p in view.parameters if p.is_weight and p.name in lost]
    layers = tuple(name for name in weights if lost[name] < thresholds["kept"])
    if not layers or 2 * len(layers) < len(weights):
        return []
    learned = progress_if_known(view)
    worst = min(layers, key=lambda name: lost[name])
    return [
        RULE.finding(
            "warning" if learned is not None and learned.share < HALF else "info",
            f"{names(layers)} ({len(layers)} of {len(weights)} weights in half precision) are changed by only "
            f"{percent(lost[worst])} of what the learning rate times the gradient would: the rest is rounded away.",
            (0, view.last_step),
            view,
            layers=layers,
            evidence=(
                Evidence("update_norm", lost[worst], thresholds["kept"], "<", layer=worst, note="part of the step"),
            ),
            suggestions=(
                "keep the weights in float32, and compute in half precision under torch.autocast",
                "raise the learning rate, so that a step is more than half a unit in the last place",
            ),
        )
    ]


def _frozen(view: RunView, thresholds: dict[str, float]) -> list[Finding]:
    """The finding when most of the net is frozen as it was initialised."""
    fresh = untrained(view)
    everything = sum(p.numel for p in view.parameters if p.is_weight)
    share = sum(p.numel for p in fresh) / everything if everything else 0.0
    if share <= thresholds["most"]:
        return []
    late = view.last_step >= thresholds["settled"] * (1 if view.status == "finished" else 2)
    done = _is_done(view) or (view.status == "finished" and is_a_body(view, fresh))
    meant = _meant_to_train(view, fresh)
    poor = (meant or (late and not view.warming_up and done)) and _poor(view)
    poor = poor or (meant and done and _short_of_its_targets(view, fresh))
    layers = tuple(dict.fromkeys(p.module for p in fresh))
    return [
        RULE.finding(
            "warning" if poor else "info",
            f"{percent(share)} of the weights ({names(layers)}) are frozen, and as they were initialised: what the "
            "other layers read is random.",
            (0, view.last_step),
            view,
            layers=layers,
            evidence=(
                Evidence("run.json", share, thresholds["most"], ">", layer=layers[0], note="weights frozen untrained"),
            ),
            suggestions=(
                "train them: requires_grad_(True), and give them to the optimizer",
                "if a pretrained net was meant, load its weights, and check that all of their names were found",
            ),
        )
    ]


def _meant_to_train(view: RunView, fresh: Sequence[ParameterInfo]) -> bool:
    """Whether two frozen layers or more were given to the optimizer along with weights that it trains.

    Of features left random on purpose there is one layer, or they are in no optimizer. Steps and frames enough must
    have been seen to leave them as they were: a part whose turn comes next is not frozen.
    """
    trained = {parameter.name for parameter in view.parameters if parameter.trainable}
    given = {n for g in view.optimizers if trained.intersection(g.parameters) for n in g.parameters}
    table = view.layers("weight_std")
    seen = table is not None and len(table) >= FEW_FRAMES and view.last_step - view.start_step >= FEWEST_STEPS
    frozen = [p for p in view.parameters if p.is_weight and not p.trainable]
    several = len({p.module for p in frozen}) >= SEVERAL and set(fresh) <= set(frozen)
    return seen and several and all(p.name in given for p in frozen)


def _frozen_early(view: RunView, thresholds: dict[str, float]) -> list[Finding]:
    """The finding when most of the net was trained at the beginning alone."""
    layers, last = frozen_early(view, EARLY)
    sizes = {p.name: p.numel for p in view.parameters if p.is_weight}
    share = sum(sizes[name] for name in layers) / sum(sizes.values()) if layers else 0.0
    if share <= thresholds["most"]:
        return []
    over = view.status == "finished" or _is_done(view)
    poor = view.last_step - last >= thresholds["settled"] and over and _poor(view)
    return [
        RULE.finding(
            "warning" if poor else "info",
            f"{names(layers)} ({percent(share)} of the weights) are frozen since step {last}: the optimizer that holds "
            "them goes on with the others.",
            (last, view.last_step),
            view,
            layers=layers,
            evidence=(
                Evidence("update_norm", share, thresholds["most"], ">", last, layers[0], "weights, last step measured"),
            ),
            suggestions=(
                "look for what sets requires_grad to False and not back: an evaluation, a penalty, a helper",
                "call requires_grad_(True) on them after it, or use torch.no_grad() there instead",
            ),
        )
    ]


def _put_back(view: RunView) -> list[Finding]:
    """The finding when weights are always where they began, whatever the steps, and the run comes to little."""
    learned = achieved_if_known(view)
    found = pinned(view) if view.status != "running" and learned is not None and came_to_little(view, learned) else ()
    if not found:
        return []
    layers = tuple(weight.name for weight in found)
    return [
        RULE.finding(
            "warning",
            f"{names(layers)} are changed by {percent(found[0].step)} in a step, and are where they began after "
            f"{view.last_step} of them: something puts them back, or each step undoes "
            "the one before.",
            (0, view.last_step),
            view,
            layers=layers,
            evidence=(
                Evidence("weight_norm", found[0].distance, 1.0, "<", layer=layers[0], note="distance, in updates"),
                Evidence("update_ratio", found[0].step, layer=layers[0], note="median update"),
            ),
            suggestions=(
                f"look for what writes to {layers[0]} outside the optimizer: .data, copy_(), load_state_dict()",
                "if nothing does, the step is too large, and swings: lower the learning rate",
            ),
        )
    ]


def _is_done(view: RunView) -> bool:
    """Whether the loss is at rest, or the run is over and so was its schedule."""
    try:
        loss = training_loss(view)[1].finite
    except NotJudged:
        return False
    return at_rest(loss.values) or schedule_is_over(view)


def _poor(view: RunView) -> bool:
    """Whether the net is known not to be good."""
    short = validated_short(view, GOOD, values=1)
    if short is not None:
        return short
    learned = achieved_if_known(view)
    return learned is not None and learned.share < MUCH


def _short_of_its_targets(view: RunView, fresh: Sequence[ParameterInfo]) -> bool:
    """Whether a regression leaves a tenth of the variance of its targets, and what is frozen is no reservoir."""
    recurrent = {module.name for module in view.modules if module.type.removesuffix("Cell") in RECURRENT}
    left = knowledge_left(view) if not recurrent & {parameter.module for parameter in fresh} else None
    return left is not None and left > 1.0 - NEARLY_ALL and validated_short(view, GOOD, values=1) is None


def _changes(view: RunView, name: str) -> bool:
    """Whether a parameter changes although no optimizer holds it: a copy of another net, or an average of it."""
    curve = view.layer("weight_norm", name)
    return curve is not None and bool(np.ptp(curve.values) > 0)


def _never_pushed(view: RunView, outside: list[str]) -> bool:
    """Whether no gradient comes back to the modules of these parameters, in any of three frames or more; while a run
    goes on, in any so far: a copy that is not renewed yet looks like a layer that was left out, but for the gradient.
    """
    table = view.layers("activation_grad_norm")
    if table is None or (len(table) < FEW_FRAMES and view.status != "running"):
        return False
    home = {parameter.name: parameter.module for parameter in view.parameters}
    seen = table.pick(sorted({home[name] for name in outside}))
    return not bool((seen.measured & (seen.values > 0)).any())


def _too_soon(view: RunView) -> bool:
    """Whether a run that goes on has shown too little for the first step of another optimizer to have been seen."""
    table = view.layers("weight_norm")
    if view.status != "running" or table is None or view.last_step - view.start_step >= FEWEST_STEPS:
        return False
    return int((table.steps > view.start_step).sum()) < FEW_FRAMES


def _losses_without_a_step(view: RunView) -> tuple[str, int] | None:
    """(series, values) of the training loss that was logged most often while no step was done; None after one."""
    if view.last_step > 0:
        return None
    curves = [(name, curve) for name in training_losses(view) if (curve := view.series(name)) is not None]
    return max(((name, len(curve)) for name, curve in curves), key=lambda item: item[1], default=None)


def _left_by_all(view: RunView) -> tuple[str, int] | None:
    """As `_losses_without_a_step`, where no optimizer holds the parameters and the loss does not fall: it would if
    something that was not seen changed them.
    """
    waited = _losses_without_a_step(view)
    curve = view.series(waited[0]) if waited is not None else None
    if curve is None or len(curve.finite) < 4:
        return None
    values = curve.finite.values
    half = len(values) // 2
    before, after = float(values[:half].mean()), float(values[half:].mean())
    error = math.hypot(*(part.std() / math.sqrt(len(part)) for part in (values[:half], values[half:])))
    return None if before - after > max(2.0 * error, FALLS * abs(before)) else waited


def _never_stepped(view: RunView, series: str, values: int, trainable: list[str]) -> Finding:
    return RULE.finding(
        "warning" if view.status == "running" else "critical",
        f"{series} was logged {values} times, and no optimizer has done a step: all {len(trainable)} trainable "
        "parameters are as they were initialised.",
        (0, view.last_step),
        view,
        layers=tuple(trainable),
        evidence=(Evidence(series, values, 0, ">", note="values logged before the first step"),),
        suggestions=(
            "call optimizer.step() after loss.backward()",
            "if another optimizer does the steps, give that one to watch"
            if view.optimizers
            else "build the optimizer from the parameters of this very model, not of another one or a copy",
        ),
    )


def _idle(view: RunView, idle: Sequence[Idle], trainable: list[str]) -> Finding:
    resting = tuple(name for optimizer in idle for name in optimizer.parameters)
    which = ", ".join(f"{optimizer.type} (number {optimizer.place + 1} of those given)" for optimizer in idle)
    return RULE.finding(
        "info" if view.status == "running" or view.last_step < STEPS else "warning",
        f"{which} has done no step: {names(resting)} ({len(resting)} of {len(trainable)} trainable parameters) are as "
        "they were initialised.",
        (0, view.last_step),
        view,
        layers=resting,
        evidence=(Evidence("update_norm", len(resting), 0, ">", layer=resting[0], note="parameters never stepped"),),
        suggestions=(
            "call step() of this optimizer after loss.backward(), too",
            "if it has its turn later, or never, do not give it to watch",
        ),
    )


def _ceased(view: RunView, stopped: Ceased, trainable: list[str]) -> Finding:
    learned = progress_if_known(view)
    return RULE.finding(
        "info" if learned is not None and learned.share >= MUCH else "warning",
        f"{stopped.series} was logged {stopped.values} times since step {stopped.since}, and only {stopped.steps} "
        "steps were done meanwhile: at the beginning there was a step for each value or for every few.",
        (stopped.since, view.last_step),
        view,
        layers=tuple(trainable),
        evidence=(Evidence(stopped.series, stopped.values, stopped.steps, ">", note="values logged, against steps"),),
        suggestions=(
            "look for what leaves the loop before optimizer.step(): a condition on the loss, a `continue`",
            "compare the loss with a running mean of it, not with the lowest ever, if outliers are to be left out",
        ),
    )


def _outside(view: RunView, outside: list[str], trainable: list[str]) -> Finding:
    learned = progress_if_known(view)
    a_part = len(outside) < len(trainable)
    copies = a_part and (_never_pushed(view, outside) or _too_soon(view))
    at_the_bottom = outside == trainable[: len(outside)] and a_part
    fixed_on_purpose = at_the_bottom and learned is not None and learned.share > 0.5 and not _forgotten(view, outside)
    return RULE.finding(
        "info" if fixed_on_purpose or copies else "critical" if len(outside) == len(trainable) else "warning",
        f"{names(outside)} ({len(outside)} of {len(trainable)} trainable parameters) are in no optimizer: "
        "they stay as they were initialised.",
        (0, view.last_step),
        view,
        layers=tuple(outside),
        evidence=(Evidence("run.json", len(outside), 0, ">", layer=outside[0], note="parameters in no optimizer"),),
        suggestions=(
            "build the optimizer after the model is complete, from model.parameters()",
            "if this part is meant to stay fixed, call requires_grad_(False) on it",
            "if another optimizer holds them, give all optimizers to watch",
        ),
    )


def _forgotten(view: RunView, outside: list[str]) -> bool:
    """Whether layers that no optimizer holds were never trained, where those of a body taken over were, are not all but
    the head, as random features are, and were missed: the run is over, and a fifth is left of what guessing gets wrong.
    """
    weights = [p for p in view.parameters if p.is_weight and p.trainable]
    modules = {p.module for p in view.parameters if p.name in outside}
    weighted = {p.module for p in weights if p.name in outside}
    above = {p.module for p in weights} - weighted
    if view.status == "running" or not weighted or len(above) < max(2, len(weighted)):
        return False
    if not all(begins_as_drawn(view, {module}) for module in modules):
        return False
    short, left = validated_short(view, WELL), knowledge_left(view)
    return short is True or (short is None and left is not None and left > 1.0 - WELL)


def _unchanged(view: RunView, held: set[str], thresholds: dict[str, float]) -> list[Finding]:
    least = int(thresholds["frames"])
    updates, gradients = view.need_layers("update_norm"), view.need_layers("grad_norm")
    kept = [name for name in updates.layers if name in gradients.layers and name in held]
    resting = {name for group in view.optimizers if group.lr == 0.0 for name in group.parameters}
    if not resting >= set(kept):
        kept = [name for name in kept if name not in resting]
    steps = np.intersect1d(updates.steps, gradients.steps)
    moved, pushed = updates.pick(kept).at(steps), gradients.pick(kept).at(steps)
    if len(steps) < thresholds["frames"] or not kept:
        raise NotJudged(f"{len(steps)} frames of update_norm, needs {least}")
    gradient = np.where(pushed.measured, pushed.values, np.nan)
    found = criterion(np.where(moved.measured, moved.values, np.nan), gradient, **thresholds)
    # A bias before a normalisation has a gradient that is nothing but rounding: only weights count by
    # themselves.
    matrices = {p.name for p in view.parameters if p.is_weight}
    if not found.all():
        found &= np.asarray([name in matrices for name in kept])
    if not found.any():
        return []
    layers = tuple(name for name, bad in zip(kept, found, strict=True) if bad)
    rate = view.learning_rate(view.last_step)
    usual = float(np.nanmedian(gradient[:, found]))
    rates = f"look at the learning rate: it is {short(rate)}" if rate is not None else "look at the learning rate"
    return [
        RULE.finding(
            "critical" if found.all() else "warning",
            f"{names(layers)} ({len(layers)} of {len(kept)} parameters) did not change in any of "
            f"{len(steps)} frames, although their gradient is not zero (median {short(usual)}).",
            (int(steps[0]), view.last_step),
            view,
            layers=layers,
            evidence=(
                Evidence(
                    "update_norm",
                    0.0,
                    layer=layers[0],
                    relation="=",
                    note="norm of the update in every frame",
                ),
                Evidence("grad_norm", usual, 0.0, ">", layer=layers[0], note="median norm of the gradient"),
            ),
            suggestions=(
                rates,
                "check that the optimizer holds the model's own tensors: build it after the model",
                "keep the weights in float32 when training in half precision: small updates are rounded away",
            ),
        )
    ]


RULE = Rule(
    slug="parameters-not-updated",
    family="updates",
    severity="critical",
    title="Parameters are not updated",
    needs="the optimizer's parameters, and 3 frames of update and gradient norms",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
