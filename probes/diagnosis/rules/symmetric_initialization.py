"""Layers begin with all weights equal, so that their units stay copies of one another.

What it detects
---------------
Two successive weight matrices whose elements were all the same at the start (zero, or another constant), in
a net that does not learn; modules that are copies of one another from beginning to end.

Why it matters
--------------
Units with the same incoming and the same outgoing weights compute the same and get the same gradient: they
remain equal for ever, and a layer of a thousand units is worth one. With zeros, ReLU layers get no gradient
at all.

Criterion
---------
Before the first update, two or more successive weights (matrices and kernels in forward order, trainable)
have elements that do not differ by more than `spread` (1e-6) of their size, and the training loss has fallen
by less than `learned` (0.7). Where no one training loss was logged, as of a generator and a discriminator, the fall of
a distance between generated and real examples counts (Fréchet, FID, KID, MMD), from its value before the first step, or
from that of always giving the mean, where a score beside it tells. Critical below a tenth. One constant layer alone is
common and healthy: a last layer or the last layer of a residual block that begins at zero, a low-rank adapter.

Also, whatever the values: weights of several modules that are copies of one another (`copy.deepcopy`) and stay so. In
every frame, three or more, they are trained, and their norm, extreme elements and gradients are the same. A warning
when the loss has fallen by less than `learned`; else, and without a loss, information.

Evidence
--------
Smallest and largest element of the layers at the start, and the loss at both ends.

What to try
-----------
1. Remove the code that fills the weights with a constant; the defaults of torch.nn are random.
2. Initialise for the activation: He for ReLU, Xavier for tanh and sigmoid. Biases may begin at zero.

When it misleads
----------------
Copies that are kept equal on purpose, as the processes of a parallel training are. Layers of one unit, and nets whose
dropout breaks the symmetry, may begin with equal weights and learn all
the same.

Example that fires
------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
for parameter in model.parameters():
    nn.init.constant_(parameter, 0.02)
train(model, torch.optim.SGD(model.parameters(), lr=0.05))
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
nn.init.zeros_(model[3].weight)
train(model, torch.optim.SGD(model.parameters(), lr=0.05))
```

References
----------
- Goodfellow, Bengio and Courville, Deep Learning, 2016, section 8.4 (breaking the symmetry).
- Karpathy, CS231n, Neural Networks part 2: all-zero initialisation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from probes.diagnosis.achieved import achieved, achieved_if_known
from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.numbers import names, short
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import longest_run
from probes.diagnosis.signs.clones import clones
from probes.diagnosis.view import Floats, Mask, NotJudged, RunView


def criterion(smallest: Floats, largest: Floats, *, spread: float = 1e-6, learned: float = 0.7) -> Mask:
    """Which weights belong to a row of two or more that are constant, [L].

    Args:
        smallest, largest: extreme elements of each weight before the first update, [L] in forward order.
        spread: difference of the two, as a share of the larger in size (rounding of float32 is 1e-7).
        learned: fall of the loss above which symmetry did no harm (used by the judge).
    """
    size = np.maximum(np.abs(smallest), np.abs(largest))
    constant = np.asarray(largest - smallest <= spread * size)
    result = np.zeros(len(constant), dtype=bool)
    rest = constant.copy()
    while True:
        start, length = longest_run(rest)
        if length < 2:
            return result
        result[start : start + length] = True
        rest[start : start + length] = False


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the weights of the first frame, and the harm by the training loss."""
    copies = clones(view)
    if copies:
        return [_copies(view, copies, thresholds["learned"])]
    low, high = view.need_layers("weight_min"), view.need_layers("weight_max")
    if low.steps[0] != 0 or high.steps[0] != 0:
        raise NotJudged("the weights before the first update were not recorded")
    shapes = {p.name: p.shape for p in view.parameters if p.is_weight and p.trainable and p.numel > 1}
    kept = [name for name in low.layers if name in shapes and name in high.layers]
    if len(kept) < 2:
        raise NotJudged(f"{len(kept)} trainable weight matrices or kernels, needs 2")
    learned = achieved(view)
    if learned is None:
        raise NotJudged("no training loss to judge the harm of equal weights by")
    smallest, largest = low.pick(kept).values[0], high.pick(kept).values[0]
    found = criterion(smallest, largest, **thresholds)
    if not found.any() or not learned.share < thresholds["learned"]:
        return []
    layers = tuple(name for name, bad in zip(kept, found.tolist(), strict=True) if bad)
    value = float(smallest[int(np.argmax(found))])
    return [
        RULE.finding(
            "critical" if learned.share < 0.1 else "warning",
            f"All elements of {names(layers)} were {short(value)} before the first update: their units are copies of "
            f"one another. The loss went from {short(learned.start)} to {short(learned.end)}.",
            (0, view.last_step),
            view,
            layers=layers,
            evidence=(
                Evidence("weight_min", value, float(largest[int(np.argmax(found))]), "=", 0, layers[0], "all equal"),
                Evidence(learned.series, learned.share, thresholds["learned"], "<", note="fall of the loss"),
            ),
            suggestions=(
                f"remove the code that fills {layers[0]} with {short(value)}: the defaults of torch.nn are random",
                "initialise for the activation: torch.nn.init.kaiming_normal_ for ReLU, xavier_uniform_ for tanh",
            ),
        )
    ]


def _copies(view: RunView, copies: Sequence[tuple[str, ...]], limit: float) -> Finding:
    learned = achieved_if_known(view)
    layers = tuple(name for group in copies for name in group)
    went = f" The loss went from {short(learned.start)} to {short(learned.end)}." if learned is not None else ""
    first = copies[0]
    return RULE.finding(
        "warning" if learned is not None and learned.share < limit else "info",
        f"{names(first)} are copies of one another, and get the same gradient in every frame: {len(first)} modules do "
        f"the work of one.{went}",
        (0, view.last_step),
        view,
        layers=layers,
        evidence=(
            Evidence("grad_norm", len(first), 1, ">", layer=first[0], note="weights with the same values and gradient"),
            *(
                (Evidence(learned.series, learned.share, limit, "<", note="fall of the loss"),)
                if learned is not None
                else ()
            ),
        ),
        suggestions=(
            "initialise each of them by itself: build the module anew, or call reset_parameters(), after copy.deepcopy",
            "let what chooses among them begin at random, not at zero",
        ),
    )


RULE = Rule(
    slug="symmetric-initialization",
    family="initialisation",
    severity="critical",
    title="Weights begin equal",
    needs="the frame before the first update, and one training loss",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
