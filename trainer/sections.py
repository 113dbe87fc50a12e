"""What a recipe is, section by section."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from trainer.augmentation import Augmentation
from trainer.precision import PRECISIONS
from trainer.typed import Count, NaturalNumber, NonNegative, OneOf, one_of


@dataclass(frozen=True)
class Choice:
    """One part by name, with all its options (defaults filled in)."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """How the loop runs.

    Attributes:
        epochs, batch_size: as everywhere. The last, smaller batch of an epoch is left out when ``drop_last``.
        seed: initial weights, data order and dropout follow from it.
        shuffle: a new order of the training examples every epoch.
        clip_norm: the global gradient norm is clipped to this; 0 switches clipping off.
        validate_every: epochs between two looks at the validation examples.
        checkpoint_every: epochs between two checkpoints; 0: only at the end and when interrupted.
        patience: stop when the validation loss has not improved for so many looks; 0: never.
        augment: names of augmentations of the training inputs, applied in order.
        threads: CPU threads of torch; 0 leaves torch's choice.
        device: "cpu" or "cuda".
        precision: of the forward pass: "fp32", or mixed precision in "bf16" or "fp16".
        grad_scaler: "fp16" scales the loss, so that small gradients do not underflow.
        l1: times the sum of the magnitudes of all weights is added to the loss.
        average_last: the checkpoints of so many last epochs are averaged at the end; 0: none.
    """

    epochs: Count = 20
    batch_size: Count = 64
    drop_last: bool = True
    seed: NaturalNumber = 0
    shuffle: bool = True
    clip_norm: NonNegative = 0.0
    validate_every: Count = 1
    checkpoint_every: NaturalNumber = 5
    patience: NaturalNumber = 0
    augment: tuple[Augmentation, ...] = ()
    threads: NaturalNumber = 0
    device: Annotated[str, one_of("cpu", "cuda")] = "cpu"
    precision: Annotated[str, one_of(*PRECISIONS)] = "fp32"
    grad_scaler: bool = True
    l1: NonNegative = 0.0
    average_last: NaturalNumber = 0


def _fault_names() -> Iterable[str]:
    from trainer.faults import FAULTS  # faults change recipes: they come after this module

    return FAULTS


@dataclass(frozen=True)
class Faults:
    """Mistakes injected on purpose, by name, in order: see `trainer.faults`."""

    names: tuple[Annotated[str, OneOf(_fault_names)], ...] = ()


@dataclass(frozen=True)
class Fold:
    """Which split of the examples is trained on.

    Attributes:
        of: folds; 0: the task's own split.
        number: the fold that is held out for validation, from 1.
        repeat: which assignment of examples to folds, from 1.
    """

    of: NaturalNumber = 0
    number: Count = 1
    repeat: Count = 1


@dataclass(frozen=True)
class Expect:
    """What a full training of the recipe as it stands shows.

    Attributes:
        at_least: smallest score on the validation examples after the last epoch (share of right answers).
        findings: slugs of the findings `probes.diagnose` should report; empty for a healthy run.
        note: what a person should see.
    """

    at_least: float | None = None
    findings: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Recipe:
    """Everything a training follows from; ``origin`` is what errors call it."""

    name: str
    title: str
    task: Choice
    model: Choice
    loss: Choice
    optimizer: Choice
    schedule: Choice
    training: Training
    faults: Faults
    fold: Fold
    expect: Expect
    origin: str = field(default="the recipe", compare=False)
