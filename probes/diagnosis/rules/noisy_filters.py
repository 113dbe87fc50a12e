"""The filters of the first layer still look like noise, and the net has learned nothing with them.

What it detects
---------------
Pictures of the first layer's weights in which neighbouring pixels have nothing to do with each other, as on the first
day, although the net was trained for hundreds of steps and its loss has hardly moved.

Why it matters
--------------
Edges, blobs and colours in images reach over several pixels. Filters that see them become smooth. Filters that stay
noise have not been shaped by the images: the gradient does not reach them, the steps are too small, or the
training has not got anywhere yet.

Criterion
---------
Judged are kernels of at least 5 by 5, and the weights of a dense layer that reads images of at least 8 by 8, arranged
as the image. The *likeness* of neighbours is the mean product of pixels beside and below each other over their mean
square, each picture without its mean, all pictures together; without its mean a noise of n pixels has -1/(n-1), which
is taken off. 0 is noise, 1 a smooth surface.

At the last snapshot, after `steps_needed` (300) steps, it is below `likeness` (0.15), and no more than half of that
above its value at the first snapshot. A warning in a run that is over, when the training loss has also lost less than
`learned` (0.15) of its beginning (of the loss of guessing where it began above that), and where an accuracy was
logged, it is above always giving the most frequent class by less than a quarter of the way to 1. When the net has
learned, noisy kernels after 2,000 steps are only information.
Small kernels (1 by 1, 3 by 3), weights that are not trained, and inputs that are no
images are not judged.

Evidence
--------
The likeness of neighbouring pixels at the first and the last snapshot, and the fall of the loss.

What to try
-----------
1. Look at what is reported as its cause, if anything is: the loss that does not fall, or gradients that vanish.
2. Look at the filters view: do the filters change at all?
3. Once the net learns: train longer, or add weight decay, and the filters become smooth.

When it misleads
----------------
Nets that are wide for their task learn with filters that stay near their random beginning.

Example that fires
------------------
```python
images = torch.randn(256, 1, 12, 12)
answers = torch.randint(0, 10, (256,))
model = nn.Sequential(nn.Conv2d(1, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))
data = ((images, answers), (images, answers))
train(model, torch.optim.SGD(model.parameters(), lr=1e-5), data=data[0], validation=data[1], steps=350, every=50)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Conv2d(1, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10))
train(model, torch.optim.Adam(model.parameters(), lr=3e-3), steps=350, every=50)
```

References
----------
- CS231n, Neural Networks part 3, first-layer visualizations (noisy features: unconverged net, improperly set learning
  rate, or very low weight regularization penalty).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.numbers import short
from probes.diagnosis.progress import majority_share, progress
from probes.diagnosis.rule import Rule
from probes.diagnosis.task import accuracy_at_end, falls_short
from probes.diagnosis.view import Floats, NotJudged, RunView

SMALLEST_KERNEL = 5
SMALLEST_IMAGE = 8
LONG = 2000


@dataclass(frozen=True)
class Noisy:
    """Likeness of neighbouring pixels at the first and the last snapshot."""

    first: float
    last: float


def likeness(pictures: Floats) -> float:
    """How alike neighbouring pixels are: 0 in white noise, near 1 in a smooth surface.

    Args:
        pictures: [N, h, w].
    """
    rest = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    square = float(np.mean(rest**2))
    if not square > 0:
        return 0.0
    beside = rest[:, :, 1:] * rest[:, :, :-1]
    below = rest[:, 1:] * rest[:, :-1]
    product = float(beside.sum() + below.sum()) / (beside.size + below.size)
    pixels = pictures.shape[1] * pictures.shape[2]
    return float(product / square + 1.0 / (pixels - 1))


def criterion(
    first: Floats,
    last: Floats,
    *,
    likeness: float = 0.15,
    learned: float = 0.15,
    steps_needed: float = 300,
) -> Noisy | None:
    """Whether filters are noise, and have been from the beginning.

    Args:
        first, last: the filters as pictures, [N, h, w], at the first and the last snapshot.
        likeness: of neighbouring pixels, 0 to 1 (smooth filters: 0.4 and more).
        learned: fall of the loss above which the filters do no harm, as a share (used by the judge).
        steps_needed: fewest steps (used by the judge).
    """
    before, now = _likeness(first), _likeness(last)
    if not (np.isfinite(before) and np.isfinite(now)) or now >= likeness or now > before + likeness / 2:
        return None
    return Noisy(before, now)


_likeness = likeness  # the threshold of the same name hides it in the criterion


def pictures(weights: npt.NDArray[np.float32], input_shape: Sequence[int]) -> Floats:
    """The filters as pictures, float64 [N, h, w].

    Raises:
        NotJudged: they are no pictures, or too small to tell noise from edges.
    """
    if weights.ndim == 4:
        height, width = weights.shape[2:]
        if min(height, width) < SMALLEST_KERNEL:
            raise NotJudged(f"kernels of {height}x{width} are too small to tell noise from edges")
        return weights.astype(np.float64).reshape(-1, height, width)
    shape = tuple(input_shape)
    if weights.ndim == 2 and 2 <= len(shape) <= 3 and int(np.prod(shape)) == weights.shape[1]:
        height, width = shape[-2:]
        if min(height, width) >= SMALLEST_IMAGE and (len(shape) == 2 or shape[0] <= 4):
            return weights.astype(np.float64).reshape(-1, height, width)
    raise NotJudged("the first layer does not read images")


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the first layer's filters beside the fall of the training loss."""
    shots = view.filters()
    if shots is None:
        raise NotJudged("no filters of the first layer were recorded")
    first, last = shots
    model = view.manifest.get("model")
    shape = model.get("input_shape") if isinstance(model, Mapping) else None
    before = pictures(first.weights, shape or ())
    now = pictures(last.weights, shape or ())
    needed = int(thresholds["steps_needed"])
    if last.step < needed or first.step > needed // 10 or before.shape != now.shape:
        seen = f"filters were recorded from step {first.step} to {last.step}"
        raise NotJudged(f"{seen}, needs the first ones and {needed} steps of training")
    weights = [parameter for parameter in view.parameters if parameter.is_weight]
    if weights and last.layer and weights[0].module != last.layer:
        raise NotJudged(f"the filters are those of {last.layer}, which is not the first layer")
    if weights and not weights[0].trainable:
        raise NotJudged("the first layer is not trained")
    learned = progress(view)
    if learned is None:
        raise NotJudged("no training loss was logged")
    found = criterion(before, now, **thresholds)
    fine_tuned = learned.guessing is not None and learned.start < 0.5 * learned.guessing
    if found is None or fine_tuned:
        return []
    reached, common = accuracy_at_end(view), majority_share(view)
    poor = learned.share < thresholds["learned"] and (reached is None or falls_short(reached, common, 0.25))
    if not poor and (last.step < LONG or last.weights.ndim != 4):
        return []
    effect = (
        f"{learned.series} went from {short(learned.start)} to {short(learned.end)} only"
        if poor
        else f"the net learns all the same ({learned.series} is at {short(learned.end)})"
    )
    return [
        RULE.finding(
            "warning" if poor and view.status != "running" else "info",
            f"The first-layer filters are noise after {last.step} steps: the likeness of neighbouring pixels is "
            f"{short(found.last)} (at the start {short(found.first)}; smooth filters have 0.4 or more), and {effect}.",
            (min(needed, last.step), view.last_step),
            view,
            layers=(last.layer,) if last.layer else (),
            evidence=(
                Evidence("filters", found.last, thresholds["likeness"], "<", last.step, note="likeness of neighbours"),
                Evidence("filters", found.first, step=first.step, note="likeness at the beginning"),
                Evidence(learned.series, learned.share, thresholds["learned"], "<", note="fall of the loss"),
            ),
            suggestions=(
                "find out first why the net does not learn: gradients, learning rate, labels, length of the training"
                if poor
                else "train longer, or raise the weight decay a little: filters become smooth",
                "look at the filters over time: do they change at all?",
                "compare with a net that learns on the same images: its filters show edges and blobs",
            ),
        )
    ]


RULE = Rule(
    slug="noisy-filters",
    family="filters",
    severity="warning",
    title="The first-layer filters are noise",
    needs="snapshots of a first layer that reads images (kernels from 5x5), and one training loss",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
