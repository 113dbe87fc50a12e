"""Validation is not measured as it should be: in training mode, on another scale, or on what was trained on.

What it detects
---------------
Ways in which validation and training do not compare: the model is validated in training mode (dropout on, batch
statistics of the validation batch); it is trained in evaluation mode since the first validation; its batch
normalisation averages over a single batch, or over none, or is fed one example at a time; the validation loss is
impossible beside its accuracy or beside the training loss; it was learned, and R^2 says that nothing was; or it is
better than the training loss, all along, without anything in the model that explains it.

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
- *One example at a time*: every batch normalisation is fed a single example in a step, in training mode in half of the
  steps or more, in a run of 100 steps or more that has ended; and the validation accuracy, at the end as in the median,
  is less than 0.15 of the way from guessing to 1.
- *Impossible*: with a mean cross-entropy and an accuracy of the same split, the loss is below `bound` (0.25) times
  (1 - accuracy) ln 2 in more than half of at least 3 validations. An example that is answered wrongly gives the right
  class at most one half, so it costs ln 2 or more. A class that the loss leaves out (`ignore_index`) is named.
- *Measured otherwise*: in a run that has ended, an R^2 of validation was never above 0 (beyond two deviations of its
  noise) since the first tenth of the run, although the training loss has fallen by a tenth and is at rest, and the
  validation loss is above it by no more than a quarter of that fall. Not for a mean squared error beside the variance
  of its targets: it says what R^2 does.
- *Other examples*: of a generator and a discriminator (losses and modules so named), a distance between generated and
  validation examples (Fréchet, FID, KID, MMD) stays within 2% of its value before the first step, in 5 values or more
  over 100 steps, although the standard deviation of what is generated has become 1.5 times as large or more, and the
  discriminator's loss is at a quarter of its beginning or above in the last quarter of the log: it is in doubt before
  training examples. A warning.
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

from collections.abc import Mapping, Sequence

from probes.diagnosis.finding import Finding
from probes.diagnosis.rule import Rule
from probes.diagnosis.validating.accuracies import accuracies_of
from probes.diagnosis.validating.by_averages import averages_of_few
from probes.diagnosis.validating.by_bound import below_its_bound
from probes.diagnosis.validating.by_fit import contradicted_by_fit
from probes.diagnosis.validating.by_generation import other_than_shown
from probes.diagnosis.validating.by_lead import better_than_training, criterion
from probes.diagnosis.validating.by_losses_alone import learned_held_out_alone
from probes.diagnosis.validating.by_mode import trained_in_evaluation, validated_in_training
from probes.diagnosis.validating.by_scale import on_another_scale
from probes.diagnosis.validating.by_share_lost import lost_in_training
from probes.diagnosis.validating.by_single_examples import normalised_alone
from probes.diagnosis.validating.by_training_behind import training_left_behind
from probes.diagnosis.validating.found import Anomaly
from probes.diagnosis.validating.losses import Losses, losses_of
from probes.diagnosis.validating.modes import EVALUATION, mode_dependent
from probes.diagnosis.validating.validations import ENOUGH, validated
from probes.diagnosis.view import NotJudged, RunView


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the modes first, then the losses."""
    times = validated(view)
    if not len(times):
        raise NotJudged("no validation was logged")
    dependent = mode_dependent(view)
    seen = [
        validated_in_training(view, times, dependent, thresholds["validations"]),
        trained_in_evaluation(view, dependent, thresholds["stretch"]),
        other_than_shown(view),
        normalised_alone(view),
    ]
    try:
        losses = losses_of(view)
    except NotJudged:
        if any(seen) or view.series(EVALUATION) is not None:
            return _findings(view, seen)
        raise
    seen.append(averages_of_few(view, losses))
    seen.append(
        _behind(view, losses, dependent, thresholds["behind"])
        or below_its_bound(view, losses, thresholds["bound"])
        or contradicted_by_fit(view, losses)
        or on_another_scale(view, losses, thresholds["scale"])
        or better_than_training(view, losses, dependent, thresholds)
    )
    if not any(seen) and len(losses.validation) < ENOUGH and view.series(EVALUATION) is None:
        raise NotJudged(f"{len(losses.validation)} values of {losses.name}, needs {ENOUGH}")
    return _findings(view, seen)


def _behind(view: RunView, losses: Losses, dependent: Mapping[str, float | None], behind: float) -> Anomaly | None:
    """Training that is behind validation, as wrong targets leave it: by the accuracies, or else by the losses."""
    both = accuracies_of(view, dependent)
    found = None
    if both is not None:
        found = training_left_behind(view, losses, both, behind) or lost_in_training(view, losses, both)
    return found or learned_held_out_alone(view, losses, dependent)


def _findings(view: RunView, seen: Sequence[Anomaly | None]) -> list[Finding]:
    return [
        RULE.finding(
            found.severity,
            found.message,
            (found.first, view.last_step),
            view,
            layers=found.layers,
            evidence=found.evidence,
            suggestions=found.suggestions,
        )
        for found in seen
        if found is not None
    ]


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
