"""The model's outputs are the same for every example: what tells the examples apart is lost on the way.

What it detects
---------------
A last layer whose output does not vary across the examples of a batch, and the layer where the variation is lost.

Why it matters
--------------
When all examples look alike after some layer, no layer behind it can tell them apart: the best that can be learned is
one answer for all. A loss may still fall to that of the best constant answer, which looks like a slow start. In a
representation or a generator this is what collapse means.

Criterion
---------
Per frame and module: the standard deviation across the examples over that of all outputs (`batch_variation`); for a
single output over its root mean square. After `steps_needed` (50) steps it is below `variation` (1e-3) in the last
module that was called, in the last `frames` (3) frames or more without a gap, and they begin in the first half of the
run or reach over half of it. The layer named is the first from which on every module is below.

A warning when the one training loss has fallen by less than `learned` (0.15) of its beginning, or of guessing; or when
it has fallen further, the run is over, the loss at rest, and less than 0.9 of it gone (with an accuracy: the answers
poor): the best constant answer lowers a loss, too. Only information otherwise, when there are several losses, or in a
run that goes on and has done fewer than 500 steps. Where the examples are alike but for rounding (1e-6) in all of 4
frames or more, from the first on, and in the module before the last as well, 20 steps are enough: no plateau is left
from there.

Where the losses of a generator and a discriminator were logged, and modules go by these names, it is a warning as well
when, after 100 steps, the standard deviation of all outputs of the generator's last module is below 0.05 of that at
step 1, in the last 3 frames or more: what it makes varies neither from example to example nor within one.

Evidence
--------
The variation at the end of the model and in the layer before the collapse.

What to try
-----------
1. Look at what is reported as its cause: dead units, saturation, weight decay, vanishing gradients.
2. Check that the inputs differ as the model sees them.
3. Normalise between the layers (batch or layer normalisation), or add shortcuts around them.
4. In contrastive or adversarial training: check what keeps a constant output from being the best answer.

When it misleads
----------------
A model whose outputs shall be nearly constant. A last layer that begins at zero is constant until it learns: only
stretches that last are reported. Heads beside the main output may be constant.

Example that fires
------------------
```python
class Constant(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x) + x.mean(dim=0, keepdim=True)

model = nn.Sequential(
    nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), Constant(), nn.Linear(32, 32), nn.Linear(32, 10)
)
train(model, torch.optim.SGD(model.parameters(), lr=0.1), steps=200)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1), steps=200)
```

References
----------
- Schoenholz, Gilmer, Ganguli and Sohl-Dickstein, Deep information propagation, 2017 (examples become alike with depth).
- Daneshmand et al., Batch normalization provably avoids rank collapse, 2020.
- Chen and He, Exploring simple Siamese representation learning, 2021 (collapsed outputs).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from probes.diagnosis.finding import Evidence, Finding, Severity
from probes.diagnosis.numbers import percent, short
from probes.diagnosis.outcome import answers_poorly
from probes.diagnosis.progress import Progress, progress
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import at_rest, trailing_run
from probes.diagnosis.signs.one_image import GONE, OneImage, one_image
from probes.diagnosis.tracks import training_loss
from probes.diagnosis.view import Floats, LayerTable, NotJudged, RunView

MOST = 0.9
"""Fall of the loss from which the last module that was called is hardly what gives the answers."""
EXACTLY, FRAMES_OF_ALL, AT_ONCE = 1e-6, 4, 20
"""Variation that is rounding alone; frames and steps in which nothing else is no plateau: nothing can come of it."""
PATIENCE = 500
"""Steps of a run that goes on before it is a warning: some models begin with a plateau, and leave it."""


def criterion(
    variation_of_output: Floats,
    *,
    variation: float = 1e-3,
    frames: float = 3,
    learned: float = 0.15,
    steps_needed: float = 50,
) -> int:
    """In how many frames, up to the last without a gap, the output is the same for all examples; 0 when too few.

    Args:
        variation_of_output: variation across the batch per frame, [T]. NaN is no collapse.
        variation: below it examples are alike (healthy outputs stay above 0.1, float32 rounds at 1e-7).
        frames: fewest frames that show it.
        learned: fall of the training loss from which it does no harm (used by the judge).
        steps_needed: steps before which nothing is said (used by the judge).
    """
    length = trailing_run(variation_of_output < variation)
    return length if length >= frames else 0


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the last module that was called, then look for where the variation is lost."""
    alike = one_image(view)
    if alike is not None:
        return [_one_image(view, alike)]
    table = _variation(view)
    never = _never_told_apart(table) and view.last_step >= AT_ONCE
    if len(table) < thresholds["frames"] or (view.last_step < thresholds["steps_needed"] and not never):
        raise NotJudged(
            f"{len(table)} frames of activations in {view.last_step} steps, needs {int(thresholds['frames'])} in "
            f"{int(thresholds['steps_needed'])}"
        )
    output = table.values[:, -1]
    length = criterion(output, **thresholds)
    if not length:
        return []
    first = int(table.steps[-length])
    if first > 0.5 * view.last_step:
        return []
    last = table.values[-1]
    place = len(last) - trailing_run(last < thresholds["variation"])
    learned = progress(view)
    severity: Severity = "warning"
    early = view.status == "running" and view.last_step < PATIENCE and not never
    if learned is None or early or (learned.share >= thresholds["learned"] and not _one_answer_for_all(view, learned)):
        severity = "info"
    went = (
        f", and {learned.series} went from {short(learned.start)} to {short(learned.end)}"
        if learned is not None
        else ""
    )
    before = (
        f"; in {table.layers[place - 1]} before it the examples still differ ({short(float(last[place - 1]))})"
        if place
        else ": already the first layer does not tell the examples apart"
    )
    evidence = [
        Evidence(
            "batch_variation",
            float(output[-1]),
            thresholds["variation"],
            "<",
            int(table.steps[-1]),
            table.layers[-1],
            "variation across the examples, at the end of the model",
        )
    ]
    if place:
        evidence.append(
            Evidence(
                "batch_variation",
                float(last[place - 1]),
                step=int(table.steps[-1]),
                layer=table.layers[place - 1],
                note="the layer before the collapse",
            )
        )
    if learned is not None:
        evidence.append(
            Evidence(
                learned.series,
                learned.share,
                thresholds["learned"],
                "<",
                note=f"fall of the loss ({percent(max(learned.share, 0.0))})",
            )
        )
    return [
        RULE.finding(
            severity,
            f"The outputs of {table.layers[-1]} are the same for every example of a batch in the last {length} frames "
            f"(variation {short(float(output[-1]))}){went}. The variation is lost in {table.layers[place]}{before}.",
            (first, view.last_step),
            view,
            layers=table.layers[place:],
            evidence=tuple(evidence),
            suggestions=(
                f"look at {table.layers[place]}: its weights, its biases, and what is reported as the cause"
                if place
                else "check that the inputs differ as the model sees them: preprocessing, masks, blank examples",
                "normalise between the layers (batch or layer normalisation), or add shortcuts around them",
                "try to overfit one small batch (babysit check): it shows whether the model can tell examples apart",
            ),
        )
    ]


def _one_image(view: RunView, alike: OneImage) -> Finding:
    """The finding on a generator whose outputs have lost their differences."""
    return RULE.finding(
        "warning",
        f"What {alike.layer} generates hardly varies any more, neither from example to example nor within one "
        f"(standard deviation {short(alike.start)} at first, {short(alike.end)} now), since step {alike.since}.",
        (alike.since, view.last_step),
        view,
        layers=(alike.layer,),
        evidence=(
            Evidence("activation_std", alike.end, GONE * alike.start, "<", layer=alike.layer, note="what is generated"),
        ),
        suggestions=(
            "look at a batch of real examples as the discriminator gets it: are they blank, or all alike?",
            "lower the learning rate, and the weight decay, of the generator",
        ),
    )


def _never_told_apart(table: LayerTable) -> bool:
    """Whether the examples are alike, but for rounding, in every frame and in more than the last module."""
    alike = np.atleast_1d((table.values < EXACTLY).all(axis=0))
    return len(table) >= FRAMES_OF_ALL and len(alike) >= 2 and bool(alike[-2:].all())


def _one_answer_for_all(view: RunView, learned: Progress) -> bool:
    """Whether a run that is over has come to rest where the best constant answer may well be."""
    poor = answers_poorly(view)
    return (
        view.status != "running"
        and at_rest(training_loss(view)[1].finite.values)
        and (learned.share < MOST if poor is None else poor)
    )


def _variation(view: RunView) -> LayerTable:
    """Variation across the examples per module that was called, in forward order; relative to the root mean square
    for single outputs, whose deviation across the examples is all the deviation they have.
    """
    whole = view.need_layers("batch_variation")
    shapes = {module.name: module.output_shape for module in view.modules}
    names = [name for name in whole.layers if shapes.get(name)]
    batches = [shapes[name][0] for name in names]
    if not names or max(batches) < 2:
        raise NotJudged("no module was seen with a batch of two examples or more")
    table = whole.pick(names)
    rows = table.measured.any(axis=1)
    table = LayerTable(table.layers, table.steps[rows], table.values[rows].copy(), table.measured[rows])
    means, spreads = view.layers("activation_mean"), view.layers("activation_std")
    for column, name in enumerate(table.layers):
        if shapes[name][-1] != 1 or len(shapes[name]) > 2:
            continue
        if means is None or spreads is None or name not in means.layers or name not in spreads.layers:
            raise NotJudged(f"mean and spread of {name} were not recorded")
        mean, spread = (t.pick([name]).at(table.steps) for t in (means, spreads))
        if len(mean) != len(table) or len(spread) != len(table):
            raise NotJudged(f"mean and spread of {name} were recorded at other steps")
        size = np.hypot(mean.values[:, 0], spread.values[:, 0])
        table.values[:, column] = np.where(size > 0, spread.values[:, 0] / np.where(size > 0, size, 1.0), 0.0)
    if not len(table):
        raise NotJudged("no activation was measured")
    values = np.where(table.measured, table.values, np.inf)
    if np.isnan(values[-1]).any():
        raise NotJudged("activations are not finite")
    return LayerTable(table.layers, table.steps, values, table.measured)


RULE = Rule(
    slug="collapsed-activations",
    family="activations",
    severity="warning",
    title="All examples look alike to the model",
    needs="3 frames of activations over 50 steps",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
