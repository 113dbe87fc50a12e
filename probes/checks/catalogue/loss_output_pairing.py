"""Do the model's last activation, the loss and the kind of target belong together?

**What it does.** Recognises the loss (by type, or by comparing its values with the known losses), looks
at the values the model returns, also with large random weights in the last layer, which shows the last
activation's range whether it is a module or a function; and compares both with what that loss takes:
scores for CrossEntropyLoss and BCEWithLogitsLoss, log-probabilities for NLLLoss, probabilities for
BCELoss, numbers of the targets' shape and range for regression.

**Why it matters.** A softmax before cross-entropy, or a sigmoid before BCEWithLogitsLoss, still trains,
but slowly and to a poor result: the loss can never come near 0. Outputs [N, 1] against targets [N] are
broadcast to [N, N] without a word, and the model learns the mean.

**Criterion.** *Fail*: probabilities where scores are expected (values that stay in [0, 1]); scores where
probabilities or log-probabilities are expected; a single score under cross-entropy; shapes that broadcast (looked
for inside losses of your own too); a last activation that cannot reach the targets (sigmoid, tanh, ReLU, softmax).
*Warn*: ReLU, tanh or dropout behind the scores; class numbers or one-hot rows under a regression loss; a loss
summed over the batch, which multiplies the gradient by the batch size.

**When it misleads.** An activation applied in the loss itself cannot be seen; a summed loss is usual for
variational autoencoders, with a learning rate to match.

**References.** PyTorch documentation of the losses; CS231n notes, "Loss functions"; C. Bishop, "Pattern
recognition and machine learning", 4.3.6 (canonical link functions).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from probes.checks.batches import Batch
from probes.checks.broadcasting import Broadcasts
from probes.checks.context import Context
from probes.checks.double import exact
from probes.checks.errors import NotApplicable
from probes.checks.losses.identify import REGRESSION_KINDS, LossSpec
from probes.checks.modes import is_dropout, train_without_dropout
from probes.checks.outcome import Outcome, failed, passed, warned
from probes.checks.rig import main_output
from probes.checks.trace import Call, trace_forward
from probes.checks.trees import shapes, tensors

TITLE = "Do the model's last activation, the loss and the kind of target belong together?"
FAMILY = "loss"
SHARE = 0.5

Finding = tuple[str, str, str]  # status, message, suggestion

# Ranges that the outputs cannot leave, by the activation that has them.
RANGES: dict[str, tuple[float, float]] = {
    "softmax": (0.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "ReLU": (0.0, math.inf),
    "log-softmax": (-math.inf, 0.0),
}
HUGE = 1e3


def run(context: Context) -> Outcome:
    spec = context.spec()
    if spec.kind == "custom":
        outer = _broadcasts(context)
        if outer:
            return failed(
                f"{outer[0]}: every output is compared with every target",
                "give both one shape: targets.unsqueeze(1), or outputs.squeeze(1)",
                broadcasts=outer,
            )
        raise NotApplicable(
            f"loss_fn ({spec.name}) is none of the known losses: what it takes cannot be told from outside; pass the "
            "torch.nn loss itself if it is one"
        )
    rig = context.rig()
    train_without_dropout(rig.model)
    with torch.no_grad():
        outputs, calls = trace_forward(rig, context.batch)
    main = main_output(outputs)
    if not main.is_floating_point():
        return failed(
            f"the model returns whole numbers ({shapes(main)}), which have no gradient",
            "give the loss the scores, before argmax or rounding",
        )
    last = next((c for c in reversed(calls) if c.output is main or _same(c.output, main)), None)
    bound = last_activation(context, calls, main)
    findings = [*_activation(spec, main, last, bound, context.batch), *_shapes(spec, main, context.batch)]
    if spec.reduction == "sum":
        findings.append(
            (
                "warn",
                f"the loss is summed over the batch: its gradient is {_terms(context.batch)} times that of "
                f"the mean, "
                "and grows with the batch size",
                "use reduction='mean', or divide the learning rate by the batch size",
            )
        )
    evidence = {
        "loss": spec.kind,
        "recognised_by": spec.how,
        "reduction": spec.reduction,
        "last_activation": bound,
        "last_module": type(last.module).__name__ if last else None,
        "output_shape": list(main.shape),
        "output_range": [float(main.min()), float(main.max())],
    }
    for status, report in (("fail", failed), ("warn", warned)):
        matching = [finding for finding in findings if finding[0] == status]
        if matching:
            return report("; ".join(f[1] for f in matching), *(f[2] for f in matching), **evidence)
    behind = f" of {last.name or type(last.module).__name__} ({type(last.module).__name__})" if last else ""
    return passed(f"{spec.name} ({spec.kind}) fits the outputs{behind}", **evidence)


def _broadcasts(context: Context) -> list[str]:
    """What a loss of the user's own blows up by accident."""
    rig = context.rig()
    train_without_dropout(rig.model)
    with torch.no_grad():
        outputs = rig.outputs(context.batch)
        watch = Broadcasts(outputs, context.batch.targets)
        with watch:
            rig.loss_of(outputs, context.batch)
    return watch.found


def _same(left: Tensor, right: Tensor) -> bool:
    """One tensor, or a view of it (a squeezed or reshaped last layer)."""
    return left.numel() == right.numel() and left.data_ptr() == right.data_ptr()


def _terms(batch: Batch) -> str:
    return str(batch.size) if batch.size else "many"


def last_activation(context: Context, calls: list[Call], main: Tensor) -> str | None:
    """What bounds the outputs, by experiment: large random weights in the last layer, and where the outputs go.

    It finds functional activations as well as modules. None for outputs that go everywhere.
    """
    layers = [call for call in calls if call.weighted]
    if not layers or layers[-1].parametrized:  # a normalised weight cannot be made large
        return None
    rig = context.rig()
    train_without_dropout(rig.model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in rig.model.get_submodule(layers[-1].name).parameters(recurse=False):
            parameter.copy_(HUGE * torch.randn(parameter.shape, generator=generator).to(parameter))
        driven = exact(main_output(rig.outputs(context.batch)))
    dim = 1 if driven.dim() > 1 else 0
    if not bool(torch.isfinite(driven).all()) or float(driven.max() - driven.min()) == 0:
        return None
    both = torch.cat([driven.reshape(-1), exact(main).reshape(-1)])
    low, high = float(both.min()), float(both.max())
    classes = {dim, driven.dim() - 1}
    if any(is_probabilities(driven, d) for d in classes):
        return "softmax"
    if any(driven.shape[d] > 1 and float(driven.logsumexp(d).abs().max()) < 1e-3 for d in classes):
        return "log-softmax"
    if low >= 0 and high <= 1:
        return "sigmoid"
    if low >= -1 and high <= 1:
        return "tanh"
    return "ReLU" if low >= 0 else None


def _activation(spec: LossSpec, main: Tensor, last: Call | None, bound: str | None, batch: Batch) -> Iterator[Finding]:
    dim = spec.class_dim if main.dim() > 1 else 0
    if spec.kind in ("cross-entropy", "focal"):
        yield from _cross_entropy(main, dim, bound)
    elif spec.kind == "nll":
        sums = exact(main).logsumexp(dim)
        if bool((main > 1e-3).any()) or float(sums.abs().max()) > 1e-2:
            yield (
                "fail",
                f"NLLLoss takes log-probabilities, the model returns {_what(main, dim)}",
                "end with log_softmax over the class dimension, or use CrossEntropyLoss on the scores",
            )
    elif spec.kind == "bce-logits" and bound in ("sigmoid", "softmax"):
        yield (
            "fail",
            f"the model returns probabilities ({bound}, {_range(main)}), this loss applies the sigmoid itself",
            f"remove the last {bound}, or use BCELoss",
        )
    elif spec.kind == "bce-logits" and bound in ("ReLU", "tanh"):
        yield "warn", f"the scores come from {bound}, which bounds them", "end with the linear layer"
    elif spec.kind in ("multi-margin", "soft-margin") and bound is not None:
        yield "warn", f"the scores come from {bound}, which bounds them ({_range(main)})", "end with the linear layer"
    elif spec.kind == "bce" and bound not in ("sigmoid", "softmax"):
        yield (
            "fail",
            f"BCELoss takes probabilities, the model returns scores ({_range(main)})",
            "use BCEWithLogitsLoss on the scores (numerically safer than a sigmoid here)",
        )
    elif spec.kind in REGRESSION_KINDS:
        yield from _reachable(main, bound, batch)
    if last is not None and is_dropout(last.module):
        yield "warn", f"the outputs come from {last.name} (dropout)", "put dropout before the last layer"


def _cross_entropy(main: Tensor, dim: int, bound: str | None) -> Iterator[Finding]:
    if main.shape[dim] == 1:
        yield (
            "fail",
            "cross-entropy over a single score is always 0",
            "two classes: two outputs, or one output with BCEWithLogitsLoss",
        )
    elif bound == "softmax" or is_probabilities(main, dim):
        yield (
            "fail",
            f"the model returns probabilities ({_range(main)}), this loss applies the softmax itself",
            "remove the last softmax (keep it for predictions only)",
        )
    elif bound == "sigmoid":
        yield (
            "fail",
            f"the scores are squashed by a sigmoid ({_range(main)}), this loss takes unbounded scores",
            "remove the last sigmoid; several labels per example want BCEWithLogitsLoss",
        )
    elif bound in ("ReLU", "tanh"):
        yield "warn", f"the scores come from {bound}, which bounds them: {_range(main)}", "end with the linear layer"


def _reachable(main: Tensor, bound: str | None, batch: Batch) -> Iterator[Finding]:
    targets = batch.targets
    if not isinstance(targets, Tensor):
        return
    low, high = float(targets.min()), float(targets.max())
    floor, ceiling = RANGES.get(bound or "", (-math.inf, math.inf))
    if low < floor - 1e-3 or high > ceiling + 1e-3:
        yield (
            "fail",
            f"the targets go from {low:.4g} to {high:.4g}, which {bound} (range {floor:g} to {ceiling:g}) cannot reach",
            "end with the linear layer, or scale the targets into that range",
        )
    if any(t.shape == targets.shape and bool((t == targets).all()) for t in tensors(batch.inputs)):
        return  # an autoencoder
    if not targets.is_floating_point() and torch.unique(targets).numel() <= 20:
        yield (
            "warn",
            "the targets are whole numbers of few values under a regression loss: class numbers have no distances",
            "classes want CrossEntropyLoss with one score per class",
        )
    elif targets.dim() == 2 and targets.shape[1] > 1 and is_one_hot(targets):
        yield (
            "warn",
            "the targets are one-hot rows under a regression loss, which learns classes slowly",
            "use CrossEntropyLoss with class numbers",
        )


def _shapes(spec: LossSpec, main: Tensor, batch: Batch) -> Iterator[Finding]:
    targets = batch.targets
    elementwise = spec.kind in REGRESSION_KINDS or spec.kind in ("bce", "bce-logits", "poisson-nll")
    if not elementwise or not isinstance(targets, Tensor) or spec.how == "behaviour":
        return
    if main.shape != targets.shape:
        yield (
            "fail",
            f"outputs {list(main.shape)} and targets {list(targets.shape)} differ in shape: the loss "
            f"compares every "
            "output with every target",
            "give both one shape: targets.unsqueeze(1), or outputs.squeeze(1)",
        )


def is_probabilities(main: Tensor, dim: int) -> bool:
    """Whether all values are in [0, 1] and sum to 1 along `dim`."""
    if main.shape[dim] < 2 or float(main.min()) < 0 or float(main.max()) > 1:
        return False
    return float((exact(main).sum(dim) - 1).abs().max()) < 1e-3


def is_one_hot(targets: Tensor) -> bool:
    """Whether each row is zeros and a single one."""
    return bool(torch.all((targets == 0) | (targets == 1))) and bool(torch.all(targets.sum(1) == 1))


def _range(main: Tensor) -> str:
    return f"{float(main.min()):.3g} to {float(main.max()):.3g}"


def _what(main: Tensor, dim: int) -> str:
    return f"{'probabilities' if is_probabilities(main, dim) else 'values'} of {_range(main)}"
