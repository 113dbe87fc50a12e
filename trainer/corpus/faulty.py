"""Which fault is injected where: every fault in both parts, on several networks and tasks it fits."""

from __future__ import annotations

DENSE = "digits-mlp spirals-mlp wine-mlp patches-mlp diabetes-mlp breast-cancer-mlp circles-mlp"
RELU_DENSE = "digits-mlp spirals-mlp wine-mlp patches-mlp breast-cancer-mlp"
CONVOLUTIONAL = "digits-cnn digits-plain-deep patches-cnn patches-resnet"
SEQUENTIAL = "digits-lstm digits-rnn digits-transformer recall-gru"
TEXT = "text-lstm text-transformer"
CLASSES = "digits-mlp spirals-mlp wine-mlp patches-mlp digits-cnn digits-lstm"
CLASSES_LOCKED = "circles-mlp patches-cnn patches-resnet digits-rnn digits-transformer"
NUMBERS = "digits-mlp wine-mlp digits-cnn patches-mlp breast-cancer-mlp patches-resnet digits-rnn digits-transformer"

PLACES: dict[str, str] = {
    "no-normalization": (
        "wine-mlp digits-mlp digits-cnn diabetes-mlp patches-mlp breast-cancer-mlp patches-cnn patches-resnet "
        "digits-rnn"
    ),
    "inputs-in-255": (
        f"{NUMBERS} spirals-mlp circles-mlp patches-cnn digits-autoencoder scenes-cnn overlaps-cnn digits-inception"
    ),
    "shuffled-labels": (
        f"{CLASSES} {CLASSES_LOCKED} breast-cancer-mlp diabetes-mlp recall-gru scenes-cnn overlaps-cnn "
        "digits-alexnet spirals-svm"
    ),
    "leaked-validation": (
        "patches-mlp diabetes-mlp digits-lstm spirals-mlp patches-cnn patches-resnet digits-transformer"
    ),
    "class-imbalance": f"{CLASSES} {CLASSES_LOCKED} recall-gru",
    "tiny-data": f"{CLASSES} {CLASSES_LOCKED} diabetes-mlp breast-cancer-mlp text-lstm",
    "nan-in-data": (
        f"{NUMBERS} diabetes-mlp digits-lstm circles-mlp patches-cnn scenes-cnn digits-alexnet overlaps-cnn"
    ),
    "blank-inputs": f"{CLASSES} {CLASSES_LOCKED} breast-cancer-mlp recall-gru",
    "no-shuffling": f"{CLASSES} {CLASSES_LOCKED}",
    "mislabelled-part": f"{CLASSES} {CLASSES_LOCKED}",
    "validation-prepared-differently": f"{NUMBERS} diabetes-mlp circles-mlp patches-cnn",
    "slow-data": "wine-mlp spirals-mlp blobs-softmax breast-cancer-mlp",
    "fp16-underflow": "spirals-mlp digits-autoencoder patches-mlp breast-cancer-mlp circles-mlp digits-transformer",
    "exploding-rnn": "digits-lstm text-lstm digits-rnn recall-gru",
    "learning-rate-too-high": (
        f"{DENSE} {CONVOLUTIONAL} {SEQUENTIAL} {TEXT} digits-autoencoder digits-resnet digits-alexnet "
        "scenes-cnn overlaps-cnn digits-gan spirals-svm wine-selu"
    ),
    "learning-rate-too-low": (
        f"{DENSE} {CONVOLUTIONAL} {SEQUENTIAL} {TEXT} digits-autoencoder digits-resnet digits-alexnet "
        "scenes-cnn overlaps-cnn digits-gan spirals-svm wine-selu"
    ),
    "zero-initialization": (
        f"{DENSE} {CONVOLUTIONAL} digits-lstm digits-autoencoder scenes-cnn overlaps-cnn digits-gan"
    ),
    "constant-initialization": f"{DENSE} {CONVOLUTIONAL} digits-rnn",
    "too-small-initialization": (
        "digits-cnn digits-plain-deep digits-mlp patches-mlp patches-cnn circles-mlp recall-gru"
    ),
    "too-large-initialization": f"{DENSE} {CONVOLUTIONAL} digits-rnn digits-transformer digits-alexnet scenes-cnn",
    "deep-sigmoid": f"{DENSE} digits-autoencoder",
    "deep-tanh": f"{DENSE} digits-autoencoder",
    "deep-plain": f"{DENSE} digits-plain-deep patches-resnet wine-selu digits-resnet",
    "too-small-model": (
        "digits-mlp digits-cnn spirals-mlp patches-mlp digits-lstm circles-mlp patches-cnn patches-resnet "
        "digits-transformer text-transformer digits-rnn"
    ),
    "too-much-weight-decay": (
        f"{DENSE} {CONVOLUTIONAL} digits-lstm digits-transformer scenes-cnn overlaps-cnn digits-alexnet"
    ),
    "too-much-dropout": (
        "digits-mlp spirals-mlp patches-mlp digits-cnn patches-cnn digits-transformer circles-mlp "
        "text-transformer digits-alexnet digits-imbalanced"
    ),
    "decays-too-fast": (
        "spirals-mlp patches-mlp digits-lstm text-lstm patches-cnn circles-mlp recall-gru digits-rnn "
        "digits-transformer text-transformer"
    ),
    "rate-grows": f"{DENSE} {CONVOLUTIONAL} digits-lstm digits-transformer text-transformer",
    "warmup-never-ends": f"{DENSE} digits-cnn patches-cnn {SEQUENTIAL} {TEXT}",
    "clipped-too-hard": "digits-mlp wine-mlp digits-cnn patches-resnet patches-cnn digits-plain-deep",
    "batch-too-small": "wine-mlp diabetes-mlp digits-mlp breast-cancer-mlp circles-mlp",
    "batch-too-large": f"{DENSE} digits-cnn patches-cnn digits-transformer digits-rnn",
    "training-too-short": (
        "spirals-mlp patches-mlp digits-lstm text-lstm circles-mlp patches-cnn recall-gru digits-rnn "
        "digits-transformer text-transformer"
    ),
    "gradients-never-cleared": f"{DENSE} {CONVOLUTIONAL} digits-lstm digits-transformer scenes-cnn digits-resnet",
    "optimizer-misses-a-layer": (
        "spirals-mlp digits-mlp digits-cnn patches-mlp digits-autoencoder circles-mlp patches-cnn "
        "patches-resnet digits-transformer"
    ),
    "optimizer-misses-the-head": (
        "spirals-mlp digits-mlp digits-cnn digits-lstm circles-mlp patches-cnn digits-rnn recall-gru"
    ),
    "maximized-loss": (
        "digits-mlp spirals-mlp wine-mlp diabetes-mlp breast-cancer-mlp circles-mlp patches-resnet digits-rnn "
        "text-transformer scenes-cnn spirals-svm"
    ),
    "frozen-layers": (
        "spirals-mlp digits-cnn patches-mlp digits-lstm text-lstm circles-mlp patches-cnn digits-rnn "
        "digits-transformer recall-gru text-transformer scenes-cnn digits-imbalanced"
    ),
    "detached-layer": (
        "spirals-mlp digits-mlp digits-cnn patches-mlp digits-autoencoder circles-mlp patches-cnn patches-resnet"
    ),
    "double-softmax": f"{CLASSES} {CLASSES_LOCKED} text-lstm text-transformer",
    "wrong-loss": f"{CLASSES} {CLASSES_LOCKED}",
    "wrong-head": f"{DENSE} digits-cnn digits-autoencoder patches-cnn digits-rnn scenes-cnn spirals-svm",
    "missing-log-softmax": f"{CLASSES} {CLASSES_LOCKED}",
    "summed-loss": (
        f"{DENSE} digits-cnn patches-cnn patches-resnet digits-lstm digits-transformer scenes-cnn overlaps-cnn"
    ),
    "never-evaluating": (
        "patches-mlp diabetes-mlp digits-plain-deep patches-resnet digits-transformer digits-alexnet "
        "digits-resnet digits-imbalanced"
    ),
    "missing-activations": "spirals-mlp digits-cnn patches-mlp circles-mlp patches-cnn",
    "dead-relu": f"{RELU_DENSE} digits-cnn patches-cnn patches-resnet",
}
"""Fault -> the bases it is injected into, at seed 0."""
