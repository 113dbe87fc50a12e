"""The loss, a weight or an update is NaN or infinite.

What it detects
---------------
A training loss that is NaN or infinite, weights that hold such values, or an update that does. Once a weight
is NaN,
every later output, loss and gradient is NaN as well: the run cannot recover by itself.

Why it matters
--------------
From that step on nothing is learned, and every checkpoint written since is worthless. The step at which it
began is the key to its cause, which is why the first bad step and the last good one are reported.

Criterion
---------
- The training loss is not finite, at a step that a gradient scaler did not skip, and is not finite at the
  end either;
- or weights or applied updates are not finite that were finite in an earlier frame;
- or a gradient scaler skipped `patience` steps in a row (20: a scaler halves its scale at each skip, so 16
  of them take the usual initial scale of 65536 down to 1; more say that no scale can help);
- or a validation loss is not finite in its last `validation` values (3) while training goes on: a warning.

A training loss that was not finite and became finite again did no lasting harm: information below `share`
(1%) of the logged values, a warning above.

Evidence
--------
The first value that is not finite and the last finite one, of the loss; the counts of such elements per
layer in the first frame that has any.

What to try
-----------
1. If loss or gradients grew before: lower the learning rate, clip the gradients, use warm-up.
2. If it came out of calm: look for the logarithm, square root or division whose argument reached zero, in
   the loss first. `torch.autograd.set_detect_anomaly(True)` names the operation; add a small epsilon there,
   or use the fused form (`cross_entropy`, `binary_cross_entropy_with_logits`, `logsumexp`).
3. If it began at the first steps: check the inputs and targets of that batch for NaN and for values out of
   range.
4. In half precision: use a gradient scaler, or bfloat16; keep losses, norms and weights in float32. In float16 the
   `eps` of Adam is zero, and a gradient below 2e-4 has the square zero: the first step is infinite.

When it misleads
----------------
Infinities that are meant, such as masked attention scores or logits of forbidden actions, appear in
activations: activations alone therefore never count. Gradients that overflow at steps a gradient scaler
skips are its normal work. A metric that is not a loss (a perplexity that overflows early on) is not looked
at.

Example that fires
------------------
```python
class LogOfSoftmax(nn.Module):
    def forward(self, logits, targets):
        return -logits.softmax(1).log().gather(1, targets[:, None]).mean()

model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=30.0), loss_fn=LogOfSoftmax())
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_fn=nn.CrossEntropyLoss())
```

References
----------
- Micikevicius et al., Mixed Precision Training, ICLR 2018 (why scalers skip steps).
- PyTorch documentation, Autograd anomaly detection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.gradients import total_norm
from probes.diagnosis.numbers import names, percent, round_rate, short
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import closing, level, opening, trailing_run
from probes.diagnosis.signs.divided import divided_by_nothing
from probes.diagnosis.tracks import training_losses, validation_losses
from probes.diagnosis.view import Curve, Floats, Mask, NotJudged, RunView, Steps


@dataclass(frozen=True)
class Outage:
    """Where a loss is not finite: steps of the first and the last such value, whether it lasts, and how
    many.
    """

    first: int
    last: int
    lasts: bool
    count: int


def criterion(
    steps: Steps,
    values: Floats,
    skipped: Mask,
    *,
    patience: float = 20,
    share: float = 0.01,
    validation: float = 3,
) -> Outage | None:
    """Where a training loss [T] is not finite, leaving out what a gradient scaler skipped; None: nowhere.

    Args:
        steps, values: the loss, [T].
        skipped: True where the scaler skipped the step, [T].
        patience: steps in a row that a scaler may skip (a scaler that starts at 2**16 reaches 1 after 16).
        share: part of all values below which a loss that recovered is only worth a note.
        validation: last values of a validation loss that must not be finite (used by the judge).
    """
    broken = ~np.isfinite(values)
    counted = broken & ~skipped
    if trailing_run(skipped) >= patience:
        counted |= broken
    if not counted.any():
        return None
    where = np.flatnonzero(counted)
    tail = trailing_run(counted | (broken & skipped))
    begin = int(where[where >= len(counted) - tail][0]) if tail and counted[-1] else int(where[0])
    # A loss that has recovered before may do so again: then one broken value at the end does not mean that
    # it lasts.
    lasts = bool(counted[-1]) and (tail >= 3 or begin == where[0])
    first = begin if lasts else int(where[0])
    return Outage(int(steps[first]), int(steps[where[-1]]), lasts, int(counted.sum()))


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge training losses, weights and updates, the scaler, and validation losses; the worst of them is
    reported.
    """
    losses = [(n, c) for n in training_losses(view) if (c := view.series(n)) is not None]
    if not losses and view.layers("weight_norm") is None and view.layers("grad_norm") is None:
        raise NotJudged("no training loss and no weights or gradients were recorded")
    skips = _skipped_steps(view)
    outages = [
        (name, curve, outage)
        for name, curve in losses
        if (outage := criterion(curve.steps, curve.values, _at(curve.steps, skips), **thresholds)) is not None
    ]
    lasting = [item for item in outages if item[2].lasts]
    weights = _broken_weights(view)
    if lasting or weights is not None:
        return [_disaster(view, lasting, weights)]
    stuck = _stuck_scaler(view, thresholds["patience"])
    if stuck is not None:
        return [stuck]
    findings = [_recovered(view, *item, thresholds["share"]) for item in outages[:1]]
    return findings or _validation(view, thresholds["validation"])


def _skipped_steps(view: RunView) -> Steps:
    curve = view.series("optimizer/skipped")
    return curve.steps[curve.values > 0] if curve is not None else np.empty(0, dtype=np.int64)


def _at(steps: Steps, skips: Steps) -> Mask:
    """Which ``steps`` were skipped. A loss logged before the optimizer's step bears the step before it."""
    return np.isin(steps, skips) | np.isin(steps + 1, skips)


def _broken_weights(view: RunView) -> tuple[int, tuple[str, ...], str] | None:
    """(step, layers, kind) of the first frame whose weights or applied updates are newly not finite."""
    found = []
    for kind in ("weight_nonfinite", "weight_norm", "update_norm"):
        table = view.layers(kind)
        if table is None:
            continue
        broken = table.measured & ((table.values > 0) if kind == "weight_nonfinite" else ~np.isfinite(table.values))
        # A parameter that holds an infinity from the start on holds it on purpose (a mask).
        if kind != "update_norm" and len(table) > 1:
            broken &= ~broken[0] | broken.all(axis=1, keepdims=True)
        rows = np.flatnonzero(broken.any(axis=1))
        if len(rows):
            layers = tuple(n for n, bad in zip(table.layers, broken[rows[0]], strict=True) if bad)
            found.append((int(table.steps[rows[0]]), layers, kind))
    return min(found, key=lambda item: item[0], default=None)


def _disaster(
    view: RunView, lasting: list[tuple[str, Curve, Outage]], weights: tuple[int, tuple[str, ...], str] | None
) -> Finding:
    starts = [outage.first for _, _, outage in lasting] + ([weights[0]] if weights else [])
    first = min(starts)
    evidence, layers, seen = [], (weights[1] if weights and weights[0] <= first else ()), []
    for name, curve, outage in lasting:
        bad = int(np.searchsorted(curve.steps, outage.first))
        evidence.append(
            Evidence(name, float(curve.values[bad]), step=outage.first, note="first value that is not finite")
        )
        seen.append(f"{name} is {short(float(curve.values[bad]))} from step {outage.first} on")
        before = curve.until(outage.first - 1).finite
        if len(before):
            last = (int(before.steps[-1]), float(before.values[-1]))
            evidence.append(Evidence(name, last[1], step=last[0], note="last finite value"))
            seen[-1] += f" (last finite value {short(last[1])} at step {last[0]})"
    if weights:
        what = "updates" if weights[2] == "update_norm" else "weights"
        evidence.append(
            Evidence(weights[2], float(len(weights[1])), step=weights[0], layer=weights[1][0], note="layers")
        )
        seen.append(f"{what} of {names(weights[1])} are not finite at step {weights[0]}")
    origin = _first_module(view, first)
    if origin:
        layers = (origin,)
        seen.append(f"the first output that is not finite is that of {origin}")
    divided = divided_by_nothing(view)
    if divided is not None and divided.step <= first:
        eps = "eps" if divided.eps is None else f"eps ({short(divided.eps)})"
        seen.append(
            "the gradients of that step are finite, the step made of them is not: the weights are float16, in which "
            f"the optimizer's {eps} and the squares of small gradients are zero"
        )
        suggestions: tuple[str, ...] = (
            "keep the weights in float32, and use torch.autocast with a GradScaler (or bfloat16) for speed",
            "if the weights must be float16: eps=1e-4 or more",
        )
    else:
        suggestions = _advice(view, first, lasting[0] if lasting else None)
    message = "; ".join(seen) + ". Nothing is learned from there on."
    return RULE.finding(
        "critical",
        message[0].upper() + message[1:] if message.startswith(("weights", "updates")) else message,
        (first, view.last_step),
        view,
        layers=layers,
        evidence=tuple(evidence),
        suggestions=suggestions,
    )


def _first_module(view: RunView, step: int) -> str | None:
    """The first module in forward order whose output broke at ``step`` itself; None when no frame tells.

    A later frame tells nothing: by then the weights are NaN, and the first layer is always the first.
    """
    table = view.layers("activation_nonfinite")
    if table is None:
        return None
    rows = np.flatnonzero(table.steps == step)
    if not len(rows):
        return None
    row = int(rows[0])
    broken = table.measured[row] & (table.values[row] > 0)
    if not broken.any() or broken.all():
        return None
    return table.layers[int(np.argmax(broken))]


def _advice(view: RunView, first: int, worst: tuple[str, Curve, Outage] | None) -> tuple[str, ...]:
    inputs = [view.layers(kind) for kind in ("input_min", "input_max", "input_mean")]
    if any(table is not None and bool((table.measured & ~np.isfinite(table.values)).any()) for table in inputs):
        return ("remove NaN and infinities from the inputs: the batch itself holds them, before the first layer",)
    rate = view.learning_rate(first)
    grew, typical = _grew_before(view, first, worst)
    advice = []
    if grew:
        if rate:
            advice.append(f"lower the learning rate from {short(rate)} to about {round_rate(rate / 10)}")
        else:
            advice.append("lower the learning rate by a factor of ten")
        if typical is not None:
            advice.append(f"clip the gradient norm at about {short(2 * typical)}, twice its usual size before")
        advice.append("raise the learning rate from near zero over the first few hundred steps (warm-up)")
        return tuple(advice)
    if first <= 2:
        advice.append(f"check inputs and targets of the first batches: it is so from step {first} on")
    advice.append(
        "nothing grew before it: look for a logarithm, square root or division that meets zero, in the loss "
        "first; torch.autograd.set_detect_anomaly(True) names the operation"
    )
    if len(_skipped_steps(view)):
        advice.append("compute the loss in float32, or use bfloat16: half precision overflows beyond 65504")
    advice.append(f"check the batch of step {first} for NaN and for targets out of range")
    return tuple(advice)


def _grew_before(view: RunView, first: int, worst: tuple[str, Curve, Outage] | None) -> tuple[bool, float | None]:
    """Whether loss or gradients grew tenfold before step ``first``, and the usual gradient norm."""
    grew, typical = False, None
    table = view.layers("grad_norm")
    if table is not None:
        before = total_norm(table).until(first - 1).finite
        if len(before):
            typical = level(before.values) or None
            grew = bool(before.values[-1] > 10 * opening(before.values)) if len(before) > 1 else False
    if worst is not None:
        before = worst[1].until(first - 1).finite
        if len(before) > 1:
            grew |= bool(closing(before.values, points=1) > 10 * abs(opening(before.values)))
    updates = view.layers("update_ratio")
    if updates is not None and not grew:
        early = updates.until(first)
        ratios = early.values[early.measured & np.isfinite(early.values)]
        grew = bool(len(ratios) and level(early.values[-1]) > 1.0)
    return grew, typical


def _stuck_scaler(view: RunView, patience: float) -> Finding | None:
    curve = view.series("optimizer/skipped")
    if curve is None:
        return None
    # The series may hold the skipped steps only: they are in a row when their numbers are, up to the last
    # step.
    steps = curve.steps[curve.values > 0]
    streak = trailing_run(np.diff(steps) == 1) + 1 if len(steps) and steps[-1] >= view.last_step - 1 else 0
    if streak < patience:
        return None
    first = int(steps[-streak])
    return RULE.finding(
        "critical",
        f"The gradient scaler has skipped the last {streak} steps, since step {first}: their gradients are "
        "not finite at any scale, and no weight changes any more.",
        (first, int(curve.steps[-1])),
        view,
        evidence=(Evidence("optimizer/skipped", streak, patience, ">", first, note="skipped steps in a row"),),
        suggestions=(
            "look for the operation that overflows: torch.autograd.set_detect_anomaly(True) names it",
            "compute the loss and norms in float32, or train in bfloat16",
            "check the inputs and targets since that step for NaN",
        ),
    )


def _recovered(view: RunView, name: str, curve: Curve, outage: Outage, share: float) -> Finding:
    part = outage.count / len(curve)
    severity: Literal["info", "warning"] = "warning" if part >= share and outage.count > 1 else "info"
    return RULE.finding(
        severity,
        f"{name} was not finite in {outage.count} of {len(curve)} values ({percent(part)}), first at step "
        f"{outage.first}, and recovered.",
        (outage.first, outage.last),
        view,
        active=False,
        evidence=(Evidence(name, part, share, ">", outage.first, note="share of values that are not finite"),),
        suggestions=(f"look at the batches of these steps, first of step {outage.first}: NaN, empty, out of range",),
    )


def _validation(view: RunView, values: float) -> list[Finding]:
    for name in validation_losses(view):
        curve = view.series(name)
        if curve is None:
            continue
        streak = trailing_run(~np.isfinite(curve.values))
        if streak >= values:
            first = int(curve.steps[len(curve) - streak])
            return [
                RULE.finding(
                    "warning",
                    f"{name} is not finite in its last {streak} values, since step {first}, while training is finite.",
                    (first, int(curve.steps[-1])),
                    view,
                    active=True,
                    evidence=(Evidence(name, float(curve.values[-1]), step=first, note="not finite"),),
                    suggestions=(
                        "check that the validation set is not empty and holds no NaN",
                        "look for a mean over nothing, or a logarithm of zero, in the validation code",
                    ),
                )
            ]
    return []


RULE = Rule(
    slug="nonfinite-values",
    family="numerics",
    severity="critical",
    title="Values are NaN or infinite",
    needs="a training loss, or frames of weights or gradients",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
