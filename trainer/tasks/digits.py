"""Handwritten digits, 8x8 grey: the test set of the UCI optical recognition data, carried by scikit-learn."""

from __future__ import annotations

import numpy as np

from trainer.tasks.base import TASKS, Task, preprocess, split_stratified, take
from trainer.tasks.options import Steps, ValidationFraction
from trainer.tasks.variants import Imbalance, Mislabelled, with_variants
from trainer.typed import NaturalNumber


@TASKS.register("digits")
def digits(
    *,
    preprocessing: Steps = ("standardize",),
    validation_fraction: ValidationFraction = 0.2,
    imbalance: Imbalance = 1.0,
    mislabelled: Mislabelled = 0.0,
    split_seed: NaturalNumber = 0,
) -> Task:
    """1797 handwritten digits, [1, 8, 8] grey, 10 classes."""
    from sklearn.datasets import load_digits  # takes a second to import: only when this task is wanted

    bunch = load_digits()
    images = bunch.images.astype(np.float32)[:, None]
    labels = bunch.target.astype(np.int64)
    train, validation = split_stratified(labels, validation_fraction, split_seed)
    task = Task(
        name="digits",
        problem="multi-class",
        outputs=10,
        classes=tuple(str(d) for d in range(10)),
        train=take(images, labels, train),
        validation=take(images, labels, validation),
        source="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning "
        "Repository (1998); the 1797 test images, as carried by scikit-learn (load_digits)",
        licence="CC BY 4.0",
    )
    return preprocess(with_variants(task, imbalance, mislabelled, split_seed), preprocessing)
