"""The training loss goes up and down by a large part of its range, instead of settling.

What it detects
---------------
A loss that, in the second half of the run, still rises and falls again and again by far more than the chance of which
examples are in a batch explains: in step with something that comes again (examples sorted by class, in the same order
every epoch), or irregularly (steps too large).

Why it matters
--------------
What is learned at one moment is unlearned at the next. With sorted examples the net learns to give the class that is
on; with too large steps it is thrown from one side of the valley to the other. In both cases the net at the end
depends on the moment at which the training stopped.

Criterion
---------
The last half of the finite values of the training loss is judged, at least `values_needed` (24) of them, without its
straight trend. Its *swing* is the distance from its 10th to its 90th percentile (an irregular swing: the height of a
rise), measured by the loss of guessing (ln C for C classes, where that is known) or by where the loss began, or what
always answering the mean of all targets seen would cost, if that is more.

- *Regular*: it comes again at a fixed distance of at least 4 values, three times or more, with an autocorrelation of
  at least `rhythm` (0.6), and swings by more than half of `swing` (0.3); or by more than a third of that and more than
  all that has been learned. Batches in the same order every epoch alone come again as well, when each is a fair
  sample: so neighbours must be alike too (autocorrelation `kinship`, 0.3), or the swing must be above `swing` and
  larger than chance allows in a batch (its standard deviation above the level times 4 / sqrt(batch size)).
- *Irregular*: at least `repeats` (3) rises by more than `swing`, and by more than five times what chance is left in
  the mean of a few values, with neighbours that are alike; the last of them in the last third; and the loss no lower
  for it: its level in the last quarter is not below that of the quarter before by a tenth.

A schedule that raises the learning rate again (cycles, warm restarts) swings on purpose: not judged. Nor are regular
swings of temporal differences (`td`, `q` beside the loss): it rises whenever a target network is renewed. An irregular
swing while the run goes on is information, and so is a regular one of fewer than five periods: many runs begin with a
few large swings and calm down.

Evidence
--------
The swing, its period or the number of rises, and the level of the loss.

What to try
-----------
1. Regular: shuffle the examples anew every epoch (`DataLoader(..., shuffle=True)`).
2. Irregular: lower the learning rate to a third, then to a tenth; raise it from near zero (warm-up).
3. Lower the momentum, clip the gradient norm, use a larger batch.

When it misleads
----------------
Losses of which one term comes and goes on purpose, every few steps, swing regularly. The losses of two nets that play
against each other (GANs) swing; they are not judged unless one of them is called the loss.

Example that fires
------------------
```python
sort = targets[:1400].argsort(stable=True)
place = [0]

def in_order(x, y):
    rows = sort[(place[0] + torch.arange(16)) % 1400]
    place[0] += 16
    return inputs[rows], targets[rows]

model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.Adam(model.parameters(), lr=1e-3), transform=in_order, batch=16, steps=700, every=20)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.Adam(model.parameters(), lr=1e-3), batch=16, steps=700, every=20)
```

References
----------
- Bengio, Practical recommendations for gradient-based training of deep architectures, 2012 (order of the examples).
- Zhang et al., AutoTrainer, ICSE 2021 (oscillating loss: accuracy swings of 0.03 in a fifth of the epochs, which most
  healthy runs with small batches have).
- Cohen et al., Gradient descent on neural networks typically occurs at the edge of stability, ICLR 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.numbers import percent, round_rate, short
from probes.diagnosis.rule import Rule
from probes.diagnosis.signs.followed import learns_by_differences
from probes.diagnosis.signs.swings import (
    autocorrelation,
    detrended,
    last_part,
    rate_goes_up_and_down,
    rhythm,
    scale_of_loss,
    smoothed,
    upswings,
)
from probes.diagnosis.task import batch_size
from probes.diagnosis.tracks import training_loss
from probes.diagnosis.view import Floats, NotJudged, RunView

SURE_PERIODS = 5
"""Periods in the half that is judged, with fewer of which chance may look like one while the run goes on."""
LAST_VALUES = 2000
"""A long series is judged by its last values: enough for a period, and quick."""


@dataclass(frozen=True)
class Swing:
    """What comes again: the size of a swing, over the scale; the level; period in values (None: irregular); rises."""

    size: float
    level: float
    period: int | None
    rises: int
    strength: float


def criterion(
    values: Floats,
    scale: float,
    batch: int | None = None,
    *,
    swing: float = 0.3,
    rhythm: float = 0.6,
    kinship: float = 0.3,
    repeats: float = 3,
    values_needed: float = 24,
) -> Swing | None:
    """Whether a loss swings.

    Args:
        values: the last half of the loss, [T], finite.
        scale: what a swing is measured by, in units of the loss.
        batch: examples in a batch, None when unknown.
        swing: size of a swing, as a share of ``scale`` (healthy noise of batches of 16 and more stays below 0.2).
        rhythm: autocorrelation at the period, from 0 to 1 (below 0.5 in shuffled runs).
        kinship: autocorrelation of neighbours, from 0 to 1 (below 0.2 for a noise of chance).
        repeats: number of irregular rises.
        values_needed: fewest values to judge.
    """
    if len(values) < values_needed or scale <= 0:
        return None
    rest = detrended(values)
    size = float(np.percentile(rest, 90) - np.percentile(rest, 10)) / scale
    level, deviation = float(values.mean()), float(rest.std())
    neighbours = float(autocorrelation(values, 1)[1])
    found = _rhythm(values)
    if found is not None and found.strength >= rhythm:
        learned = scale - level
        kin = neighbours >= kinship
        large = size > (swing / 2 if kin else swing) or (size > swing / 3 and size * scale > max(learned, 0.0))
        chance = 4.0 / np.sqrt(batch) if batch is not None else 0.5
        if large and (kin or deviation > chance * level):
            return Swing(size, level, found.period, len(values) // found.period, found.strength)
    return _irregular(values, scale, neighbours, swing, kinship, repeats)


_rhythm = rhythm  # the threshold of the same name hides it in the criterion


def _irregular(
    values: Floats, scale: float, neighbours: float, swing: float, kinship: float, repeats: float
) -> Swing | None:
    width = max(3, len(values) // 50)
    curve = smoothed(values, width)
    chance = float(np.diff(values).std()) / np.sqrt(2.0 * width)
    # The last one: sums of large numbers are not exact.
    height = max(swing * scale, 5.0 * chance, 1e-6 * float(np.abs(values).max()))
    rises = upswings(curve, height)
    if neighbours < kinship or len(rises) < repeats or rises[-1] < 2 * len(curve) // 3:
        return None
    quarter = max(1, len(values) // 2)
    before, after = float(values[:quarter].mean()), float(values[quarter:].mean())
    if after < 0.9 * before:
        return None
    return Swing(float(np.ptp(curve)) / scale, float(values.mean()), None, len(rises), neighbours)


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the last half of the one training loss."""
    name, curve = training_loss(view)
    finite = curve.finite
    if len(finite) < 0.9 * len(curve):
        raise NotJudged(f"{len(curve) - len(finite)} of {len(curve)} values of {name} are not finite")
    half = last_part(finite, 0.5)
    needed = int(thresholds["values_needed"])
    if len(half) < needed:
        raise NotJudged(f"{len(finite)} values of {name}, needs {2 * needed}")
    if rate_goes_up_and_down(view, int(half.steps[0])) and not view.warming_up:
        raise NotJudged("the learning rate goes up and down by its schedule, and the loss with it")
    half = last_part(half, min(1.0, LAST_VALUES / len(half)))
    scale = scale_of_loss(view, name, finite)
    found = criterion(half.values, scale, batch_size(view), **thresholds)
    if found is None or (found.period is not None and learns_by_differences(view)):
        return []
    stride = float(np.median(np.diff(half.steps)))
    rate = view.learning_rate(view.last_step)
    lower = (
        f"lower the learning rate from {short(rate)} to about {round_rate(rate / 3)}"
        if rate
        else "lower the learning rate to a third"
    )
    if found.period is not None:
        steps = round(found.period * stride)
        message = (
            f"{name} goes up and down by {short(found.size * scale)} ({percent(found.size)} of where it began) and "
            f"does the same again every {steps} steps, {found.rises} times since step {int(half.steps[0])}: most "
            "likely the examples come in the same order every epoch, sorted by class or by source."
        )
        suggestions = (
            "shuffle the training examples anew every epoch: DataLoader(..., shuffle=True)",
            f"look at the targets of a few batches: do those of {steps} steps belong together?",
            lower,
        )
        seen = Evidence(name, found.strength, thresholds["rhythm"], ">", note=f"likeness {steps} steps apart")
    else:
        message = (
            f"{name} has risen by more than {short(thresholds['swing'] * scale)} and come back {found.rises} times "
            f"since step {int(half.steps[0])}, around a level of {short(found.level)} that does not fall."
        )
        suggestions = (
            lower,
            "raise the learning rate from near zero over the first few hundred steps, or clip the gradient norm",
            "use a larger batch, and check that the examples are shuffled every epoch",
        )
        seen = Evidence(name, float(found.rises), thresholds["repeats"], ">", note="rises")
    quiet = view.status == "running" and (found.period is None or found.rises < SURE_PERIODS)
    return [
        RULE.finding(
            "info" if quiet else "warning",
            message,
            # Examples that are sorted have been so from the beginning.
            (int((half if found.period is None else finite).steps[0]), view.last_step),
            view,
            evidence=(
                Evidence(name, found.size, thresholds["swing"], ">", note="swing, as a share of where the loss began"),
                seen,
                Evidence(name, found.level, note="mean level"),
            ),
            suggestions=suggestions,
        )
    ]


RULE = Rule(
    slug="oscillating-loss",
    family="loss",
    severity="warning",
    title="The loss goes up and down",
    needs="48 values of one training loss",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
