"""The loss is given something else than it expects: probabilities for scores, or targets out of reach.

What it detects
---------------
A model whose last layer does not belong to its loss: a softmax or sigmoid before a loss that applies its own, raw
scores where logarithms of probabilities are wanted, targets that the last activation cannot reach, or outputs and
targets of different shapes.

Why it matters
--------------
A cross-entropy of probabilities cannot fall below ln(1 + (C - 1)/e), 1.46 for ten classes: its largest score is 1.
The gradient passes through two softmaxes and is small where the model is wrong. The training runs, learns slowly, and
looks like a hard problem. A regression whose outputs end at 1 never reaches a target of 5.

Criterion
---------
With the loss given to the probe, or recognised by the gradient that it sends back to the outputs, what it was called
with decides, over at least `frames` (2) frames:

- `CrossEntropyLoss`: all outputs lie within [0, 1], and their mean is 1/C (a softmax) or the last module is a sigmoid;
  or they are the outputs of a tanh. After a ReLU (or when the lowest output is exactly 0 in every frame) only when the
  training loss has fallen by less than half, or has come to rest with a tenth of it and of the answers still wrong.
- `CrossEntropyLoss` of scores that never leave [-1, 1] in `steps_needed` (50) steps, as cosines do, where the highest
  of each batch in the latter half of the frames is above 0.8, and the training loss is at rest nearer to what scores
  of that spread cost when all are right than to what they cost a net that is right as often as it is sure.
- `CrossEntropyLoss` of a single score, which is always 0; or `BCELoss` of outputs that are all 1, as a softmax of a
  single score gives.
- `BCELoss` of three outputs or more that sum to one (their mean is 1/C in every frame, as after a softmax), where more
  than 1.25 of an example's targets are 1 in the mean.
- `NLLLoss` and `KLDivLoss`: outputs above 0, which no logarithm of a probability is.
- `BCEWithLogitsLoss`: all outputs lie within [0, 1] after a sigmoid or softmax, or reach over half of
  it and stay there for `steps_needed` (50) steps or more; or they are those of a tanh, or come from a
  ReLU, softplus, log-sigmoid or log-softmax and lie on its side of 0; or targets outside of [0, 1].
- `SoftMarginLoss` and `HingeEmbeddingLoss`: targets from 0 up, where they expect -1 and 1.
- losses of regression: outputs and targets whose shapes combine to more elements than either has; or targets that lie
  beyond the bounds of the last activation, or of the outputs where these end exactly there, by more than `reach` (0.1)
  of their range, where a bound is within 1.25 standard deviations of their mean.

The outputs of an LSTM, a GRU or an RNN that go into the loss as they are (they have its width, and lie within -1 and 1
on both sides of 0) count as those of a tanh. So do outputs within -1 and 1, and those within 0 and 1 as of a sigmoid,
that were squashed by a function that is no module: the last module gives as many, in two frames or more and the last
beyond 1.1, and their standard deviation in the last two frames is below 0.8 times as much of the module's as it was.

Without a loss that is given or recognised, a single output for each example is reported whose gradient is, in five
frames (three of an absolute error) and no other way in between, the same function of the output for all examples of a
batch, and draws them to a value that moves with the batch: they were broadcast against the targets ([N, 1] beside [N]).

So is what PyTorch itself warned of, from the attaching of the probe on: a loss of outputs and targets that have as many
elements as each other, but not as many dimensions, and are combined to more.

Without it, too, the training loss and the last module decide for C classes (C outputs; with no softmax module C is at
least 4): the loss began at ln C, to 3% (values of whole epochs may begin lower); no loss of the run is below
ln(1 + (C - 1)/e), and hardly any above ln(C - 1 + e), as a double softmax has it; and after `steps_needed` steps the
model is so sure, as the spread of its outputs tells, that one which is right as often as it is sure would have a loss
lower by `margin` (0.25) or more. (An accuracy does not tell: a model under strong regularisation is right far more
often than it is sure.)

With any loss, a model that ends in a ReLU and stays wrong so is reported when of the gradient that the loss sends back
less than a tenth of its size (a hundredth of its energy) passes that ReLU in the last frame, and less than half in the
frame before: what is wrong yet is wrong where the ReLU cuts it off.

With any loss, too, one that falls below zero and on without a bottom: faster and faster, by more than 3 times what it
began with; or to 100 times that, at an end where it still falls by 0.3 of what it did in the first half; or, whatever
the course, to a million times that; and to less than -5 in any case, for a logarithm of a density that began near zero
falls so far when it narrows. The depth tells from 5 values on (the means of epochs), the course from 20. So is a loss
whose name says that it is never negative (mse, mae, bce, ce, ...; kl where classes are told apart), with nine in ten of
its values in the latter half below zero, and one whose name says that it is a share in common (dice, iou, jaccard,
tversky) and that was both below 0 and above 1.

Of a generator and a discriminator (two losses so named) it is said when both losses are below a hundredth of where they
began through the latter half, after 50 steps: what one gains the other must lose.

Of an agent (rewards are logged) a loss is reported that is a positive multiple of the policy's entropy, to a tenth
through the latter half, when the entropy has fallen below a tenth: it was added to the loss, not subtracted.

Of a single output whose loss is a squared error, or not known, it is said that classes are fitted as numbers, when the
run has ended: the loss began at the mean square of the numbers 0 to C - 1, (C - 1)(2C - 1) / 6, for C of 3 or more, and
the training accuracy at 1/C; half of the loss is gone, and it is 1 or more: usually a class off; and the accuracy is
what rounding leaves of normal errors of that mean square (0.1 less to 0.25 more). An order that is fitted well (counts)
is let be.

Of a run that has ended after 100 steps and more it is said that the distance between probabilities and one-hot classes
is no loss for them: of C outputs (3 or more) the loss began at the mean absolute error of a softmax that knows nothing,
2 (C - 1) / C^2, or of sigmoids, 0.5, and is not below that of the best answer that is the same for all (2 (C - 1) /
C^2; 1/C) by 0.4 of it, with an accuracy below 0.5; or at the squared one, (C - 1) / C^2 or 0.25, and not below (C - 1)
/ C^2 by 0.1, with one below 0.3 (to 3% above, 2% below; 10% where the first value may be a mean over many steps). Where
no accuracy is known, `L1Loss` of outputs that sum to one must not be below by 0.1.

A loss of one's own for classes is reported when its size was not that of a cross-entropy, it has come to rest, and the
accuracy has stayed at chance. From 30 steps on it is when the scores differ by 1 or more (standard deviation, 5 times
that of the first frame), the loss has not risen, and the accuracy of the training batches is at chance, among classes
that are about equally frequent: whatever takes scores for scores makes such ones cost more than small ones. Of a run
of 100 steps or more that has ended it is told whatever the frequencies, when the outputs vary 5 times as much as at
first, the training accuracy over the latter half is below 0.8 of the share of the commonest class (by 3 standard
errors), and the score of the label has as many of the others above it as by chance (0.4 or more).

Evidence
--------
Range and mean of the outputs, range of the targets; or the training loss against its floor.

What to try
-----------
1. Cross-entropy: return raw scores from the model, and take softmax only for predictions.
2. Sigmoid outputs: `BCELoss`; raw scores: `BCEWithLogitsLoss`.
3. Regression: no activation after the last layer, or targets scaled into its range.

When it misleads
----------------
A regression on purpose limited to a range (a ReLU for amounts) with a few targets beyond it is not reported: only
when many are. Two softmaxes on purpose, as a temperature, are rare.

Example that fires
------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10), nn.Softmax(dim=1))
train(model, torch.optim.Adam(model.parameters(), lr=0.01), steps=300)
```

Example that stays quiet
------------------------
```python
class NegativeLogLikelihood(nn.Module):
    def forward(self, probabilities, targets):
        return nn.functional.nll_loss(torch.log(probabilities + 1e-9), targets)

model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10), nn.Softmax(dim=1))
train(model, torch.optim.Adam(model.parameters(), lr=0.01), loss_fn=NegativeLogLikelihood(), steps=300)
```

References
----------
- PyTorch documentation, `torch.nn.CrossEntropyLoss` (expects unnormalised scores), `NLLLoss`, `BCEWithLogitsLoss`.
- CS231n, Linear classification: softmax classifier, cross-entropy of scores.
- Humbatova et al., Taxonomy of real faults in deep learning systems, 2020 (missing or wrong last activation).
"""

from __future__ import annotations

from collections.abc import Sequence

from probes.diagnosis.finding import Finding
from probes.diagnosis.mismatch.by_class_numbers import classes_as_numbers
from probes.diagnosis.mismatch.by_course import (
    below_its_least,
    beyond_a_share,
    by_accuracy,
    over_the_batch,
    without_bottom,
)
from probes.diagnosis.mismatch.by_distance import distance_of_classes
from probes.diagnosis.mismatch.by_entropy import entropy_is_paid_for
from probes.diagnosis.mismatch.by_floor import by_loss, criterion
from probes.diagnosis.mismatch.by_gradient import cut_off
from probes.diagnosis.mismatch.by_one_answer import worse_than_one_answer
from probes.diagnosis.mismatch.by_one_target import drawn_to_one_value
from probes.diagnosis.mismatch.by_outputs import by_outputs
from probes.diagnosis.mismatch.by_rivals import on_one_side
from probes.diagnosis.mismatch.by_warning import warned_of_sizes
from probes.diagnosis.mismatch.called import CLASSIFICATION, REGRESSION, kind_of_loss, outputs_of
from probes.diagnosis.mismatch.found import Mismatch
from probes.diagnosis.rule import Rule
from probes.diagnosis.task import last_module
from probes.diagnosis.view import NotJudged, RunView


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge what the loss was called with, or else the training loss beside the last module."""
    found = _seen(view, thresholds)
    if found is None:
        return []
    return [
        RULE.finding(
            "warning",
            found.message,
            (found.first, view.last_step),
            view,
            layers=found.layers,
            evidence=found.evidence,
            suggestions=found.suggestions,
        )
    ]


def _seen(view: RunView, thresholds: dict[str, float]) -> Mismatch | None:
    """The first of the ways of detection that finds something; the surest come first."""
    kind, last, outputs = kind_of_loss(view), last_module(view), outputs_of(view)
    found = warned_of_sizes(view) or over_the_batch(view, kind) or drawn_to_one_value(view) or cut_off(view)
    found = found or entropy_is_paid_for(view) or on_one_side(view) or classes_as_numbers(view)
    found = found or distance_of_classes(view)
    if found is not None:
        return found
    if outputs is not None and kind:
        if len(outputs) < thresholds["frames"]:
            raise NotJudged(f"{len(outputs)} frames of outputs, needs {int(thresholds['frames'])}")
        found = by_outputs(view, kind, last, outputs, thresholds)
        if found is not None or kind in CLASSIFICATION or kind in REGRESSION:
            return found
    found = without_bottom(view) or below_its_least(view) or beyond_a_share(view)
    if found is None and kind and kind not in CLASSIFICATION + REGRESSION:
        found = by_accuracy(view, kind) or worse_than_one_answer(view, kind)
    if found is not None or kind in REGRESSION:
        return found
    return by_loss(view, last, thresholds)


RULE = Rule(
    slug="loss-output-mismatch",
    family="data and head",
    severity="warning",
    title="The model's outputs do not belong to the loss",
    needs="the loss function, given to the probe or recognised, or the training loss of a classifier over 50 steps",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
