"""The gradient grows out of all proportion, and the loss is ruined by it.

What it detects
---------------
The norm of the whole gradient grows to many times its own usual size, and does damage: the loss loses what
it had gained and does not come back, or becomes NaN.

Why it matters
--------------
One step along such a gradient throws the weights far away from anything learned. It is the usual last stage
before NaN, and the stage in which the run can still be saved from a checkpoint.

Criterion
---------
The gradient is what the optimizer sees, after clipping. Let *usual* be the lowest running median (5 frames)
of its norm so far.

- The norm exceeds `growth` (100) times its usual size, and the training loss since lies above its best level
  by more than half of what had been gained (and by more than 5 times its noise), up to the end: ruined. At
  least 3 loss values must say so. Not in a run that goes on where the loss, no higher than 3 times its beginning, falls
  beyond doubt since (5 standard errors of a straight line, 1 of one through the latter half).
- Or values become NaN or infinite, and before that the norm exceeded 10 times its usual size, or the updates
  were larger than the weights themselves.
- Or, from the first frames on, the updates are larger than `overshoot` (1.0) times the weights they change
  (biases aside), and the loss has risen to more than twice its initial value: there is no healthy past to
  compare with.
- Or, where there is no single training loss, the norm is a million times the highest of the first 3 frames in each of
  the last 3 (of 6 or more).
- Or the norm is cut: in at least `cut` (0.5) of the frames, and at least five, it is the same number, its highest
  (to 0.1%), the loss has fallen by less than a tenth in 100 steps, and the steps are no small ones (above 1e-3 of
  the weights): a warning. A clipped net that learns is left alone, and so are Adam and its kin, whose steps do not
  depend on the norm.

- Or, after 100 steps, a gradient that no frame shows has left its trace: under Adam and its kin the steps of some
  weights are below 3e-4 of what gradient and learning rate account for in all frames (3 or more) of the latter half,
  by a hundred times more than the largest gradient recorded explains. The mean of squares holds it. A warning.

AutoTrainer takes a ratio of 70 between gradient norms, or NaN. Growth alone is not enough: leaving a plateau
multiplies the gradient by thousands, and so does the beginning of most trainings.

Evidence
--------
The norm at its onset against its usual size; the loss since against its best level before.

What to try
-----------
1. Lower the learning rate, or raise it from near zero over the first steps (warm-up).
2. Clip the gradient norm at about twice its usual size.
3. For recurrent nets: clip, use LSTM or GRU, initialise the recurrent weights orthogonally.
4. Normalise the inputs, and initialise for the activation in use.

When it misleads
----------------
Spikes that recover are not reported. With several losses that answer each other (GANs), only NaN and growth
without measure count as damage.
With clipping, the norm cannot grow: how large it was before it was cut is not known.

Example that fires
------------------
```python
hidden = [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
model = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(64, 1))
targets = targets.float()[:, None]
train(model, torch.optim.SGD(model.parameters(), lr=0.5), loss_fn=nn.MSELoss())
```

Example that stays quiet
------------------------
```python
hidden = [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
model = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(64, 1))
targets = targets.float()[:, None]
train(model, torch.optim.SGD(model.parameters(), lr=0.005), loss_fn=nn.MSELoss())
```

References
----------
- Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks, ICML 2013 (clipping).
- Zhang et al., AutoTrainer, ICSE 2021 (ratio compared above).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.gradients import step_size, total_norm, without_decay
from probes.diagnosis.numbers import names, round_rate, short
from probes.diagnosis.progress import progress_if_known
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import block_medians, level, noise, opening
from probes.diagnosis.signs.divided import divided_by_nothing
from probes.diagnosis.signs.recovering import recovers
from probes.diagnosis.signs.smothered import DIVIDED, Smothered, smothered
from probes.diagnosis.tracks import training_loss, training_losses
from probes.diagnosis.view import Curve, Floats, LayerTable, Mask, NotJudged, RunView

RUNAWAY, MINIMUM_FRAMES = 1e6, 6
"""Growth of the gradient over its first frames that is damage by itself, and frames that show it. The rewards of an
agent grow by thousands, and its gradients with them; in supervised trainings that go well it is below ten.
"""
LEAST_STEPS = 100
"""Steps before which nothing is said of weights that stand still."""
FAR = 3.0
"""Level of the loss over its first values that is a disaster, though it be falling."""
SAME = 1e-3
"""Difference, as a share, below which two norms are the same clipped one."""


@dataclass(frozen=True)
class Explosion:
    """Onset (index into the frames), the usual norm before it, the factor, and what was damaged."""

    frame: int
    usual: float
    factor: float
    damage: str
    loss_limit: float | None = None
    loss_level: float | None = None


def criterion(
    norm: Curve,
    overshoots: Floats,
    loss: Curve | None,
    broken_at: int | None,
    *,
    growth: float = 100.0,
    overshoot: float = 1.0,
    cut: float = 0.5,
) -> Explosion | None:
    """Whether and where gradients explode.

    Args:
        norm: norm of the whole gradient per frame, [T], with NaN and Inf.
        overshoots: norm of all weight updates over the norm of all weights per frame, [T]; NaN where unknown.
        loss: the training loss, or None.
        broken_at: first step at which loss, gradient or weights are NaN or infinite for good; None: never.
        growth: times the usual norm (AutoTrainer: 70).
        overshoot: size of an update relative to the weights; a healthy one is about 1e-3 (CS231n).
        cut: share of frames with a clipped gradient, from which the rate is too high (Google's tuning playbook:
            more than half of the steps; used by the judge).
    """
    finite = np.isfinite(norm.values)
    usual = usual_size(norm.values)
    factor = norm.values / usual
    if broken_at is not None:
        before = np.flatnonzero(finite & (norm.steps < broken_at + 1))
        # The explosion that ends in NaN is the last stretch of growth, not some earlier spike.
        grown = before[factor[before] > 10.0]
        if len(grown) and norm.steps[grown[-1]] >= norm.steps[before[-1]] - _patience(norm, broken_at):
            frame = _start_of_stretch(factor > 10.0, int(grown[-1]))
            return Explosion(frame, float(usual[frame]), float(np.nanmax(factor[before])), "nonfinite")
        if len(before) and overshoots[before[-1]] > overshoot:
            frame = int(before[np.argmax(overshoots[before] > overshoot)])
            return Explosion(frame, float(usual[frame]), float(factor[before[-1]]), "overshoot")
        return None
    if loss is None:
        return _ran_away(norm)
    if len(loss.finite) < 4:
        return None
    early = np.flatnonzero(overshoots[:3] > overshoot)
    if len(early):
        start = opening(loss.finite.values, points=1)
        now = level(loss.values[-max(3, len(loss) // 10) :])
        if now > 2.0 * abs(start) and now > start:
            return Explosion(int(early[0]), float(norm.values[early[0]]), 1.0, "overshoot", 2.0 * abs(start), now)
    grown = np.flatnonzero(factor > growth)
    return _ruined(norm, usual, factor, grown, loss) if len(grown) else None


def _ran_away(norm: Curve) -> Explosion | None:
    """Gradients a million times those of the first frames in each of the last three: no loss is needed to tell."""
    known = np.flatnonzero(np.isfinite(norm.values))
    values = norm.values[known]
    if len(values) < MINIMUM_FRAMES or not values[0] > 0:
        return None
    began = float(values[:3].max())
    factor = float(values[-3:].min()) / began
    if factor < RUNAWAY:
        return None
    calm = np.flatnonzero(values < 10.0 * began)
    return Explosion(int(known[calm[-1] + 1]), began, factor, "runaway")


def usual_size(values: Floats) -> Floats:
    """The lowest running median (5 frames) of all earlier finite norms, [T]; the first frame's own where
    none is.
    """
    usable = np.flatnonzero(np.isfinite(values) & (values > 0))
    if not len(usable):
        return values.copy()
    past = values[usable]
    medians = np.asarray([np.median(past[: i + 1]) for i in range(min(4, len(past)))])
    if len(past) > 4:
        full = np.median(np.lib.stride_tricks.sliding_window_view(past, 5), axis=1)
        medians = np.concatenate((medians, full))
    lowest = np.minimum.accumulate(medians)
    earlier = np.searchsorted(usable, np.arange(len(values)))
    return np.where(earlier > 0, lowest[np.maximum(earlier, 1) - 1], values)


def _patience(norm: Curve, broken_at: int) -> int:
    """How long before the breakdown the growth may end and still be its cause: 3 frames, or 5% of the way."""
    gap = int(np.median(np.diff(norm.steps))) if len(norm) > 1 else 1
    return max(3 * gap, broken_at // 20)


def _start_of_stretch(grown: np.ndarray, at: int) -> int:
    misses = np.flatnonzero(~grown[: at + 1])
    return int(misses[-1]) + 1 if len(misses) else 0


def _ruined(norm: Curve, usual: Floats, factor: Floats, grown: np.ndarray, loss: Curve) -> Explosion | None:
    """The explosion after which the loss never came back, if there is one."""
    finite = loss.finite
    before = finite.until(int(norm.steps[grown[0]]) - 1)
    if len(before) < 2:
        return None
    _, blocks = block_medians(before.steps, before.values, max(1, min(50, len(before) // 5)))
    best, start = float(blocks.min()), opening(before.values)
    limit = best + max(0.5 * (start - best), 5.0 * noise(before.values), 0.2 * abs(best))
    good = np.flatnonzero(finite.values <= limit)
    last_good = int(finite.steps[good[-1]]) if len(good) else int(finite.steps[0])
    since = finite.values[finite.steps > last_good]
    # Noise alone may carry single values below the limit, so the level of the end decides.
    end = level(finite.values[-max(3, min(len(since), len(finite) // 10)) :])
    if len(since) < 3 or not end > limit:
        return None
    onset = grown[norm.steps[grown] >= last_good - _patience(norm, last_good)]
    if not len(onset):
        return None
    frame = int(onset[0])
    return Explosion(frame, float(usual[frame]), float(factor[onset].max()), "loss", limit, end)


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the gradient norm of the whole net against its own past, and the damage by the training
    losses.
    """
    table = view.need_layers("grad_norm")
    norm = total_norm(table)
    if not np.isfinite(norm.values).any():
        raise NotJudged("the gradient is not finite in any frame")
    if divided_by_nothing(view) is not None:
        return []  # the gradients were fine: nonfinite-values tells
    try:
        name, loss = training_loss(view)
    except NotJudged:
        name, loss = "", None
    sizes = _overshoots(view, norm)
    found = criterion(norm, sizes, loss, _broken_at(view, norm), **thresholds)
    if found is not None and found.damage == "loss" and loss is not None and _comes_down(view, norm, loss, found):
        found = None
    left = smothered(view) if found is None and view.last_step >= LEAST_STEPS else None
    if left is not None:
        return [_report_smothered(view, left)]
    if found is None and _cut(view, norm, sizes, thresholds["cut"]):
        return [_report_cut(view, norm, name)]
    if found is None:
        if loss is None:
            raise NotJudged("no single training loss to judge the damage by")
        return []
    return [_report(view, table, norm, name, found)]


def _comes_down(view: RunView, norm: Curve, loss: Curve, found: Explosion) -> bool:
    """Whether a run goes on in which the loss falls again since the explosion, and never came far above its start."""
    if found.loss_level is None or found.loss_limit is None or found.loss_level > FAR * opening(loss.finite.values):
        return False
    good = np.flatnonzero(loss.finite.values <= found.loss_limit)
    lost = int(loss.finite.steps[min(good[-1] + 1, len(loss.finite) - 1)]) if len(good) else 0
    return recovers(view, loss.finite, min(lost, int(norm.steps[found.frame])))


def _at_the_limit(norm: Curve) -> Mask:
    """Frames in which the norm is its highest, to 0.1%, [T]: that of a gradient that is clipped."""
    top = float(np.nanmax(np.where(np.isfinite(norm.values), norm.values, -np.inf)))
    return np.asarray(np.abs(norm.values - top) <= SAME * top)


def _cut(view: RunView, norm: Curve, sizes: Floats, share: float) -> bool:
    """Whether most gradients are clipped, steps are no small ones, and nothing is learned."""
    limited = _at_the_limit(norm)
    learned = progress_if_known(view)
    if learned is None or view.adaptive or view.last_step < 100 or limited.sum() < max(5, share * len(norm)):
        return False
    return learned.share < 0.1 and bool(np.nanmedian(sizes) > 1e-3) if np.isfinite(sizes).any() else False


def _report_cut(view: RunView, norm: Curve, loss_name: str) -> Finding:
    limited = _at_the_limit(norm)
    first, number, limit = int(np.argmax(limited)), int(limited.sum()), float(np.nanmax(norm.values))
    step, rate = int(norm.steps[first]), view.learning_rate(int(norm.steps[first]))
    lower = f"lower the learning rate from {short(rate)} to about {round_rate(rate / 10)}" if rate else None
    return RULE.finding(
        "warning",
        f"In {number} of {len(norm)} frames the gradient norm is {short(limit)}: it is clipped there, "
        f"and {loss_name or 'the loss'} has not fallen. Larger gradients than that are the rule.",
        (step, view.last_step),
        view,
        evidence=(Evidence("grad_norm", limit, relation="=", step=step, note="norm of the whole gradient, clipped"),),
        suggestions=(
            lower or "lower the learning rate by a factor of ten",
            "for recurrent nets: use LSTM or GRU, and initialise the recurrent weights orthogonally",
            "log the norm before clipping (what torch.nn.utils.clip_grad_norm_ returns)",
        ),
    )


def _report_smothered(view: RunView, left: Smothered) -> Finding:
    return RULE.finding(
        "warning",
        f"The steps of {names(left.weights)} have become at most {short(left.share)} of what their gradient and the "
        "learning rate account for: a gradient between two frames was so large that the optimizer's mean of squares "
        "still holds it. These weights stand still.",
        (left.since, view.last_step),
        view,
        layers=left.weights,
        evidence=(
            Evidence("update_norm", left.share, DIVIDED, "<", left.since, left.weights[0], "step over what is due"),
        ),
        suggestions=(
            "clip the gradient norm at about 1 (torch.nn.utils.clip_grad_norm_): the optimizer then never sees it",
            "in a recurrent net use tanh, not a rectifier, for what is fed back",
            "log the gradient norm of every step, and look at the batch and the step where it leaps",
        ),
    )


def _overshoots(view: RunView, norm: Curve) -> Floats:
    """The step size at the frames of ``norm``; NaN where unknown."""
    result = np.full(len(norm), np.nan)
    try:
        sizes = without_decay(view, step_size(view))
    except NotJudged:
        return result
    common = np.intersect1d(sizes.steps, norm.steps)
    result[np.isin(norm.steps, common)] = sizes.values[np.isin(sizes.steps, common)]
    return result


def _broken_at(view: RunView, norm: Curve) -> int | None:
    """First step from which a training loss or the gradient is not finite up to the end; None: never."""
    starts = []
    curves = [curve for name in training_losses(view) if (curve := view.series(name)) is not None]
    for curve in (*curves, norm):
        good = np.flatnonzero(np.isfinite(curve.values))
        if len(good) < len(curve) and (not len(good) or good[-1] < len(curve) - 1):
            starts.append(int(curve.steps[good[-1] + 1 if len(good) else 0]))
    return min(starts, default=None)


def _report(view: RunView, table: LayerTable, norm: Curve, loss_name: str, found: Explosion) -> Finding:
    step = int(norm.steps[found.frame])
    row = np.where(table.measured[found.frame], table.values[found.frame], 0.0)
    top = [table.layers[i] for i in np.argsort(-np.nan_to_num(row, nan=np.inf))[:3] if row[i] != 0]
    value = float(norm.values[found.frame])
    if found.damage == "overshoot":
        seen = f"From step {step} on, updates are larger than the weights they change (gradient norm {short(value)})"
    else:
        seen = (
            f"The gradient norm is {short(value)} at step {step}, and reaches {short(found.factor)} times "
            f"its usual {short(found.usual)}"
        )
    evidence = [
        Evidence(
            "grad_norm",
            value,
            found.usual,
            ">",
            step,
            note="norm of the whole gradient, against its usual size",
        )
    ]
    if found.loss_level is not None and found.loss_limit is not None:
        seen += f"; {loss_name} is at {short(found.loss_level)} since and does not come back"
        evidence.append(
            Evidence(loss_name, found.loss_level, found.loss_limit, ">", note="level of the loss at the end")
        )
    elif found.damage != "runaway":
        seen += ", and values become NaN or infinite"
    rate = view.learning_rate(step)
    lower = f"lower the learning rate from {short(rate)} to about {round_rate(rate / 10)}" if rate else None
    usual = found.usual if found.damage != "overshoot" else None
    clip = f"clip the gradient norm at about {short(2 * usual)}" if usual else "clip the gradient norm at about 1"
    return RULE.finding(
        "critical",
        f"{seen}. It is largest in {names(top)}." if top else f"{seen}.",
        (step, view.last_step),
        view,
        layers=tuple(name for name in table.layers if name in top),
        evidence=tuple(evidence),
        suggestions=tuple(
            text
            for text in (
                lower or "lower the learning rate by a factor of ten",
                clip + " (torch.nn.utils.clip_grad_norm_)",
                "raise the learning rate from near zero over the first steps (warm-up)",
                f"go back to a checkpoint from before step {step}" if step > 20 else "normalise the inputs",
            )
        ),
    )


RULE = Rule(
    slug="exploding-gradients",
    family="gradients",
    severity="critical",
    title="Gradients explode",
    needs="frames of gradient norms, and the training loss",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
