"""A trainable parameter gets no gradient, or only zeros; or none comes from a loss that is not small yet.

What it detects
---------------
Parameters that require a gradient and are in the optimizer, but never get one; and weights whose gradient is
exactly zero in every frame. A loss that sends hardly any gradient back any more, while much of it is left.

Why it matters
--------------
They stay at their random initial values. Usually the graph is cut by accident: a `detach()`, `.data`,
`.item()`, a NumPy round trip, `torch.no_grad()`, an argmax, a module that is built but not used in
`forward`, or a dead layer above. A loss is flat where something between it and the outputs cuts off what is wrong: a
`clamp()`, a ReLU after the last layer, labels that it does not expect.

Criterion
---------
Over at least `frames` (3) frames of the whole run: no gradient was present in any (any parameter), or the
gradient was exactly zero in each of them (weight matrices and kernels only). Where no gradient at all was seen, the
updates tell: all of them zero, in as many frames in which the optimizer stepped. Parameters that do not require
a gradient are left out, and frames in which one did not, or in which its optimizer did not step (its update was not
measured then). A warning; critical when it concerns at least `share` (0.5) of all trainable weights. Only
information

- in a run that goes on, when their modules did not run so far (nets that grow);
- when it is less than `share`, and the first layer that is called is not among them: a graph that is cut by accident
  starves everything from the inputs up to the cut, a branch whose output nothing uses (the residual one of a last
  block) by itself. In a run that is over, zeros are a warning all the same (while it goes on, a term of the loss may
  have the weight zero as yet), and so is what did harm, with less than half of the loss gone (and poor answers, where
  an accuracy is known); where no loss tells, more than one module is harm;
- in the first 50 steps of a run that goes on, when the gradients of all parameters are zero, and no loss was logged
  that is not zero: values that begin at zero follow nothing before the first reward.

Where modules are left out by chance (some run in one frame and not in another), it takes 20 frames to say so of one
that did not run.

A warning, too, after 100 steps and 4 frames, when a loss is flat where the outputs are: in the last two frames the
gradient of all parameters together, that of the last module's outputs and the largest of any module's outputs are all
below 1/30 of what they were in the first frame, times the square of the share of the training loss that is left (its
level in those frames over its level until the gradient first fell below a third); and a quarter or more is left. Of a
cross-entropy the gradient falls with the loss, of a squared error as its root. Not with nine in ten answers right.
Where there is no one loss that has to fall (rewards are logged, several losses), or one that may keep a constant at its
best (the logarithm of a density, an energy), it takes a gradient of exactly zero, and every loss that was logged must
be left so.

Evidence
--------
For each parameter, the number of frames without a gradient or the norm zero; or the gradient beside the loss.

What to try
-----------
1. Look at `forward` for the place where the graph is cut between this parameter and the loss.
2. If the parameter is not meant to be trained, set `requires_grad_(False)` or remove it.
3. If a layer above is dead (`dead-units`), mend that first.
4. Of a flat loss: look at what stands between the outputs and it, and at the range of outputs and targets it expects.

When it misleads
----------------
Parts of a model that are only used now and then (experts, auxiliary heads) may be missed by all frames of a
short run.

Example that fires
------------------
```python
class Cut(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU()), nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.body(x).detach())

model = Cut()
train(model, torch.optim.SGD(model.parameters(), lr=0.5))
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
model[1].requires_grad_(False)
train(model, torch.optim.SGD(model[3].parameters(), lr=0.5))
```

References
----------
- PyTorch documentation, Autograd mechanics.
- OpenAI, Baselines: DQN, 2017 (a clipped error has no gradient where it is large).
- Zhang et al., AutoTrainer, ICSE 2021 (share of zero gradients at least 0.7, there per layer and single
  epoch).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.numbers import names, percent, short
from probes.diagnosis.outcome import came_to_little
from probes.diagnosis.progress import progress_if_known
from probes.diagnosis.rule import Rule
from probes.diagnosis.signs.flat import LEFT, Flat, flat_loss
from probes.diagnosis.tracks import training_losses
from probes.diagnosis.view import Floats, LayerTable, Mask, NotJudged, RunView

CHANCE_FRAMES = 20
"""Frames after which no module of a net of random depth is left out by chance."""
SOON = 50
"""Steps in which an agent may not have met a reward."""


def criterion(
    norm: Floats, measured: Mask, weight: Mask, *, frames: float = 3, share: float = 0.5
) -> tuple[Mask, Mask]:
    """(parameters that never get a gradient, weights whose gradient is always exactly zero), each [L].

    Args:
        norm: gradient norm per frame and parameter, [T, L].
        measured: whether there was a gradient, [T, L].
        weight: whether the parameter is a matrix or kernel, [L].
        frames: fewest frames (a single one may fall on the first step after a zero initialisation).
        share: share of all trainable weights from which it is critical (used by the judge).
    """
    never = np.asarray(~np.asarray(measured).any(axis=0))
    zero = (np.where(measured, norm, 0.0) == 0.0).all(axis=0) & (measured.sum(axis=0) >= frames) & weight
    return never, np.asarray(zero & ~never)


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge every parameter, and the loss where each of them got something."""
    found = _of_parameters(view, thresholds)
    flat = flat_loss(view) if not found else None
    return found if flat is None else [_flat(view, flat)]


def _of_parameters(view: RunView, thresholds: Mapping[str, float]) -> Sequence[Finding]:
    """Judge every parameter that requires a gradient and that an optimizer holds."""
    if view.layers("grad_norm") is None:
        nothing = _nothing_comes_back(view, int(thresholds["frames"]))
        if nothing is not None:
            return [nothing]
    table = view.need_layers("grad_norm", int(thresholds["frames"]))
    if not view.parameters:
        raise NotJudged("the manifest does not describe the model's parameters")
    held = {name for group in view.optimizers for name in group.parameters}
    wanted = [p for p in view.parameters if p.trainable and p.numel and (not held or p.name in held)]
    kinds = {p.name: p.is_weight for p in wanted}
    table = table.pick([p.name for p in wanted])
    if not table.layers:
        raise NotJudged("no trainable parameter was measured")
    weight = np.asarray([kinds[name] for name in table.layers])
    never, zero = criterion(table.values, table.measured, weight, **thresholds)
    never &= _long_enough(view, table, weight) & _could_get_one(view, table, int(thresholds["frames"]))
    unused = view.status == "running" and not zero.any() and _not_run(view, table, never)
    found = never | zero
    if not found.any():
        return []
    layers = tuple(name for name, bad in zip(table.layers, found, strict=True) if bad)
    concerned = int((found & weight).sum()) / max(1, int(weight.sum()))
    yet = view.status == "running" and bool(zero.any())  # the weight of its term may be zero as yet
    loose = (yet or not zero.any()) and concerned < thresholds["share"] and _loose_end(view, table, found, yet)
    waits = view.last_step < SOON and not never.any() and _nothing_to_follow_yet(view, table)
    without = [name for name, bad in zip(table.layers, never, strict=True) if bad]
    zeros = [name for name, bad in zip(table.layers, zero, strict=True) if bad]
    said = []
    if without:
        said.append(f"{names(without)} never got a gradient in {len(table)} frames")
    if zeros:
        said.append(f"the gradient of {names(zeros)} was exactly zero in all {len(table)} frames")
    message = "; ".join(said) + f": {len(layers)} of {len(table.layers)} parameters stay as they were initialised."
    return [
        RULE.finding(
            "info" if unused or loose or waits else "critical" if concerned >= thresholds["share"] else "warning",
            message[0].upper() + message[1:] if zeros and not without else message,
            (int(table.steps[0]), view.last_step),
            view,
            layers=layers,
            evidence=tuple(
                Evidence(
                    "grad_norm",
                    0.0,
                    layer=name,
                    relation="=",
                    note="no gradient" if name in without else "zero",
                )
                for name in layers[:8]
            ),
            suggestions=(
                f"look in forward for what cuts the graph between {layers[-1]} and the loss: detach(), "
                ".data, .item(), torch.no_grad(), argmax, or a module that is not used",
                f"if it is not meant to be trained: {layers[0]} .requires_grad_(False), or remove it",
                "if a layer above it is dead, mend that first",
            ),
        )
    ]


def _nothing_to_follow_yet(view: RunView, table: LayerTable) -> bool:
    """Whether in a run that goes on all gradients are zero, and no loss was logged that is not zero as well: an agent
    whose values begin at zero learns nothing before its first reward.
    """
    if view.status != "running" or np.where(table.measured, table.values, 0.0).any():
        return False
    logged = (view.series(name) for name in training_losses(view))
    return not any(curve is not None and curve.finite.values.any() for curve in logged)


def _nothing_comes_back(view: RunView, frames: int) -> Finding | None:
    """The finding when optimizers step and not one parameter ever got a gradient: the loss is cut from the model."""
    table = view.layers("update_norm")
    wanted = [p.name for p in view.parameters if p.trainable and p.numel]
    rate = view.learning_rate(view.last_step)
    if table is None or not wanted or rate == 0.0:
        return None
    table = table.pick(wanted)
    seen = table.measured.any(axis=1)
    if seen.sum() < frames or float(np.where(table.measured, table.values, 0.0).max()) != 0.0:
        return None
    return RULE.finding(
        "critical",
        f"No parameter got a gradient in {int(seen.sum())} frames in which the optimizer stepped, and none changed: "
        "the loss that backward() is called on does not depend on the model.",
        (int(table.steps[seen][0]), view.last_step),
        view,
        layers=table.layers,
        evidence=(Evidence("update_norm", 0.0, layer=table.layers[0], relation="=", note="update in every frame"),),
        suggestions=(
            "compute the loss from the scores: argmax, max()[1], round, .item(), .detach() and NumPy cut the graph",
            "do not set requires_grad on the loss: that only silences the error that says so",
            "call loss.backward() before optimizer.step(), and zero_grad() before both",
        ),
    )


def _flat(view: RunView, flat: Flat) -> Finding:
    """The finding when a loss sends nothing back, and much of it is left."""
    ended = "is exactly zero" if flat.share == 0.0 else f"is {percent(flat.share)} of what it was at first"
    left = percent(min(1.0, flat.end / flat.start))
    return RULE.finding(
        "warning",
        f"The gradient that comes back from {flat.series} {ended}, but of the loss {left} is left ({short(flat.start)} "
        f"at first, {short(flat.end)}): it is flat where the outputs are, and what is wrong yet moves nothing.",
        (flat.since, view.last_step),
        view,
        evidence=(
            Evidence("grad_norm", flat.share, flat.limit, "<", note="largest of the last two frames, over the first"),
            Evidence(flat.series, flat.end, LEFT * flat.start, ">", note="level then, and a quarter of the first"),
        ),
        suggestions=(
            "look at what stands between the outputs and the loss: clamp(), a ReLU or rounding after the last layer, "
            "detach(), a derivative taken without create_graph=True",
            "to limit what a single large error does, use a Huber loss or clip the gradient: a clipped error has none",
            "check what the loss expects: scores or probabilities, targets of 0 and 1 or of -1 and 1",
        ),
    )


def _could_get_one(view: RunView, table: LayerTable, frames: int) -> Mask:
    """Whether each parameter, [L], was seen to require a gradient while its optimizer stepped, in ``frames`` frames.

    That is when its update is measured. A parameter that was frozen then, or whose optimizer did not step, gets no
    gradient because it is to get none.
    """
    updates = view.layers("update_norm")
    if updates is None:
        return np.ones(len(table.layers), dtype=bool)
    seen = dict(zip(updates.layers, updates.at(table.steps).measured.sum(axis=0).tolist(), strict=True))
    return np.asarray([seen.get(name, 0) >= frames for name in table.layers])


def _loose_end(view: RunView, table: LayerTable, never: Mask, yet: bool) -> bool:
    """Whether what got no gradient is off the way from the inputs to the loss, and no harm is seen or (``yet``) sought.

    A graph that is cut starves everything before the cut, from the first layer on. A layer whose output nothing uses
    (the residual branch of a last block, a head that is left out of the loss) starves by itself.
    """
    home = {parameter.name: parameter.module for parameter in view.parameters}
    starved = {home.get(name, "") for name, bad in zip(table.layers, never, strict=True) if bad}
    weighted = {home.get(name, "") for name in table.layers}
    first = next((module.name for module in view.modules if module.output_shape and module.name in weighted), None)
    if first is None or first in starved:
        return False
    if yet:
        return True
    learned = progress_if_known(view)
    if learned is None:
        return len(starved) == 1
    return view.status == "running" or not came_to_little(view, learned)


def _not_run(view: RunView, table: LayerTable, never: Mask) -> bool:
    """Whether the parameters ``never`` [L] are of modules that did not run so far: a net that grows uses them later."""
    ran = view.layers("activation_mean")
    home = {parameter.name: parameter.module for parameter in view.parameters}
    known = {module.name for module in view.modules}
    modules = {home.get(name, "") for name, bad in zip(table.layers, never, strict=True) if bad}
    if ran is None or not modules or not modules & known <= known:
        return False
    run = {name for name, column in zip(ran.layers, ran.measured.T, strict=True) if column.any()}
    return bool(run) and not modules & run


def _long_enough(view: RunView, table: LayerTable, weight: Mask) -> bool:
    """Whether there are frames enough to say that a parameter never gets a gradient.

    Three are, where its module ran and got none. A module that did not run may be one that is skipped by chance
    (stochastic depth, a mixture of experts), when others run in some frames and in others not: that takes more.
    """
    ran = view.layers("activation_mean")
    if ran is None or len(table) >= CHANCE_FRAMES:
        return True
    seen = ran.at(table.steps).measured
    home = {parameter.name: parameter.module for parameter in view.parameters}
    always = {name for name, column in zip(ran.layers, seen.T, strict=True) if len(column) and column.all()}
    without = [
        home.get(name, "")
        for name, column, matrix in zip(table.layers, table.measured.T, weight, strict=True)
        if matrix and not column.any()
    ]
    chance = bool((seen.any(axis=0) & ~seen.all(axis=0)).any())
    return not chance or any(module in always for module in without)


RULE = Rule(
    slug="missing-gradients",
    family="gradients",
    severity="critical",
    title="Parameters get no gradient",
    needs="3 frames of gradient norms",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
