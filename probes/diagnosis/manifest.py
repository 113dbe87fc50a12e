"""The model and the optimizers as the manifest describes them, read with tolerance for what is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ADAPTIVE_OPTIMIZERS = frozenset(
    {
        "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta", "SparseAdam",
        "Adafactor", "Lion", "LAMB", "Lamb", "Rprop", "Adam8bit", "AdamW8bit", "PagedAdamW", "FusedAdam",
        "Muon",
    }
)  # fmt: skip
"""Optimizers that scale each update by the gradient's own size: a small gradient does not mean a small
update.
"""


@dataclass(frozen=True)
class ParameterInfo:
    """One parameter tensor."""

    name: str
    module: str
    shape: tuple[int, ...]
    trainable: bool
    dtype: str = ""

    @property
    def coarse(self) -> bool:
        """Whether its values have 12 bits of precision or fewer (float16, bfloat16, float8)."""
        return self.dtype in ("float16", "bfloat16") or self.dtype.startswith("float8")

    @property
    def numel(self) -> int:
        """Elements of the tensor."""
        return math.prod(self.shape)

    @property
    def is_weight(self) -> bool:
        """Whether it is a matrix or kernel (at least two axes), not a bias or a scale."""
        return len(self.shape) >= 2


MANY_CALLS = 8
"""Calls of one module in a frame that the probe looks at; see `probes.instrument.capture`."""


@dataclass(frozen=True)
class ModuleInfo:
    """One module, with its activation function (a slug such as "relu") when it is or holds one.

    Attributes:
        calls: in the passes that train, in one step; `MANY_CALLS` stands for that many or more, None for not known.
    """

    name: str
    type: str
    activation: str | None
    output_shape: tuple[int, ...]
    calls: int | None = None

    @property
    def looks_up(self) -> bool:
        """Whether its weight is a table whose rows are looked up, not summed over."""
        return self.type in ("Embedding", "EmbeddingBag")


@dataclass(frozen=True)
class ModeDependent:
    """A module that computes something else in training than in evaluation.

    Attributes:
        dropped: share of the units that it drops; None for batch normalisation.
        momentum: weight of the newest batch in running averages; None where there are none, or all batches weigh alike.
    """

    name: str
    dropped: float | None
    momentum: float | None


@dataclass(frozen=True)
class OptimizerInfo:
    """One parameter group of one optimizer."""

    type: str
    lr: float | None
    momentum: float
    weight_decay: float
    parameters: tuple[str, ...]
    eps: float | None = None
    initial_lr: float | None = None

    @property
    def adaptive(self) -> bool:
        """Whether its update does not shrink with the gradient."""
        return self.type in ADAPTIVE_OPTIMIZERS

    @property
    def plain(self) -> bool:
        """Whether its update is the learning rate times the gradient, with momentum and weight decay or not."""
        return self.type == "SGD"


BINARY_CROSS_ENTROPIES = ("BCEWithLogitsLoss", "BCELoss")

ALIASES = {
    "cross_entropy": "CrossEntropyLoss",
    "nll_loss": "NLLLoss",
    "binary_cross_entropy": "BCELoss",
    "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
    "mse_loss": "MSELoss",
    "l1_loss": "L1Loss",
    "smooth_l1_loss": "SmoothL1Loss",
    "huber_loss": "HuberLoss",
    "kl_div": "KLDivLoss",
}
"""Function of `torch.nn.functional` -> the module that computes the same."""


@dataclass(frozen=True)
class LossInfo:
    """The loss function.

    Attributes:
        name: class of the module of `torch.nn` that computes it, or what a loss of one's own is called.
        reduction: "mean", "sum", or None where it is neither or not known.
        recognised: told from the gradient at the model's outputs, not given by name. What is logged as the loss may
            then be more than it.
    """

    name: str
    reduction: str | None
    label_smoothing: float = 0.0
    weighted: bool = False
    recognised: bool = False


def read_loss(manifest: Mapping[str, Any]) -> LossInfo | None:
    """The loss that was given or, where none was or its name says nothing, the one that was recognised; None when
    neither is known.
    """
    given, seen = _mapping(manifest.get("loss")), manifest.get("recognised_loss")
    name = str(given.get("class", ""))
    known = ALIASES.get(name, name)
    if isinstance(seen, Mapping) and seen.get("class") and (known not in ALIASES.values() or "reduction" not in given):
        return _loss(str(seen["class"]), seen, recognised=True)
    return _loss(known, given, recognised=False) if known else None


def _loss(name: str, settings: Mapping[str, Any], *, recognised: bool) -> LossInfo:
    reduction = settings.get("reduction")
    smoothing = _number(settings.get("label_smoothing")) or 0.0
    weighted = bool(settings.get("weighted"))
    return LossInfo(name, str(reduction) if reduction else None, smoothing, weighted, recognised)


def read_parameters(manifest: Mapping[str, Any]) -> tuple[ParameterInfo, ...]:
    """The parameters in forward order; empty when the manifest names none."""
    entries = _entries(_mapping(manifest.get("model")).get("parameters"))
    return tuple(
        ParameterInfo(
            name=str(entry.get("name", "")),
            module=str(entry.get("module", "")),
            shape=_shape(entry.get("shape")),
            trainable=bool(entry.get("trainable", True)),
            dtype=str(entry.get("dtype", "")),
        )
        for entry in entries
    )


def read_modules(manifest: Mapping[str, Any]) -> tuple[ModuleInfo, ...]:
    """The modules in forward order; empty when the manifest names none."""
    entries = _entries(_mapping(manifest.get("model")).get("modules"))
    return tuple(
        ModuleInfo(
            name=str(entry.get("name", "")),
            type=str(entry.get("type", "")),
            activation=str(entry["activation"]) if entry.get("activation") else None,
            output_shape=_shape(entry.get("output_shape")),
            calls=entry["calls"] if isinstance(entry.get("calls"), int) else None,
        )
        for entry in entries
    )


def read_mode_dependent(manifest: Mapping[str, Any]) -> tuple[ModeDependent, ...] | None:
    """The modules that depend on the mode; None when the manifest does not say."""
    entries = _mapping(manifest.get("model")).get("mode_dependent")
    if not isinstance(entries, (list, tuple)):
        return None
    return tuple(
        ModeDependent(str(entry.get("name", "")), _number(entry.get("dropped")), _number(entry.get("momentum")))
        for entry in _entries(entries)
    )


def read_optimizers(manifest: Mapping[str, Any]) -> tuple[OptimizerInfo, ...]:
    """Every parameter group of every optimizer, in order; empty when none was given."""
    groups = []
    for optimizer in _entries(manifest.get("optimizers")):
        for group in _entries(optimizer.get("groups")):
            groups.append(
                OptimizerInfo(
                    type=str(optimizer.get("class", "")).rpartition(".")[2],
                    lr=_number(group.get("lr")),
                    momentum=_number(group.get("momentum")) or 0.0,
                    weight_decay=_number(group.get("weight_decay")) or 0.0,
                    parameters=_names(group.get("parameters")),
                    eps=_number(group.get("eps")),
                    initial_lr=_number(group.get("initial_lr")),
                )
            )
    return tuple(groups)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _entries(value: object) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, (list, tuple)) else []


def _names(value: object) -> tuple[str, ...]:
    return tuple(str(name) for name in value) if isinstance(value, (list, tuple)) else ()


def _shape(value: object) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)):
        return ()
    return tuple(int(size) for size in value if isinstance(size, (int, float)))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
