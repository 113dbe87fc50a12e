"""Which loss is it? By type, by identity, and else by what it computes.

A hand-written wrapper (``lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten())``) is recognised by
comparing its value with the known losses on two random outputs: equal on both means it is that loss.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from probes.checks.losses.evaluate import LossFn, evaluate_loss, loss_name
from probes.checks.trees import main_tensor, replace_main

Kind = Literal[
    "cross-entropy",
    "nll",
    "bce-logits",
    "bce",
    "mse",
    "l1",
    "smooth-l1",
    "huber",
    "kl-div",
    "poisson-nll",
    "focal",
    "multi-margin",
    "soft-margin",
    "custom",
]
CLASS_KINDS = ("cross-entropy", "nll", "focal", "multi-margin")
BINARY_KINDS = ("bce-logits", "bce")
FOCUS = (1.0, 1.5, 2.0, 3.0, 5.0)  # exponents of the focal loss that are in use
REGRESSION_KINDS = ("mse", "l1", "smooth-l1", "huber")


@dataclass(frozen=True)
class LossSpec:
    """A recognised loss and its settings.

    Attributes:
        kind: what it computes; "custom" when it is none of the known ones.
        name: the user's name for it.
        reduction: "mean", "sum" or "none".
        class_dim: dimension of the outputs that runs over classes (class losses only).
        ignore_index: label that is left out (class losses only).
        classes: of a custom loss: whether outputs and targets look like scores and class numbers all the same.
        how: "type", "function" or "behaviour" (recognised by its values).
    """

    kind: Kind
    name: str
    reduction: str = "mean"
    weight: Tensor | None = None
    pos_weight: Tensor | None = None
    ignore_index: int = -100
    label_smoothing: float = 0.0
    class_dim: int = 1
    log_target: bool = False
    log_input: bool = True
    classes: bool = False
    how: str = "type"


_MODULES: dict[type[nn.Module], Kind] = {
    nn.CrossEntropyLoss: "cross-entropy",
    nn.NLLLoss: "nll",
    nn.BCEWithLogitsLoss: "bce-logits",
    nn.MultiLabelSoftMarginLoss: "bce-logits",
    nn.BCELoss: "bce",
    nn.MSELoss: "mse",
    nn.L1Loss: "l1",
    nn.SmoothL1Loss: "smooth-l1",
    nn.HuberLoss: "huber",
    nn.KLDivLoss: "kl-div",
    nn.PoissonNLLLoss: "poisson-nll",
    nn.MultiMarginLoss: "multi-margin",
    nn.SoftMarginLoss: "soft-margin",
}
_FUNCTIONS: dict[Any, Kind] = {
    F.cross_entropy: "cross-entropy",
    F.nll_loss: "nll",
    F.binary_cross_entropy_with_logits: "bce-logits",
    F.multilabel_soft_margin_loss: "bce-logits",
    F.binary_cross_entropy: "bce",
    F.mse_loss: "mse",
    F.l1_loss: "l1",
    F.smooth_l1_loss: "smooth-l1",
    F.huber_loss: "huber",
    F.kl_div: "kl-div",
    F.poisson_nll_loss: "poisson-nll",
    F.multi_margin_loss: "multi-margin",
    F.soft_margin_loss: "soft-margin",
}
_SETTINGS = (
    "reduction",
    "weight",
    "pos_weight",
    "ignore_index",
    "label_smoothing",
    "log_target",
    "log_input",
)


def identify_loss(loss_fn: LossFn, outputs: Any, targets: Any) -> LossSpec:
    """Recognise `loss_fn`; `outputs` and `targets` of one batch are needed where only its values can tell."""
    name = loss_name(loss_fn)
    for module_type, kind in _MODULES.items():
        if isinstance(loss_fn, module_type) and type(loss_fn).forward is module_type.forward:
            return LossSpec(kind, name, how="type", **_settings(lambda key: getattr(loss_fn, key, None)))
    function, keywords = _unwrap_partial(loss_fn)
    known = _FUNCTIONS.get(function) if callable(function) and not isinstance(function, nn.Module) else None
    if known is not None:
        return LossSpec(known, name, how="function", **_settings(keywords.get))
    return _by_behaviour(loss_fn, outputs, targets) or LossSpec("custom", name)


def _settings(read: Callable[[str], Any]) -> dict[str, Any]:
    return {key: value for key in _SETTINGS if (value := read(key)) is not None}


def _unwrap_partial(function: Any) -> tuple[Any, dict[str, Any]]:
    keywords: dict[str, Any] = {}
    while isinstance(function, functools.partial):
        keywords = {**function.keywords, **keywords}
        if function.args:
            return None, {}
        function = function.func
    return function, keywords


def _by_behaviour(loss_fn: LossFn, outputs: Any, targets: Any) -> LossSpec | None:
    main = main_tensor(outputs)
    if main is None or not isinstance(targets, Tensor) or not main.is_floating_point():
        return None
    generator = torch.Generator().manual_seed(0)

    def noise() -> Tensor:
        return torch.randn(main.shape, generator=generator).to(main)

    probes = {
        "logits": [noise(), 2.0 * noise() + 0.3],
        "unit": [torch.sigmoid(noise()), torch.sigmoid(2.0 * noise())],
    }
    with torch.no_grad():
        for domain, samples in probes.items():
            observed = [_value(loss_fn, replace_main(outputs, sample), targets) for sample in samples]
            if any(value is None for value in observed):
                continue
            for spec, twin in _candidates(main, targets, loss_name(loss_fn), domain):
                values = [_value(twin, sample, targets) for sample in samples]
                if all(_close(a, b) for a, b in zip(observed, values, strict=True)):
                    return spec
    return None


def _value(loss_fn: Callable[[Any, Any], Any], outputs: Any, targets: Any) -> float | None:
    try:
        return float(evaluate_loss(loss_fn, outputs, targets))
    except Exception:  # noqa: BLE001 - a candidate that cannot take these shapes is simply not this loss
        return None


def _close(left: float | None, right: float | None) -> bool:
    return left is not None and right is not None and abs(left - right) <= 1e-5 * max(abs(left), abs(right))


def _candidates(
    main: Tensor, targets: Tensor, name: str, domain: str
) -> list[tuple[LossSpec, Callable[[Tensor, Tensor], Tensor]]]:
    found: list[tuple[LossSpec, Callable[[Tensor, Tensor], Tensor]]] = []

    def add(kind: Kind, function: Callable[..., Tensor], flatten: Callable[[Tensor], Tensor], **settings: Any) -> None:
        for reduction in ("mean", "sum"):
            spec = LossSpec(kind, name, reduction=reduction, how="behaviour", **settings)
            keywords = {"reduction": reduction}
            if "ignore_index" in settings:
                keywords["ignore_index"] = settings["ignore_index"]
            found.append((spec, _twin(function, flatten, keywords)))

    if not targets.is_floating_point() and domain == "logits":
        for class_dim in {1, main.dim() - 1}:
            if class_dim >= main.dim() or main.numel() != targets.numel() * main.shape[class_dim]:
                continue

            def rows(o: Tensor, dim: int = class_dim) -> Tensor:
                return o.movedim(dim, -1).reshape(-1, o.shape[dim])

            for ignore in (-100, 0, -1):
                add("cross-entropy", F.cross_entropy, rows, class_dim=class_dim, ignore_index=ignore)
                add("nll", F.nll_loss, rows, class_dim=class_dim, ignore_index=ignore)
            for gamma in FOCUS:
                add("focal", functools.partial(_focal, gamma=gamma), rows, class_dim=class_dim)
    if main.numel() == targets.numel():

        def flat(o: Tensor) -> Tensor:
            return o.reshape(-1)

        def with_float_targets(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
            return lambda o, t, **k: function(o, t.to(o.dtype), **k)

        if domain == "unit":
            add("bce", with_float_targets(F.binary_cross_entropy), flat)
        else:
            add("bce-logits", with_float_targets(F.binary_cross_entropy_with_logits), flat)
            add("mse", with_float_targets(F.mse_loss), flat)
            add("l1", with_float_targets(F.l1_loss), flat)
            add("smooth-l1", with_float_targets(F.smooth_l1_loss), flat)
    return found


def _focal(scores: Tensor, labels: Tensor, gamma: float, reduction: str) -> Tensor:
    """(1 - p)^gamma times the cross-entropy, p the probability of the label (T.-Y. Lin et al. 2017)."""
    losses = F.cross_entropy(scores, labels, reduction="none")
    focused = (1 - (-losses).exp()) ** gamma * losses
    return focused.sum() if reduction == "sum" else focused.mean()


def _twin(
    function: Callable[..., Tensor], flatten: Callable[[Tensor], Tensor], keywords: dict[str, Any]
) -> Callable[[Tensor, Tensor], Tensor]:
    def twin(outputs: Tensor, targets: Tensor) -> Tensor:
        precise = outputs if outputs.dtype == torch.float64 else outputs.float()  # half precision would not compare
        return function(flatten(precise), targets.reshape(-1), **keywords)

    return twin


def looks_like_classes(outputs: Any, targets: list[Any]) -> bool:
    """Whether outputs [N, C] meet targets int [N] that use all of 0 .. C - 1: scores and classes, whatever the loss.

    Embeddings are as wide as there are classes by a rare accident only.
    """
    main = main_tensor(outputs)
    if main is None or main.dim() != 2 or main.shape[1] < 2 or not targets:
        return False
    if not all(isinstance(t, Tensor) and t.dim() == 1 and not t.is_floating_point() for t in targets):
        return False
    if targets[0].shape[0] != main.shape[0]:
        return False
    used = torch.unique(torch.cat([t.cpu() for t in targets]))
    return bool(used.tolist() == list(range(main.shape[1])))


def class_rows(spec: LossSpec, outputs: Any, targets: Any) -> tuple[Tensor, Tensor] | None:
    """Scores [N, C] and labels int64 [N] of a class loss without ignored labels; None for other losses."""
    main = main_tensor(outputs)
    if spec.kind not in CLASS_KINDS or main is None or not isinstance(targets, Tensor):
        return None
    dim = spec.class_dim if main.dim() > 1 else 0
    scores = main.movedim(dim, -1).reshape(-1, main.shape[dim])
    labels = targets
    if targets.is_floating_point():  # class probabilities, the classes along the same dimension
        if targets.shape != main.shape:
            return None
        labels = targets.argmax(dim)
    labels = labels.reshape(-1).long()
    if labels.numel() != scores.shape[0]:
        return None
    keep = labels != spec.ignore_index
    return scores[keep], labels[keep]
