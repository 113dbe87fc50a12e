"""Which trainings are measured: recipes as they are, healthy variants of them, and recipes with a fault."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.faults import FAULTS

EPOCHS = {
    "blobs-softmax": 15, "breast-cancer-mlp": 20, "circles-mlp": 60, "demo": 3, "diabetes-mlp": 30,
    "digits-autoencoder": 15, "digits-cnn": 12, "digits-lstm": 10, "digits-mlp": 15, "digits-plain-deep": 6,
    "digits-rnn": 15, "digits-softmax": 20, "digits-transformer": 8, "patches-cnn": 4, "patches-mlp": 8,
    "patches-resnet": 3, "recall-gru": 12, "spirals-mlp": 30, "text-lstm": 6, "text-transformer": 4, "wine-mlp": 30,
}  # fmt: skip
"""Recipe -> epochs that take seconds and show whether it learns."""

FAULTY_RECIPES = ("digits-mlp", "spirals-mlp", "digits-cnn", "wine-mlp", "digits-plain-deep", "digits-lstm")


@dataclass(frozen=True)
class Planned:
    """One training: a recipe, what is set in it, and the fault, if any; ``name`` is unique."""

    name: str
    recipe: str
    overrides: tuple[str, ...] = ()
    fault: str | None = None
    seed: int = 0


_VARIANTS: tuple[tuple[str, str, str], ...] = (
    ("sgd", "digits-mlp", "optimizer.name=sgd optimizer.lr=0.1"),
    ("adam", "digits-mlp", "optimizer.name=adam optimizer.lr=0.003"),
    ("adamw-decay", "digits-mlp", "optimizer.name=adamw optimizer.lr=0.003 optimizer.weight_decay=0.1"),
    ("rmsprop", "digits-mlp", "optimizer.name=rmsprop optimizer.lr=0.001"),
    ("adagrad", "digits-mlp", "optimizer.name=adagrad optimizer.lr=0.02"),
    ("adadelta", "digits-mlp", "optimizer.name=adadelta optimizer.lr=1.0"),
    ("high-rate", "digits-mlp", "optimizer.lr=0.15"),
    ("low-rate", "digits-mlp", "optimizer.lr=0.003 optimizer.weight_decay=0.0"),
    ("batch-8", "digits-mlp", "training.batch_size=8 optimizer.lr=0.01"),
    ("batch-256", "digits-mlp", "training.batch_size=256"),
    ("constant-rate", "digits-mlp", "schedule.name=constant"),
    ("steps", "digits-mlp", "schedule.name=step"),
    ("tanh", "digits-mlp", "model.activation=tanh model.init=xavier-normal"),
    ("sigmoid", "digits-mlp", "model.activation=sigmoid model.init=xavier-normal optimizer.lr=0.2"),
    ("gelu", "digits-mlp", "model.activation=gelu"),
    ("deep-relu", "digits-mlp", "model.widths=[64,64,64,64,64,64]"),
    ("narrow", "digits-mlp", "model.widths=[24]"),
    ("dropout", "digits-mlp", "model.dropout=0.4"),
    ("clipped", "digits-mlp", "training.clip_norm=0.5"),
    ("one-epoch-small-batch", "digits-mlp", "training.epochs=2 training.batch_size=4 optimizer.lr=0.005"),
    ("adam", "digits-cnn", "optimizer.name=adam optimizer.lr=0.002"),
    ("sgd", "digits-cnn", "optimizer.name=sgd optimizer.lr=0.1"),
    ("batch-128", "digits-cnn", "training.batch_size=128"),
    ("long-warmup", "digits-cnn", "schedule.warmup=4.0"),
    ("adamw", "spirals-mlp", "optimizer.name=adamw optimizer.lr=0.005"),
    ("long", "spirals-mlp", "training.epochs=90"),
    ("sgd", "wine-mlp", "optimizer.name=sgd optimizer.lr=0.1"),
    ("full-batch", "wine-mlp", "training.batch_size=128"),
    ("adam", "breast-cancer-mlp", "optimizer.name=adam optimizer.lr=0.003"),
    ("sgd", "diabetes-mlp", "optimizer.name=sgd optimizer.lr=0.02"),
    ("adam", "digits-plain-deep", "optimizer.name=adam optimizer.lr=0.002"),
    ("sgd", "digits-softmax", "optimizer.name=sgd optimizer.lr=0.5"),
    ("adamw", "digits-lstm", "optimizer.name=adamw optimizer.lr=0.01"),
)


def planned(seeds: int = 1) -> list[Planned]:
    """Every training, the quick and telling ones first; what does not fit together is found out by trying."""
    runs = []
    for seed in range(seeds):
        for recipe in EPOCHS:
            runs.append(Planned(f"{recipe}.as-it-is.{seed}", recipe, _epochs(recipe), None, seed))
        for fault in FAULTS:
            runs += [_faulty(FAULTY_RECIPES[n], fault, seed) for n in (0, 1)]
        for label, recipe, text in _VARIANTS:
            runs.append(Planned(f"{recipe}.{label}.{seed}", recipe, (*_epochs(recipe), *text.split()), None, seed))
        for recipe in FAULTY_RECIPES[2:]:
            runs += [_faulty(recipe, fault, seed) for fault in FAULTS]
    return runs


def _faulty(recipe: str, fault: str, seed: int) -> Planned:
    return Planned(f"{recipe}.{fault}.{seed}", recipe, _epochs(recipe), fault, seed)


def _epochs(recipe: str) -> tuple[str, ...]:
    return (f"training.epochs={EPOCHS[recipe]}",)
