"""Weight decay pulls the weights to zero faster than the training can move them away from it.

What it detects
---------------
An optimizer whose weight decay is as strong as the gradient of the loss, or stronger, while the training loss stays
high.

Why it matters
--------------
Weight decay is meant to break ties between solutions that fit the data equally well. When it is as large as the
gradient it decides where the weights go: the model gives up fitting the data, and in the end all weights are zero and
every answer is the same.

Criterion
---------
After `steps_needed` (30) steps (half as many where the weights have lost half of their size, or nothing balances the
decay) and at least 4 frames, over the weight matrices and kernels that an optimizer decays:

- the pull of the decay is set against what the data does, as norms over all of them together, median over the second
  half of the frames. For optimizers that add the decay to the gradient (SGD, Adam) it is decay * ||w|| / ||gradient||;
  for those that decay apart from it (AdamW) lr * decay * ||w|| / ||update||.
- the training loss has fallen by less than `learned` (0.8) of its initial level, or of guessing where that is lower
  (not asked for where the weights are gone). Where no one training loss was logged, as of a generator and a
  discriminator, a distance between generated and real examples stands for it (Fréchet, FID, KID, MMD), from its value
  before the first step, or from that of always giving the mean, where a score beside it tells.

It is reported when

- the decay is added to the gradient, its pull is above `pull` (0.3) and below 10 (beyond that there is no gradient that
  it could balance), and the loss would fall by `gain` (0.7) percent or more if the weights were larger by one percent
  (decay * ||w||^2 / loss: at rest the gradient of the loss along the weights balances the decay); or
- the decay is added to the gradient, its pull is between these, the weights have come to rest (over the last third of
  the frames their norm stays within a tenth), and the scores are too small for the answers: the training loss is above
  `timid` (1.25) times the most that its accuracy r leaves open among C classes, H(r) + (1 - r) ln(C - 1) (Fano's
  inequality; not with smoothed labels); or
- the decay is apart from the gradient, its pull is above `apart` (1), and the weights have not doubled; or above half
  of that, where the weights have lost half of their size, and less than half of the loss is gone; or
- nothing was learned (a fall of less than 0.15), the pull is above 0.9, and the weights have shrunk below `shrunk`
  (0.7) of what they were, and the pull was above 0.03 in one of the first three frames already; or
- nothing was learned, the decay is added to the gradient, its pull was above 10 in every frame, and the weights have
  shrunk from each to the next, below 0.9 of what they were: nothing balances it (and the gradient is not clipped at one
  norm in almost every frame: then it is the clipping); where they have lost half of their size, up to half of the loss
  may be gone; or
- the weights have shrunk to less than a twentieth of what they were, the pull is above `pull`, and was above 0.03 in
  one of the first three frames: whatever the loss has fallen by, a bias has learned it; or
- the weights forget: with SGD or AdamW the decay takes them to 1 / e in fewer than `memory` (30) steps, (1 - momentum)
  / (lr * decay) with the median rate (usual: a thousand and more), they have shrunk to less than half, and in a run
  that is over less than half of the loss is gone, the level of guessing being known, and the accuracy, where one is
  known, is below 0.8 of the way from guessing to 1. So beside normalisation, too, where the gradient balances any
  decay.

Without any decay it is reported when all weights have shrunk to less than a twentieth of what they were: a penalty in
the loss does the same, and is part of the loss that falls. Critical then, and when nothing was learned. Not when there
was no gradient from the first frame on.

Evidence
--------
The pull of the decay, how far the weights have shrunk, and the fall of the loss.

What to try
-----------
1. Less weight decay: usual are 1e-4 to 5e-4 for SGD, and 0.01 to 0.1 for AdamW.
2. With Adam, use AdamW: added to the gradient, the decay is scaled by the size of the gradient, too.
3. No decay at all, first: add it back when the model overfits.

When it misleads
----------------
A penalty on the weights that is part of the loss is a gradient here, and is not seen. A model that cannot learn for
another reason has small gradients, too: then even moderate decay is the stronger of both, and takes the weights to
zero.

Example that fires
------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.3), steps=200)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=1e-3), steps=200)
```

References
----------
- Loshchilov and Hutter, Decoupled weight decay regularization, 2019.
- van Laarhoven, L2 regularization versus batch and weight normalization, 2017.
- Krogh and Hertz, A simple weight decay can improve generalization, 1992.
- Cover and Thomas, Elements of Information Theory, 2.10 (Fano's inequality).
- CS231n, Neural Networks part 2: regularization.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.achieved import achieved, achieved_if_known
from probes.diagnosis.beginning import begins_late
from probes.diagnosis.finding import Evidence, Finding, Severity
from probes.diagnosis.gradients import clipped_norm, total_norm
from probes.diagnosis.numbers import percent, round_rate, short
from probes.diagnosis.outcome import answers_short
from probes.diagnosis.progress import Progress, guessing_loss
from probes.diagnosis.rule import Rule
from probes.diagnosis.seen_loss import loss_as_logged
from probes.diagnosis.signs.forgotten import Memory, shortest_memory
from probes.diagnosis.signs.label_noise import classes_of, cost_of_wrong_targets
from probes.diagnosis.tracks import accuracy
from probes.diagnosis.view import Floats, NotJudged, RunView, Steps

ADDED = frozenset(
    {
        "SGD",
        "Adam",
        "Adamax",
        "NAdam",
        "RAdam",
        "RMSprop",
        "Adagrad",
        "Adadelta",
        "ASGD",
        "SparseAdam",
        "LBFGS",
        "Rprop",
    }
)
"""Optimizers that add it to the gradient. Of any other the decay is held against the whole update."""

MINIMUM_FRAMES = 4
FEW = 20
"""Training accuracies; with fewer their mean says little."""
NOTHING = 0.15
GONE = 0.05
"""Norm of weights, of that at the start, that is next to nothing."""
BALANCE = 10.0
"""Pull up to which the gradient can be said to balance the decay."""

AT_REST = 1.1
"""Largest over smallest norm of the weights in the last third, up to which the decay and the data hold a balance."""

SHRINKS, HALF = 0.9, 0.5
"""Size of weights that is seen to fall, and that is half gone, of that at the start."""

GROWN = 2.0
"""Growth of the weights beyond which something else than the decay decides."""

SOME = 0.03
"""Pull at the beginning below which a gradient that went away later, for another reason, left the decay alone."""

ROUNDED_OFF = 2.0**-25
"""Part of a weight below which taking it away leaves a float32 as it is: half of its precision of 2^-24."""

WELL, USUAL_MEMORY = 0.8, 2000.0
"""Share of what guessing gets wrong that is right in a net that does well; and a usual memory: that of SGD with a rate
of 0.1, a momentum of 0.9 and a decay of 5e-4."""

STRONGER = 0.9
"""Pull from which the decay decides, when nothing is learned."""


@dataclass(frozen=True)
class Pull:
    """What weight decay does to the weights of one kind of optimizer.

    Attributes:
        ratio: pull of the decay over what the data does, per frame, [T].
        size: norm of the decayed weights per frame, [T].
        start: that norm before the first step.
        energy: decay * ||w||^2 at the last frame.
        decay: the largest weight decay.
        apart: whether it is apart from the gradient.
        clipped: whether the gradient is clipped at one norm in almost every frame.
    """

    steps: Steps
    ratio: Floats
    size: Floats
    start: float
    energy: float
    decay: float
    apart: bool
    clipped: bool = False

    @property
    def level(self) -> float:
        """Median of the ratio over the second half."""
        late = self.ratio[len(self.ratio) // 2 :]
        finite = late[np.isfinite(late)]
        return float(np.median(finite)) if len(finite) else 0.0

    @property
    def early(self) -> float:
        """Highest ratio of the first three frames: whether it pulled already while there was a gradient."""
        return float(self.ratio[:3].max())

    @property
    def overwhelms(self) -> bool:
        """Whether nothing has balanced it from the first frame on, and the weights shrink in each one."""
        shrinks = bool((np.diff(self.size) <= 0).all()) and self.shrunk < SHRINKS
        return not self.apart and not self.clipped and bool((self.ratio > BALANCE).all()) and shrinks

    @property
    def at_rest(self) -> bool:
        """Whether the weights keep their size over the last third of the frames, at least 3."""
        late = self.size[-max(3, len(self.size) // 3) :]
        return bool(late.max() <= AT_REST * late.min())

    @property
    def shrunk(self) -> float:
        """Norm at the end over that at the start."""
        return float(self.size[-1] / self.start) if self.start > 0 else float("inf")


def criterion(
    pull_of_decay: Pull,
    share: float,
    loss: float,
    open_at_most: float | None = None,
    *,
    pull: float = 0.3,
    apart: float = 1.0,
    gain: float = 0.7,
    learned: float = 0.8,
    shrunk: float = 0.7,
    timid: float = 1.25,
    memory: float = 30.0,
    steps_needed: float = 30,
) -> bool:
    """Whether weight decay keeps the loss up.

    Args:
        pull_of_decay: what the decay does to the weights.
        share: fall of the training loss, as a share of its reference.
        loss: training loss at the end.
        open_at_most: the most that the training accuracy leaves open about a target, in units of the loss; None when
            it is not known.
        pull: pull over gradient (healthy classifiers with a decay of up to 0.005 stay below 0.15, a noisy regression
            of all data at once below 0.25).
        apart: pull over update, for decay apart from the gradient (AdamW with a decay of 0.3 stays below 0.15).
        gain: relative fall of the loss for a relative growth of the weights.
        learned: fall of the loss above which the decay does no harm worth telling.
        shrunk: norm of the weights over that at the start, where nothing is learned.
        timid: loss over ``open_at_most`` (1 for a net that knows no more than its accuracy says, less for any other).
        memory: steps in which a decay may take weights to 1 / e (used by the judge; a decay of 0.01 for all data at
            once is at 100).
        steps_needed: steps before which nothing is said (used by the judge).
    """
    level = pull_of_decay.level
    if pull_of_decay.shrunk < GONE and level > pull and pull_of_decay.early > SOME:
        return True
    if share >= learned:
        return False
    if share < NOTHING and level > STRONGER and pull_of_decay.shrunk < shrunk and pull_of_decay.early > SOME:
        return True
    if share < (HALF if pull_of_decay.shrunk < HALF else NOTHING) and pull_of_decay.overwhelms:
        return True
    if pull_of_decay.apart:
        halved = share < HALF and pull_of_decay.shrunk < HALF
        return level > apart * (HALF if halved else 1.0) and pull_of_decay.shrunk < GROWN
    if not pull < level < BALANCE:
        return False
    if open_at_most is not None and loss > timid * open_at_most and pull_of_decay.at_rest:
        return True
    return pull_of_decay.energy > gain * loss > 0 and pull_of_decay.shrunk < GROWN


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the decayed weights of all optimizers of one kind together."""
    if not view.optimizers:
        raise NotJudged("the optimizer is not known")
    if not any(group.weight_decay > 0 for group in view.optimizers):
        penalty = _penalty(view)
        return [penalty] if penalty is not None else []
    learned = achieved(view)
    if learned is None:
        raise NotJudged("no training loss was logged")
    for apart in (False, True):
        measured = _pull(view, apart)
        if measured is None:
            continue
        # Weights that have lost half of their size show it sooner.
        soon = measured.shrunk < HALF or measured.overwhelms
        needed = int(thresholds["steps_needed"] * (HALF if soon else 1.0))
        if len(measured.steps) < MINIMUM_FRAMES or view.last_step < needed:
            raise NotJudged(
                f"{len(measured.steps)} frames in {view.last_step} steps, needs {MINIMUM_FRAMES} in {needed}"
            )
        if criterion(measured, learned.share, learned.end, _open_at_most(view), **thresholds):
            return [_report(view, measured, learned, thresholds)]
        memory = shortest_memory(view)
        if memory is not None and measured.shrunk < HALF and memory.steps < thresholds["memory"]:
            return [_forgets(view, memory, measured, learned, thresholds["memory"])] if _poor(view, learned) else []
    return []


def _poor(view: RunView, learned: Progress) -> bool:
    """Whether a run that is over has less than half of the loss gone, and no accuracy that speaks against it."""
    if view.status == "running" or learned.share >= HALF or (learned.guessing is None and learned.variance is None):
        return False
    return answers_short(view, WELL) is not False


def _forgets(view: RunView, memory: Memory, pull: Pull, learned: Progress, limit: float) -> Finding:
    return RULE.finding(
        "warning",
        f"With a weight decay of {short(memory.decay)} and a learning rate of {short(memory.rate)} the weights forget "
        f"what they learned within {short(memory.steps)} steps (norm {short(pull.start)} at the start, "
        f"{short(float(pull.size[-1]))} now), and {learned.series} went from {short(learned.start)} only to "
        f"{short(learned.end)} (a fall of {percent(max(learned.share, 0.0))}).",
        (int(pull.steps[0]), view.last_step),
        view,
        evidence=(
            Evidence("optimizer/lr", memory.steps, limit, "<", note="steps in which the decay takes weights to 1 / e"),
            Evidence("weight_norm", pull.shrunk, HALF, "<", note="decayed weights now, over those at the start"),
            Evidence(learned.series, learned.share, HALF, "<", note="fall of the loss"),
        ),
        suggestions=(
            f"lower the weight decay from {short(memory.decay)} to about "
            f"{round_rate(min(memory.decay * memory.steps / USUAL_MEMORY, 0.05 if pull.apart else 5e-4))}",
            "train without weight decay first, and add it when the model overfits",
        ),
    )


def _open_at_most(view: RunView) -> float | None:
    """What the training accuracy of the last tenth leaves open about a target; None when it cannot be known."""
    track, classes, loss = accuracy(view, validation=False), classes_of(view), loss_as_logged(view)
    if guessing_loss(view) is None or track is None or classes is None or loss is None:
        return None
    right = track[1].finite.values
    if len(right) < FEW or loss.label_smoothing:
        return None
    level = right[-max(FEW // 2, len(right) // 10) :].mean()
    return float(cost_of_wrong_targets(np.array([level]), classes)[0])


def _penalty(view: RunView) -> Finding | None:
    """Weights that all shrink to nothing although no optimizer decays them: a penalty that is part of the loss."""
    table = view.layers("weight_norm")
    matrices = {p.name for p in view.parameters if p.is_weight and p.trainable}
    learned = achieved_if_known(view)
    if table is None or learned is None or len(table) < MINIMUM_FRAMES or begins_late(view, table.steps):
        return None
    norms = table.pick([name for name in table.layers if name in matrices])
    if not norms.layers or not norms.measured[[0, -1]].all() or not np.isfinite(norms.values[[0, -1]]).all():
        return None
    start, end = norms.values[0], norms.values[-1]
    if not (start > 0).all() or not (end < GONE * start).all():
        return None
    return RULE.finding(
        "critical",
        f"All weights have shrunk to less than {percent(GONE)} of their size (the largest from "
        f"{short(float(start.max()))} to {short(float(end.max()))}) although no optimizer decays them, and "
        f"{learned.series} went from {short(learned.start)} to {short(learned.end)}: a penalty on the weights in the "
        "loss outweighs the data.",
        (int(norms.steps[0]), view.last_step),
        view,
        layers=norms.layers,
        evidence=(
            Evidence("weight_norm", float((end / start).max()), GONE, "<", note="norm now, of that at the start"),
            Evidence(learned.series, learned.end, note="level at the end"),
        ),
        suggestions=(
            "weigh the penalty with 1e-4 to 1e-2, or leave it out first",
            "penalise squares of the weights, not their norms: the pull of a norm does not shrink with the weights",
        ),
    )


def _pull(view: RunView, apart: bool) -> Pull | None:
    """The pull of the decay of all optimizers that keep it apart from the gradient, or of all that do not."""
    weights = view.need_layers("weight_norm")
    against = view.need_layers("update_norm" if apart else "grad_norm")
    matrices = {p.name for p in view.parameters if p.is_weight and p.trainable}
    steps = np.intersect1d(weights.steps, against.steps)
    pulled, size, other = np.zeros(len(steps)), np.zeros(len(steps)), np.zeros(len(steps))
    energies, start, decays = np.zeros(len(steps)), 0.0, []
    for index, group in enumerate(view.optimizers):
        names = [n for n in group.parameters if n in matrices and n in weights.layers and n in against.layers]
        if group.weight_decay <= 0 or (group.type not in ADDED) != apart or not names or not len(steps):
            continue
        norms = total_norm(weights.pick(names).at(steps)).values
        factor = np.full(len(steps), group.weight_decay)
        if apart:
            rates = view.group_rates(index, steps)
            if rates is None:
                continue
            factor = np.where(factor * rates < ROUNDED_OFF, 0.0, factor * rates)
        pulled += (factor * norms) ** 2
        size += norms**2
        other += total_norm(against.pick(names).at(steps)).values ** 2
        energies += group.weight_decay * norms**2
        start += float(total_norm(weights.pick(names)).values[0]) ** 2
        decays.append(group.weight_decay)
    finite = np.isfinite(size) & np.isfinite(other)
    if not decays or not finite.any() or not other[finite][0] > 0:
        return None  # without any gradient from the beginning on it is not the decay that keeps the model from learning
    steps, pulled, size, other = steps[finite], pulled[finite], size[finite], other[finite]
    ratio = np.sqrt(np.where(other > 0, pulled / other, np.inf))
    ratio = np.where((pulled == 0) & (other == 0), 0.0, np.where(np.isinf(ratio), 1e9, ratio))
    began, clipped = float(np.sqrt(start)), clipped_norm(view) is not None
    return Pull(steps, ratio, np.sqrt(size), began, float(energies[finite][-1]), max(decays), apart, clipped)


def _report(view: RunView, pull: Pull, learned: Progress, thresholds: Mapping[str, float]) -> Finding:
    limit = thresholds["apart" if pull.apart else "pull"]
    above = np.flatnonzero(pull.ratio > limit)
    first = int(pull.steps[above[0]]) if len(above) else int(pull.steps[0])
    lower = min(pull.decay / max(10.0, 10.0 * min(pull.level, 1e3)), 0.05 if pull.apart else 5e-4)
    severity: Severity = "critical" if learned.share < NOTHING else "warning"
    what = "the updates" if pull.apart else "the gradient of the loss"
    times = f"{short(pull.level)} times" if pull.level < 1e3 else "more than a thousand times"
    against = "update_norm" if pull.apart else "grad_norm"
    advice = [
        f"lower the weight decay from {short(pull.decay)} to about {round_rate(lower)}",
        "train without weight decay first, and add it when the model overfits",
    ]
    if any(group.adaptive and group.type in ADDED and group.weight_decay > 0 for group in view.optimizers):
        advice.insert(1, "use AdamW: with this optimizer the decay is scaled as the gradient is")
    return RULE.finding(
        severity,
        f"The weight decay of {short(pull.decay)} pulls at the weights {times} as strongly as {what} (norm of the "
        f"weights {short(pull.start)} at the start, {short(float(pull.size[-1]))} now), and {learned.series} went from "
        f"{short(learned.start)} only to {short(learned.end)} (a fall of {percent(max(learned.share, 0.0))}).",
        (first, view.last_step),
        view,
        evidence=(
            Evidence(against, pull.level, limit, ">", note=f"pull of the decay over {what}, second half of the run"),
            Evidence(
                "weight_norm", float(pull.size[-1]), pull.start, "<", note="decayed weights, now and at the start"
            ),
            Evidence(learned.series, learned.share, thresholds["learned"], "<", note="fall of the loss"),
        ),
        suggestions=tuple(advice),
    )


RULE = Rule(
    slug="weight-decay-too-strong",
    family="updates",
    severity="critical",
    title="Weight decay is too strong",
    needs="4 frames of weight, gradient and update norms over 30 steps, the optimizer, and one training loss",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
