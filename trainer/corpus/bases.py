"""The configurations that everything in the corpus is a variation of: a recipe, shortened to seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Part = Literal["dev", "locked"]


@dataclass(frozen=True)
class Base:
    """A recipe at the length the corpus trains it.

    Attributes:
        name: unique; first part of the names of its runs.
        part: "dev" or "locked". A recipe belongs to one part, with all that is made of it.
        recipe, overrides: what is trained.
        at_least: the validation score that a healthy run of this length reaches.
        every: cadence of per-layer frames, as `probes.watch` takes it: what people leave alone or set themselves.
        healthy_seeds: how many seeds of it as it stands are healthy runs; seed 0 is what faults are compared with.
    """

    name: str
    part: Part
    recipe: str
    overrides: tuple[str, ...]
    at_least: float
    healthy_seeds: int
    every: int | str = "auto"


def _base(name: str, part: Part, at_least: float, seeds: int, text: str, every: int | str = "auto") -> Base:
    return Base(name, part, name, tuple(text.split()), at_least, seeds, every)


PATCHES = "task.train_per_class=300 task.validation_per_class=100"
TEXT = "task.characters=40000 task.validation_characters=8000 task.length=32 training.batch_size=16"

_ALL = (
    # dense, convolutional and LSTM networks
    _base("digits-softmax", "dev", 0.90, 3, "training.epochs=15"),
    _base("digits-mlp", "dev", 0.92, 4, "training.epochs=15"),
    _base("digits-cnn", "dev", 0.92, 3, "training.epochs=8"),
    _base("digits-lstm", "dev", 0.90, 2, "training.epochs=8"),
    _base("digits-plain-deep", "dev", 0.88, 2, "training.epochs=6"),
    _base("spirals-mlp", "dev", 0.93, 3, "training.epochs=30"),
    _base("wine-mlp", "dev", 0.90, 3, "training.epochs=30"),
    _base("diabetes-mlp", "dev", 0.38, 3, "training.epochs=30"),
    _base("digits-autoencoder", "dev", 0.75, 2, "training.epochs=15"),
    _base("patches-mlp", "dev", 0.50, 2, f"{PATCHES} training.epochs=10"),
    _base("text-lstm", "dev", 0.35, 2, f"{TEXT} training.epochs=6", every=10),
    _base("spirals-svm", "dev", 0.93, 2, "training.epochs=30", every=10),
    _base("wine-selu", "dev", 0.90, 2, "training.epochs=20", every=10),
    _base("digits-imbalanced", "dev", 0.85, 2, "training.epochs=10", every=10),
    # residual, Inception and simple recurrent networks, attention, a GAN; two classes, several labels, fractions,
    # long memory
    _base("blobs-softmax", "locked", 0.96, 3, "training.epochs=15"),
    _base("breast-cancer-mlp", "locked", 0.92, 3, "training.epochs=20"),
    _base("circles-mlp", "locked", 0.94, 3, "training.epochs=40"),
    _base("patches-cnn", "locked", 0.60, 2, f"{PATCHES} training.epochs=6"),
    _base("patches-resnet", "locked", 0.65, 2, f"{PATCHES} training.epochs=5"),
    _base("digits-rnn", "locked", 0.88, 2, "training.epochs=12"),
    _base("digits-transformer", "locked", 0.90, 2, "training.epochs=8"),
    _base("recall-gru", "locked", 0.95, 2, "training.epochs=14"),
    _base("text-transformer", "locked", 0.27, 2, f"{TEXT} training.epochs=6", every=10),
    _base("digits-resnet", "locked", 0.92, 2, "training.epochs=6", every=10),
    _base("digits-alexnet", "locked", 0.85, 2, "training.epochs=8", every=10),
    _base("digits-inception", "locked", 0.90, 1, "training.epochs=4", every=10),
    _base("patches-inception", "locked", 0.65, 1, "training.epochs=5", every=10),
    _base("digits-mislabelled", "locked", 0.82, 2, "training.epochs=8", every=10),
    _base("scenes-cnn", "locked", 0.90, 2, "training.epochs=10", every=10),
    _base("overlaps-cnn", "locked", 0.94, 2, "training.epochs=8", every=10),
    _base("digits-gan", "locked", 0.60, 2, "training.epochs=15", every=10),
)

BASES = {base.name: base for base in _ALL}
