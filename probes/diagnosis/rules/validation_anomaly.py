"""Validation is not measured as it should be: in training mode, on another scale, or on what was trained on.

What it detects
---------------
Six ways in which validation and training do not compare: the model is validated in training mode (dropout on, batch
statistics of the validation batch); it is trained in evaluation mode since the first validation; its batch
normalisation averages over a single batch, or over none; the validation loss is impossible beside its accuracy or
beside the training loss; it was learned, and R^2 says that nothing was; or it is better than the training loss, all
along, without anything in the model that explains it.

Why it matters
--------------
The validation numbers choose the model, the settings and the step to stop at. With dropout on they are too bad and
noisy; divided by the wrong number, or measured on training examples, they are too good. A model that stays in
evaluation mode after the first validation trains without dropout and without updating its batch normalisation.

Criterion
---------
- *Validated in training mode*: the model holds dropout or batch normalisation, and at `validations` (2) or more
  validations, and at more than half of all, most forward passes without gradients since the step ran in training mode.
- *Trained in evaluation mode*: such a model's training passes run in evaluation mode for `stretch` (10) steps or more
  up to the end of the run, after it had been trained in training mode. Only information when it was so from the first
  step on: frozen on purpose, as in fine-tuning, looks the same.
- *Averages of one batch, or of none*: batch normalisation whose newest batch weighs 0.9 or more in the running averages
  (`momentum`), or whose initial values still weigh a quarter after 100 steps or more. A warning in a run that has ended
  when the validation loss is 1.5 times the training loss in the latter half or differs by 15% from one validation to
  the next; where the averages have not come, when it is 1.5 times from the first validation on. Else information.
- *Impossible*: with a mean cross-entropy and an accuracy of the same split, the loss is below `bound` (0.25) times
  (1 - accuracy) ln 2 in more than half of at least 3 validations. An example that is answered wrongly gives the right
  class at most one half, so it costs ln 2 or more. A class that the loss leaves out (`ignore_index`) is named.
- *Measured otherwise*: in a run that has ended, an R^2 of validation was never above 0 (beyond two deviations of its
  noise) since the first tenth of the run, although the training loss has fallen by a tenth and is at rest, and the
  validation loss is above it by no more than a quarter of that fall. Not for a mean squared error beside the variance
  of its targets: it says what R^2 does.
- *Another scale*: while the training loss was still within 15% of its first level, the validation loss was below
  `scale` (0.1) times it.
- *Training left behind*: at 3 validations in a row, the accuracy in training from that validation to the next is less
  than that in validation by `behind` (0.2 with ten classes; with fewer as much of what lies above chance, at least
  0.15; and half of the share that dropout drops), beyond two standard errors, and below 0.6: many training targets are
  wrong. A warning when the training loss is 0.88 to 1.15 times what wrong targets
  cost at that accuracy r among C classes, H(r) + (1 - r) ln(C - 1) (Fano's inequality). Mixed or hard examples (mixup,
  CutMix, augmentation) cost less: then it is information. Not with dropout of 0.5 and more. Also a warning, at that
  cost, when in the latter half of the validations (3 or more with training after them) the training examples show less
  of the mean accuracy above chance by `LOST` (0.4; and half of the share that dropout drops) of it or more, beyond
  three standard errors, and the mean accuracy is 0.15 above chance or more: a net that is not trained to its end, or
  one of few classes, is not ahead by as much (with dropout of 0.5 when the run has ended). So it is where that held
  anywhere in the run, over 2 validations (a half lost) or 3 with training between them, by the lower of the accuracies
  before and after it, half of the share that dropout drops higher: wrong targets that are learned by heart no longer
  show at the end. Not where batches hold one class each, nor with dropout above 0.5.
  Where next to nothing is learned in training, the losses alone tell, in a run that has ended: over the latter half of
  the validations (3 or more with training after them) a mean cross-entropy over even classes is below that of guessing
  by at most 0.05 of it in training, and by 3 times as much or more in validation, where it is lower each time, beyond 3
  standard errors and what few examples may show by chance. Not with dropout above 0.1, nor where batches hold one
  class each.
- *Better than training*: in the last third of at least 5 validations the median of the validation loss over the
  training loss that follows it (up to the next validation) is below `better` (0.6). That the training loss is measured
  earlier, while the model was worse, cannot explain this. Only information, and none where the model drops units:
  dropout, augmentation, label noise and label smoothing raise the training loss of a healthy run.

Evidence
--------
The share of passes in the wrong mode, or the losses and what they are held against.

What to try
-----------
1. Call `model.eval()` before validating and `model.train()` after it.
2. Average the validation loss over batches as the training loss is; mind the last, smaller batch.
3. Check that no validation example is among the training examples, duplicates and augmented copies included.

When it misleads
----------------
Monte Carlo dropout is evaluated in training mode on purpose. Only passes of the watched model as a whole are seen. A
model whose copies or parts are validated cannot be judged by mode. Class weights, and a loss with further terms in
training, put both losses on different scales on purpose.

Example that fires
------------------
```python
class Summed(nn.Module):
    def forward(self, scores, targets):
        loss = nn.functional.cross_entropy(scores, targets)
        return loss if torch.is_grad_enabled() else loss / len(targets)

model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.05), loss_fn=Summed(), steps=200)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10))
train(model, torch.optim.Adam(model.parameters(), lr=0.003), steps=200)
```

References
----------
- PyTorch documentation, `torch.nn.Module.eval`; Autograd mechanics: evaluation mode.
- Kaufman, Rosset, Perlich and Stitelman, Leakage in data mining, 2012.
- Cover and Thomas, Elements of Information Theory, 2.10 (Fano's inequality).
- Zhang, Cisse, Dauphin and Lopez-Paz, mixup: Beyond Empirical Risk Minimization, 2018.
- Srivastava et al., Dropout, 2014.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from probes.diagnosis.beginning import begins_late
from probes.diagnosis.finding import Evidence, Finding, Severity
from probes.diagnosis.manifest import read_mode_dependent
from probes.diagnosis.numbers import names, percent, short
from probes.diagnosis.progress import guessing_loss, label_counts, progress_if_known
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import at_rest, closing, longest_run, noise, opening
from probes.diagnosis.signs.explained import unexplained
from probes.diagnosis.signs.held_out_alone import held_out_alone
from probes.diagnosis.signs.label_noise import (
    LOST,
    OF_DROPPED,
    Lost,
    batches_are_mixed,
    classes_of,
    costs_as_wrong_targets,
    lost_for_a_while,
    lost_to_wrong_targets,
)
from probes.diagnosis.signs.running_averages import ill_averaged
from probes.diagnosis.tracks import VALIDATION_SPLITS, accuracy, split_of, training_loss, validation_loss
from probes.diagnosis.view import Curve, Floats, NotJudged, RunView, Steps

TRAINING, EVALUATION = "system/training_mode", "system/evaluation_mode"
UNLEARNED = 0.85
ENOUGH = 5
WORSE, SWINGS = 1.5, 0.15
"""Validation loss, of the training loss, and noise of it, of its level, in which averages that are none do harm."""
FELL, ALIKE = 0.1, 0.25
"""Fall of a loss that was learned, and difference of the two losses, of that fall, that is none."""
WEAK = 0.05
MINIMUM_PAIRS = 3
LEAST_BEHIND = 0.15
"""Difference of the accuracies that a small validation set does not make by chance."""
POOR = 0.6
"""Accuracy in training above which there is no harm."""
FEW_DROPPED = 0.1
"""Share of the units dropped up to which the losses compare."""
MOST_DROPPED = 0.5
"""Share of the units dropped above which accuracies in training and in validation do not compare."""
_LOOK_AT_TARGETS = (
    "look at training examples with their targets, first of all those with the highest loss",
    "if training examples are augmented or mixed: evaluate some of them without that",
    "check that inputs and targets stay together when training examples are shuffled",
)


def criterion(
    validation: Floats,
    train: Floats,
    *,
    better: float = 0.6,
    scale: float = 0.1,
    bound: float = 0.25,
    validations: float = 2,
    stretch: float = 10,
    behind: float = 0.2,
) -> float | None:
    """The median of validation over training loss in the last third, when it is below ``better``; None otherwise.

    Args:
        validation: validation loss, [T].
        train: training loss that follows each, up to the next, [T].
        better: ratio of the losses (a validation set of some hundred examples can be easier by a third).
        scale: ratio of the losses before anything was learned, where it should be 1 (used by the judge).
        bound: part of the lower bound of the loss that the accuracy gives (class weights may lower it; used by the
            judge).
        validations: validations in training mode (used by the judge).
        stretch: steps in evaluation mode (used by the judge).
        behind: accuracy on training examples below that on validation examples (healthy nets without heavy
            augmentation stay below 0.1; used by the judge).
    """
    if len(validation) < ENOUGH:
        return None
    late = slice(-max(3, len(validation) // 3), None)
    positive = train[late] > 0
    if not positive.any():
        return None
    ratio = float(np.median(validation[late][positive] / train[late][positive]))
    return ratio if 0 < ratio < better else None


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the modes first, then the losses."""
    times = _validated(view)
    if not len(times):
        raise NotJudged("no validation was logged")
    dependent = _mode_dependent(view)
    found = [
        finding
        for finding in (_validated_in_training(view, times, dependent, thresholds), _trained_in_evaluation(
            view, dependent, thresholds))
        if finding is not None
    ]  # fmt: skip
    try:
        name, validation = validation_loss(view)
        train_name, train = training_loss(view)
    except NotJudged:
        if found or view.series(EVALUATION) is not None:
            return found
        raise
    validation, train = validation.finite, train.finite
    averages = _ill_averaged(view, name, validation, train_name, train)
    if averages is not None:
        found.append(averages)
    behind = _training_behind(view, dependent, thresholds["behind"])
    if behind is None:
        behind = _held_out_alone(view, name, validation, train_name, train, dependent)
    if behind is not None:
        found.append(behind)
    odd = (
        None
        if behind is not None
        else (
            _impossible(view, name, validation, thresholds["bound"])
            or _contradicted(view, name, validation, train_name, train)
            or _other_scale(view, name, validation, train_name, train, thresholds["scale"])
            or _better(view, name, validation, train_name, train, dependent, thresholds)
        )
    )
    if odd is not None:
        found.append(odd)
    if not found and len(validation) < ENOUGH and view.series(EVALUATION) is None:
        raise NotJudged(f"{len(validation)} values of {name}, needs {ENOUGH}")
    return found


def _validated_in_training(
    view: RunView, times: Steps, dependent: Mapping[str, float | None], thresholds: Mapping[str, float]
) -> Finding | None:
    """Dropout on and batch statistics in validation."""
    share = view.series(EVALUATION)
    if share is None or not dependent:
        return None
    # What ran between two steps is told with the later one, or at the end of the run with the last.
    later = np.where(np.isin(times + 1, share.steps), times + 1, times)
    known = np.isin(later, share.steps)
    if not known.any():
        return None
    steps = times[known]
    wrong = share.values[np.searchsorted(share.steps, later[known])] > 0.5
    if int(wrong.sum()) < min(thresholds["validations"], max(1, len(steps))) or wrong.mean() <= 0.5:
        return None
    first = int(steps[wrong][0])
    weak = all(dropped is not None and dropped <= WEAK for dropped in dependent.values())
    what = _what(dependent)
    return RULE.finding(
        "info" if weak else "warning",
        f"At {int(wrong.sum())} of {len(steps)} validations the model ran in training mode: {what} behaved as in "
        "training, so that the validation numbers are not those of the finished model.",
        (first, view.last_step),
        view,
        layers=tuple(dependent),
        evidence=(
            Evidence(
                EVALUATION, float(np.mean(wrong)), 0.5, ">", first, note="share of the validations in training mode"
            ),
        ),
        suggestions=(
            "call model.eval() before validating, and model.train() after it",
            "judge the numbers so far with care: a checkpoint, evaluated in evaluation mode, gives the true ones",
        ),
    )


def _trained_in_evaluation(
    view: RunView, dependent: Mapping[str, float | None], thresholds: Mapping[str, float]
) -> Finding | None:
    """A model that stays in evaluation mode, or was never in training mode."""
    mode = view.series(TRAINING)
    if mode is None or not dependent or mode.values[-1] > 0.5:
        return None
    since = int(mode.steps[-1])
    if view.last_step - since + 1 < thresholds["stretch"]:
        return None
    before = bool((mode.values > 0.5).any())
    severity: Severity = "warning" if before else "info"
    start = (
        f"Since step {since} (of {view.last_step}) the model is trained in evaluation mode"
        if before
        else "The model is trained in evaluation mode from the first step on"
    )
    return RULE.finding(
        severity,
        f"{start}: {_what(dependent)} behave as in evaluation, dropout drops nothing and batch normalisation no longer "
        "learns its averages.",
        (since, view.last_step),
        view,
        layers=tuple(dependent),
        evidence=(Evidence(TRAINING, 0.0, 1.0, "<", since, note="mode of the training passes (1 is training)"),),
        suggestions=(
            "call model.train() before each epoch's training, after the validation has called model.eval()",
            "to keep only batch normalisation frozen, put those modules into evaluation mode, and not the whole model",
        ),
    )


def _ill_averaged(view: RunView, name: str, validation: Curve, train_name: str, train: Curve) -> Finding | None:
    """Running averages of batch normalisation that are not those of the data."""
    ill = ill_averaged(view)
    if ill is None or len(validation) < MINIMUM_PAIRS or len(train) < ENOUGH:
        return None
    later = following(validation, train, mean=True)
    ratios = validation.values / np.where(later > 0.0, later, np.inf)
    worse = float(np.median(ratios[len(ratios) // 2 :]))
    swing = noise(validation.values) / max(abs(float(np.median(validation.values))), 1e-12)
    # Averages that came with pretrained weights are good from the first validation on.
    harm = bool((ratios > WORSE).all()) if ill.late else worse > WORSE or swing > SWINGS
    harm &= view.status != "running"
    return RULE.finding(
        "warning" if harm else "info",
        f"Batch normalisation ({names(list(ill.layers))}) has a momentum of {short(ill.momentum)}: of its running "
        f"averages, which it uses in evaluation, {ill.what}. {name} is {short(worse)} times {train_name}, and "
        f"differs by {percent(swing)} from one validation to the next.",
        (int(validation.steps[0]), view.last_step),
        view,
        layers=ill.layers,
        evidence=(
            Evidence(name, worse, WORSE, ">", note="validation over training loss, latter half"),
            Evidence(name, swing, SWINGS, ">", note="noise of a validation, of the level"),
        ),
        suggestions=(
            "use the default momentum of 0.1, the weight of the newest batch (what Keras calls 0.99 is 0.01 here)",
            "with batches of a few examples use GroupNorm or LayerNorm",
        ),
    )


def _impossible(view: RunView, name: str, validation: Curve, bound: float) -> Finding | None:
    """A cross-entropy lower than its own accuracy allows."""
    track = accuracy(view, validation=True)
    if guessing_loss(view) is None or track is None:
        return None
    steps, mine, theirs = np.intersect1d(validation.steps, track[1].finite.steps, return_indices=True)
    if len(steps) < 3:
        return None
    losses, right = validation.values[mine], track[1].finite.values[theirs]
    least = np.clip(1.0 - right, 0.0, 1.0) * math.log(2.0)
    low = (losses < bound * least) & (right < 0.995)
    if low.mean() <= 0.5:
        return None
    place = int(np.flatnonzero(low)[0])
    return RULE.finding(
        "warning",
        f"{name} is {short(losses[place])} at step {int(steps[place])}, where {percent(float(right[place]))} of the "
        f"answers are right ({track[0]}): the mean cross-entropy of the wrong ones alone makes at least "
        f"{short(float(least[place]))}. It is {short(float(least[place] / losses[place]))} times too small, or more.",
        (int(steps[place]), view.last_step),
        view,
        evidence=(
            Evidence(name, float(losses[place]), float(least[place]), "<", int(steps[place]), note="validation loss"),
            Evidence(track[0], float(right[place]), step=int(steps[place]), note="accuracy of the same validation"),
        ),
        suggestions=(
            *_left_out(view),
            "sum batch mean times batch size and divide by the number of examples, or divide the sum of batch means by "
            "the number of batches (not of examples)",
            "compute both losses with the same function",
        ),
    )


def _left_out(view: RunView) -> list[str]:
    """What to say of a class that the loss leaves out: the net may answer anything where it is the target."""
    given, counts = view.manifest.get("loss"), label_counts(view)
    ignored = given.get("ignore_index") if isinstance(given, Mapping) else None
    if not isinstance(ignored, int) or not 0 <= ignored < len(counts) or not counts[ignored]:
        return []
    share = counts[ignored] / sum(counts)
    return [
        f"the loss leaves out class {ignored} (ignore_index={ignored}), {percent(share)} of all targets: that is for "
        "padding. If it is a class like others, remove ignore_index; if it is padding, leave it out of the accuracy"
    ]


def _contradicted(view: RunView, name: str, validation: Curve, train_name: str, train: Curve) -> Finding | None:
    """A loss that was learned, in validation as well, beside an R^2 that says that nothing was."""
    found, learned = unexplained(view), progress_if_known(view)
    if found is None or learned is None or view.status == "running" or len(validation) < ENOUGH:
        return None
    end, own = closing(validation.values), closing(train.values)
    if learned.variance is not None or learned.share < FELL or not at_rest(train.values):
        return None  # of a squared error R^2 says what the loss does
    if end - own > ALIKE * (learned.reference - own):
        return None
    return RULE.finding(
        "warning",
        f"{name} has come to {short(end)}, as low as {train_name} ({short(own)}, from {short(learned.reference)}), but "
        f"{found.series} was never above {short(found.best)}: by that, always answering the mean of the targets would "
        "be better. What is measured is not what the loss compares.",
        (found.since, view.last_step),
        view,
        evidence=(
            Evidence(found.series, found.best, 0.0, "<", found.since, note="highest since then"),
            Evidence(name, end, own, "=", note="validation loss at the end, against that of training"),
        ),
        suggestions=(
            "compare outputs and targets as the measure gets them: is one of them a logarithm, standardised, or of "
            "another shape? PoissonNLLLoss takes the outputs as logarithms of rates (log_input=True)",
            "undo the scaling of the targets in the outputs before anything but the loss is computed",
            "check which function is applied twice, or never: exp in the model and in the loss",
        ),
    )


def _other_scale(
    view: RunView, name: str, validation: Curve, train_name: str, train: Curve, scale: float
) -> Finding | None:
    """A validation loss far below a training loss that has not yet fallen."""
    if len(train) < ENOUGH or not len(validation) or begins_late(view, train.steps):
        return None
    start = opening(train.values)
    place = min(int(np.searchsorted(train.steps, validation.steps[0], side="right")), len(train))
    # The lowest of them all: a first step that was too large raises the training loss, and not the validation loss.
    near = float(train.values[: max(3, place + 1)].min())
    first = float(validation.values[0])
    if start <= 0 or near < UNLEARNED * start or not 0 <= first < scale * near:
        return None
    step = int(validation.steps[0])
    return RULE.finding(
        "warning",
        f"{name} was {short(first)} at step {step}, where {train_name} was still at {short(near)}, near its beginning "
        f"({short(start)}): a model that has learned nothing is {short(near / first) if first else 'infinitely many'} "
        "times better in validation. The two are not measured alike.",
        (step, view.last_step),
        view,
        evidence=(
            Evidence(name, first, scale * near, "<", step, note="first validation loss"),
            Evidence(train_name, near, step=step, note="training loss at that time"),
        ),
        suggestions=(
            "divide the sum of batch means by the number of batches, not of examples; use one reduction for both",
            "compute both losses with the same function",
        ),
    )


def _better(
    view: RunView,
    name: str,
    validation: Curve,
    train_name: str,
    train: Curve,
    dependent: Mapping[str, float | None],
    thresholds: Mapping[str, float],
) -> Finding | None:
    """A validation loss below the training loss that follows it, with nothing in the model to explain it."""
    if any(dropped is not None for dropped in dependent.values()) or len(train) < ENOUGH:
        return None
    later = following(validation, train)
    ratio = criterion(validation.values, later, **thresholds)
    if ratio is None:
        return None
    step = int(validation.steps[-max(3, len(validation) // 3)])
    return RULE.finding(
        "info",
        f"In the last third of the validations {name} is {percent(ratio)} of the {train_name} that follows it, and the "
        "model has no dropout that would explain it. Augmentation, noise in the labels or label smoothing in training "
        "may; so may validation examples that are easier, or that are among the training examples.",
        (step, view.last_step),
        view,
        evidence=(Evidence(name, ratio, thresholds["better"], "<", note="validation over training loss, median"),),
        suggestions=(
            "evaluate some training examples as the validation examples are evaluated: without augmentation, in "
            "evaluation mode. They should do better than those of validation",
            "check that no validation example is among the training examples, duplicates included",
        ),
    )


def _held_out_alone(
    view: RunView,
    name: str,
    validation: Curve,
    train_name: str,
    train: Curve,
    dependent: Mapping[str, float | None],
) -> Finding | None:
    """The losses alone tell that the training targets are wrong, where next to nothing of them is learned."""
    drops = max((dropped for dropped in dependent.values() if dropped is not None), default=0.0)
    if len(train) < ENOUGH or len(validation) < MINIMUM_PAIRS or drops > FEW_DROPPED or begins_late(view, train.steps):
        return None
    later, values = following(validation, train, mean=True), between(validation, train)
    found = held_out_alone(view, validation, later, values, train)
    if found is None:
        return None
    return RULE.finding(
        "warning",
        f"Since step {found.step} {name} has been {short(found.validation)} in the mean, {train_name} "
        f"{short(found.train)}, and guessing costs {short(found.guessing)}: what little the net has learned holds on "
        f"validation examples, and hardly on those it was learned from. Many of the training targets are wrong, or the "
        "training examples are made much harder.",
        (int(train.steps[0]), view.last_step),
        view,
        evidence=(
            Evidence(name, found.validation, found.train, "<", found.step, note="mean of the latter half"),
            Evidence(train_name, found.train, found.guessing, "=", found.step, note="mean of the latter half"),
        ),
        suggestions=_LOOK_AT_TARGETS,
    )


def _training_behind(view: RunView, dependent: Mapping[str, float | None], behind: float) -> Finding | None:
    """A net that is right far more often on validation examples than on those it is trained on afterwards."""
    own, other = accuracy(view, validation=False), accuracy(view, validation=True)
    drops = max((dropped for dropped in dependent.values() if dropped is not None), default=0.0)
    if own is None or other is None or drops > MOST_DROPPED:
        return None
    train = Curve(own[1].finite.steps, own[1].finite.values)
    validation = Curve(other[1].finite.steps, other[1].finite.values)
    if len(train) < ENOUGH or len(validation) < MINIMUM_PAIRS:
        return None
    later, values = following(validation, train, mean=True), between(validation, train)
    held = validation.values
    # Half of the units gone cost a quarter of the answers, at worst.
    limit = max(LEAST_BEHIND, behind * _above_chance(view)) + 0.5 * drops
    error = noise(train.values) / np.sqrt(values)
    place, length = longest_run((held - later - 2.0 * error > limit) & (later < POOR))
    if length < MINIMUM_PAIRS or drops == MOST_DROPPED:
        return _lost_in_training(view, (own[0], later, error), (other[0], validation), drops)
    step, last = int(validation.steps[place]), place + length - 1
    stretch = slice(place, last + 1)
    noisy = _wrong_targets(view, validation, later, stretch)
    cause = "many of the training targets are not" if noisy else "the training examples are mixed or made much harder"
    unless = "or the training examples are made much harder" if noisy else "or many of their targets are wrong"
    return RULE.finding(
        "warning" if noisy else "info",
        f"{other[0]} is {percent(float(held[last]))} at step {int(validation.steps[last])}, and {own[0]} only "
        f"{percent(float(later[last]))} in the steps after it; so it is at {length} validations in a row. What the net "
        f"has learned is right: {cause}, {unless}.",
        (step, view.last_step),
        view,
        evidence=(
            Evidence(own[0], float(later[last]), float(held[last]) - limit, "<", note="accuracy in training"),
            Evidence(other[0], float(held[last]), step=int(validation.steps[last]), note="accuracy in validation"),
        ),
        suggestions=_LOOK_AT_TARGETS,
    )


def _lost_in_training(
    view: RunView, own: tuple[str, Floats, Floats], other: tuple[str, Curve], drops: float
) -> Finding | None:
    """A net that shows in training much less of what it knows than in validation, on the mean of the latter half.

    ``own``: name, accuracy in training that follows each validation, [T], and its error, [T]; ``other``: name and curve
    of the accuracy in validation, [T].
    """
    classes = classes_of(view)
    held = other[1].values[:-1]  # nothing follows the last
    if classes is None or not len(held) or not batches_are_mixed(view):
        return None
    lost = _lost_lately(view, own, other[1], drops, classes)
    if lost is None and drops < MOST_DROPPED:
        lost = _lost_once(view, own, other[1], drops, classes)
    if lost is None:
        return None
    step, until = int(other[1].steps[lost.first]), int(other[1].steps[lost.last])
    when = f"Since step {step} {other[0]} is" if lost.last == len(held) else f"Up to step {until} {other[0]} was"
    return RULE.finding(
        "warning",
        f"{when} {percent(lost.held)} in the mean, and {own[0]} {percent(lost.right)}: "
        f"{percent(lost.share)} of what the net knows above chance does not show in training. What it has learned is "
        "right: many of the training targets are not, or the training examples are made much harder.",
        (step, view.last_step),
        view,
        evidence=(
            Evidence(own[0], lost.share, LOST + OF_DROPPED * drops, ">", note="part of the accuracy above chance lost"),
            Evidence(other[0], lost.held, step=step, note="accuracy in validation, mean"),
        ),
        suggestions=_LOOK_AT_TARGETS,
    )


def _lost_lately(
    view: RunView, own: tuple[str, Floats, Floats], validation: Curve, drops: float, classes: int
) -> Lost | None:
    """What is lost in the mean of the latter half of the validations."""
    held = validation.values[:-1]
    half = slice(len(held) - max(MINIMUM_PAIRS, len(held) // 2), None)
    if len(held) < MINIMUM_PAIRS or (drops >= MOST_DROPPED and view.status == "running"):
        return None
    right, count = own[1][:-1][half], len(held[half])
    error = math.sqrt(float(np.mean(np.square(own[2][:-1][half]))) / count + noise(held) ** 2 / count)
    share = lost_to_wrong_targets(held[half], right, error, classes)
    if share is None or share < LOST + OF_DROPPED * drops or not float(np.mean(right)) < POOR:
        return None
    if not _wrong_targets(view, validation, own[1], slice(half.start, len(held))):
        return None
    return Lost(half.start, len(held), share, float(np.mean(held[half])), float(np.mean(right)))


def _lost_once(
    view: RunView, own: tuple[str, Floats, Floats], validation: Curve, drops: float, classes: int
) -> Lost | None:
    """What was lost over a few validations, wherever in the run."""
    try:
        loss = training_loss(view)[1].finite
    except NotJudged:
        return None
    cost = following(validation, loss, mean=True) if len(loss) else np.empty(0)
    held, blur = validation.values, noise(validation.values)
    return lost_for_a_while(held, own[1][:-1], cost[:-1], own[2][:-1], blur, classes, drops, POOR)


def _above_chance(view: RunView) -> float:
    """How much of the accuracy lies above chance, against ten classes; 1 when their number is not known, or higher."""
    classes = classes_of(view)
    return 1.0 if classes is None else min(1.0, (1.0 - 1.0 / classes) / 0.9)


def _wrong_targets(view: RunView, validation: Curve, right: Floats, stretch: slice) -> bool:
    """Whether the training loss in a stretch of the validations is what wrong targets cost at that accuracy."""
    try:
        loss = training_loss(view)[1].finite
    except NotJudged:
        return False
    classes = classes_of(view)
    if classes is None or not len(loss):
        return False
    return costs_as_wrong_targets(following(validation, loss, mean=True)[stretch], right[stretch], classes)


def between(validation: Curve, train: Curve) -> Floats:
    """How many values of training lie between each validation and the next, at least 1, [T]."""
    edges = np.searchsorted(train.steps, np.append(validation.steps, train.steps[-1]), side="right")
    return np.maximum(np.diff(edges), 1).astype(np.float64)


def following(validation: Curve, train: Curve, *, mean: bool = False) -> Floats:
    """The median or the mean of what was logged in training from each validation to the next, [T].

    After the last one: what was logged before it.
    """
    edges = np.searchsorted(train.steps, np.append(validation.steps, train.steps[-1]), side="right")
    values = np.empty(len(validation))
    for index in range(len(validation)):
        begin, end = int(edges[index]), int(edges[index + 1])
        if end <= begin:
            begin, end = max(0, begin - 1), max(begin, 1)
        values[index] = float((np.mean if mean else np.median)(train.values[begin:end]))
    return values


def _validated(view: RunView) -> Steps:
    """The steps at which anything of a validation split was logged."""
    steps = [
        curve.steps
        for name in view.series_names
        if split_of(name)[0] in VALIDATION_SPLITS and (curve := view.series(name)) is not None
    ]
    return np.unique(np.concatenate(steps)) if steps else np.empty(0, dtype=np.int64)


def _mode_dependent(view: RunView) -> dict[str, float | None]:
    """Module -> share of the units it drops, None for batch normalisation."""
    known = read_mode_dependent(view.manifest)
    if known is not None:
        return {module.name: module.dropped for module in known}
    return {
        module.name: 0.5 if "Dropout" in module.type else None
        for module in view.modules
        if "Dropout" in module.type or "BatchNorm" in module.type
    }


def _what(dependent: Mapping[str, float | None]) -> str:
    drops = [name for name, dropped in dependent.items() if dropped is not None]
    norms = [name for name, dropped in dependent.items() if dropped is None]
    parts = []
    if drops:
        highest = max(dropped or 0.0 for dropped in dependent.values())
        parts.append(f"dropout (of up to {percent(highest)}: {names(drops)})")
    if norms:
        parts.append(f"batch normalisation ({names(norms)})")
    return " and ".join(parts)


RULE = Rule(
    slug="validation-anomaly",
    family="generalisation",
    severity="warning",
    title="Validation is not measured as it should be",
    needs="something logged for a validation split; the modes the model ran in, or both losses",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
