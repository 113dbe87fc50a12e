"""Gradients are added to those of all steps before, because they are not cleared.

What it detects
---------------
Gradients of biases that are larger than one backward pass can make them, and grow: `zero_grad` is missing.

Why it matters
--------------
`backward` adds to what is there. Without clearing, each step moves along the sum of all gradients so far: like a
momentum of 1, which never forgets. Training overshoots, oscillates and often diverges, and where it does not it
learns worse than it could.

Criterion
---------
The gradient of the bias of a dense or convolutional layer is the sum of the gradients of the layer's output over
the N places of the batch, in all calls of the step. By the Cauchy-Schwarz inequality its norm is at most sqrt(N) times
the norm of the output's gradient, for a single backward pass of any net, loss and data; usually it is about a fifth of
that. The ratio to that bound, its median over the layers, must have exceeded `bound` (1.5) in each of the last two
frames (or in two of all, and 1 in the last two; the last frame is enough when ratio and gradients are `at_once` (6)
times what they were in the first), and be `growth` (3) times what it was in the first frame, while the gradients
themselves have grown since; `at_once` times, where it was above `bound` in the first frame already, by what is added to
the gradients. Where the loss has ended far above its beginning or in NaN, the frames up to the last one
above the bound decide: beside gradients that explode, what piled up before is not seen. Accumulation on purpose, over
the same number of batches for each step, does not grow.

Critical when the training loss has not fallen by a tenth; a warning otherwise.

Evidence
--------
The ratio in the first and the last frame.

What to try
-----------
1. Call `optimizer.zero_grad()` once for each `optimizer.step()`.
2. Check that it is the zero_grad of the optimizer that steps, and that it holds all parameters.

When it misleads
----------------
Accumulation over ever more batches looks the same. Batches that become many times larger during training raise the
bound, which is taken from the first batch. Of a layer that is called eight times a step or more (an agent's, once for
each move) not all calls are seen: it is not judged.

Example that fires
------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
optimizer.zero_grad = lambda set_to_none=True: None
train(model, optimizer)
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1))
```

References
----------
- PyTorch documentation, torch.optim.Optimizer.zero_grad.
- Karpathy, Most common neural net mistakes, 2018 ("you forgot to .zero_grad() before .backward()").
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.manifest import MANY_CALLS
from probes.diagnosis.numbers import short
from probes.diagnosis.progress import Progress, progress_if_known
from probes.diagnosis.rule import Rule
from probes.diagnosis.tracks import training_losses
from probes.diagnosis.view import Floats, NotJudged, RunView, Steps

AFFINE = ("Linear", "Conv1d", "Conv2d", "Conv3d", "LazyLinear", "NonDynamicallyQuantizableLinear")
"""Modules whose output is the bias plus something that does not depend on it."""

PILES_UP = 1.2
"""Growth of the gradients themselves since the first frame, without which nothing piles up."""
ROUNDING = 1e-4
"""Gradient of a bias, of the bound, that is rounding."""


def criterion(
    ratios: Floats, sizes: Floats, *, bound: float = 1.5, growth: float = 3.0, at_once: float = 6.0
) -> int | None:
    """The frame (index) since which gradients pile up, or None.

    Args:
        ratios: gradient of the biases over what one backward pass can make it at most, per frame [T].
        sizes: norm of those gradients, per frame [T].
        bound: ratio that one pass cannot reach (1 by theory; the rest is for batches of other sizes and for
            statistics of a sample).
        growth: rise since the first frame; accumulation on purpose has none. Beside noise that is added to the
            gradients (Langevin dynamics) it is ``at_once``.
        at_once: rise of the ratio and of the gradients with which one frame is enough: gradients that come to agree
            while several batches are accumulated rise by less.
    """
    # What is beyond the bound in the first frame, where nothing can have piled up, is added by something else.
    if len(ratios) < 2 or not ratios[-1] > (at_once if ratios[0] > bound else growth) * ratios[0]:
        return None
    # Beyond doubt in two frames, and still beyond what theory allows.
    lasting = int((ratios > bound).sum()) >= 2 and bool((ratios[-2:] > 1.0).all())
    above = ratios > bound
    stays = bool(above[-1]) and bool((ratios[int(np.argmax(above)) :] > 1.0).all())
    risen = stays and ratios[-1] > at_once * ratios[0] and sizes[-1] > at_once * sizes[0]
    if not risen and (len(ratios) < 3 or not (lasting or bool(above[-2:].all()))):
        return None
    return int(np.argmax(ratios > 1.5 * ratios[0]))


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the biases of all dense and convolutional layers."""
    steps, ratios, sizes, layers = pile(view)
    if len(steps) < 2:
        raise NotJudged(f"{len(steps)} frames with gradients of biases and of outputs, needs 2")
    learned = progress_if_known(view)
    since = criterion(ratios, sizes, **thresholds)
    if since is None and _ended_in_ruin(view, learned):
        # A loss that explodes sends gradients beside which the old ones vanish: what was seen before counts.
        above = np.flatnonzero(ratios > thresholds["bound"])
        end = int(above[-1]) + 1 if len(above) else 0
        since = criterion(ratios[:end], sizes[:end], **thresholds)
        ratios, steps = (ratios, steps) if since is None else (ratios[: above[-1] + 1], steps[: above[-1] + 1])
    # A penalty on the weights as part of the loss does not pass through the outputs: it adds, but does not pile up.
    if since is None or float(sizes.max()) < PILES_UP * float(sizes[0]):
        return []
    harmless = learned is not None and learned.share >= 0.1
    seen = int(steps[-1])
    return [
        RULE.finding(
            "warning" if harmless else "critical",
            f"The gradients of the biases are {short(float(ratios[-1]))} times what one backward pass can make them at "
            f"most (step {seen}), and {short(float(ratios[-1] / ratios[0]))} times as much, measured so, as at step "
            f"{int(steps[0])}: gradients of earlier steps are still in them.",
            (int(steps[since]), view.last_step),
            view,
            layers=layers,
            evidence=(
                Evidence("grad_norm", float(ratios[-1]), thresholds["bound"], ">", seen, None, "ratio to the bound"),
                Evidence("grad_norm", float(ratios[0]), None, ">", int(steps[0]), None, "ratio in the first frame"),
            ),
            suggestions=(
                "call optimizer.zero_grad() once for each optimizer.step(), before backward()",
                "check that zero_grad is called on the optimizer that steps, and that it holds all parameters",
            ),
        )
    ]


def _ended_in_ruin(view: RunView, learned: Progress | None) -> bool:
    """Whether the training loss is not finite at the end, or far above where it began."""
    broken = [curve for name in training_losses(view) if (curve := view.series(name)) is not None]
    if any(not np.isfinite(curve.values[-1]) for curve in broken):
        return True
    return learned is not None and learned.share < -1.0


def pile(view: RunView) -> tuple[Steps, Floats, Floats, tuple[str, ...]]:
    """(steps [T], median ratio to the bound [T], norm of the gradients [T], names of the biases).

    Frames without any ratio are left out.
    """
    gradients, passed = view.need_layers("grad_norm"), view.need_layers("activation_grad_norm")
    modules = {module.name: module for module in view.modules if module.type in AFFINE}
    steps = np.intersect1d(gradients.steps, passed.steps)
    gradients, passed = gradients.at(steps), passed.at(steps)
    # What no optimizer holds, no optimizer clears: that is told by parameters-not-updated.
    held = {name for group in view.optimizers for name in group.parameters}
    columns, norms, layers = [], [], []
    for parameter in view.parameters:
        module = modules.get(parameter.module)
        if module is None or len(parameter.shape) != 1 or not module.output_shape or not parameter.trainable:
            continue
        if held and parameter.name not in held:
            continue
        own, output = gradients.pick([parameter.name]), passed.pick([module.name])
        if not own.layers or not output.layers or not parameter.name.endswith("bias"):
            continue
        places = math.prod(module.output_shape) / parameter.numel
        if places < 2 or module.calls == MANY_CALLS:
            continue  # one example a call, or calls that were not all seen: the bound is that of others
        places *= max(1, module.calls or 1)
        usable = own.measured & output.measured & (output.values > 0)
        ratio = own.values / (math.sqrt(places) * output.values)
        columns.append(np.where(usable & np.isfinite(ratio), ratio, np.nan)[:, 0])
        norms.append(np.where(own.measured & np.isfinite(own.values), own.values, np.nan)[:, 0])
        layers.append(parameter.name)
    if not columns:
        raise NotJudged("no bias of a dense or convolutional layer with the gradient of its output was recorded")
    table, size = np.stack(columns, axis=1), np.stack(norms, axis=1)
    # A bias before a normalisation has a gradient that is nothing but rounding, cleared or not.
    real = np.asarray([float(np.nanmin(column, initial=np.inf)) > ROUNDING for column in columns])
    if real.any():
        table, size, layers = (
            table[:, real],
            size[:, real],
            [layer for layer, kept in zip(layers, real, strict=True) if kept],
        )
    seen = np.isfinite(table).any(axis=1)
    return steps[seen], np.nanmedian(table[seen], axis=1), np.nanmedian(size[seen], axis=1), tuple(layers)


RULE = Rule(
    slug="gradients-not-cleared",
    family="gradients",
    severity="critical",
    title="Gradients are not cleared",
    needs="2 frames of the gradients of biases and of the outputs of their layers",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
