"""Small tables that scikit-learn carries: wine, breast cancer, diabetes."""

from __future__ import annotations

import numpy as np

from trainer.tasks.base import TASKS, Task, preprocess, split_stratified, take
from trainer.tasks.options import Steps, ValidationFraction
from trainer.tasks.variants import Imbalance, Mislabelled, with_variants
from trainer.typed import NaturalNumber


@TASKS.register("wine")
def wine(
    *,
    preprocessing: Steps = ("standardize",),
    validation_fraction: ValidationFraction = 0.25,
    imbalance: Imbalance = 1.0,
    mislabelled: Mislabelled = 0.0,
    split_seed: NaturalNumber = 0,
) -> Task:
    """178 wines, 13 chemical measurements: which of three growers?"""
    from sklearn.datasets import load_wine

    bunch = load_wine()
    labels = bunch.target.astype(np.int64)
    train, validation = split_stratified(labels, validation_fraction, split_seed)
    inputs = bunch.data.astype(np.float32)
    task = Task(
        name="wine",
        problem="multi-class",
        outputs=3,
        classes=tuple(map(str, bunch.target_names)),
        train=take(inputs, labels, train),
        validation=take(inputs, labels, validation),
        source="S. Aeberhard and M. Forina, Wine, UCI Machine Learning Repository (1991); scikit-learn (load_wine)",
        licence="CC BY 4.0",
    )
    return preprocess(with_variants(task, imbalance, mislabelled, split_seed), preprocessing)


@TASKS.register("breast-cancer")
def breast_cancer(
    *,
    preprocessing: Steps = ("standardize",),
    validation_fraction: ValidationFraction = 0.25,
    imbalance: Imbalance = 1.0,
    mislabelled: Mislabelled = 0.0,
    split_seed: NaturalNumber = 0,
) -> Task:
    """569 biopsies, 30 measurements of cell nuclei: benign (1) or malignant (0)? Binary."""
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    train, validation = split_stratified(bunch.target, validation_fraction, split_seed)
    inputs, targets = bunch.data.astype(np.float32), bunch.target.astype(np.float32)[:, None]
    task = Task(
        name="breast-cancer",
        problem="binary",
        outputs=1,
        classes=("malignant", "benign"),
        train=take(inputs, targets, train),
        validation=take(inputs, targets, validation),
        source="W. Wolberg et al., Breast Cancer Wisconsin (Diagnostic), UCI Machine Learning Repository "
        "(1993); scikit-learn (load_breast_cancer)",
        licence="CC BY 4.0",
    )
    return preprocess(with_variants(task, imbalance, mislabelled, split_seed), preprocessing)


@TASKS.register("diabetes")
def diabetes(
    *,
    preprocessing: Steps = ("standardize",),
    validation_fraction: ValidationFraction = 0.25,
    split_seed: NaturalNumber = 0,
) -> Task:
    """442 patients, 10 measurements: how far has the disease gone a year later? Regression, targets
    standardised."""
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=False)
    rows = np.random.default_rng(split_seed).permutation(len(bunch.target))
    held_out = round(validation_fraction * len(rows))
    train, validation = np.sort(rows[held_out:]), np.sort(rows[:held_out])
    progression = bunch.target[train]
    targets = ((bunch.target - progression.mean()) / progression.std()).astype(np.float32)[:, None]
    inputs = bunch.data.astype(np.float32)
    task = Task(
        name="diabetes",
        problem="regression",
        outputs=1,
        classes=(),
        train=take(inputs, targets, train),
        validation=take(inputs, targets, validation),
        source="B. Efron et al., Least Angle Regression, Annals of Statistics (2004); scikit-learn (load_diabetes)",
        licence="distributed with scikit-learn (BSD-3-Clause)",
    )
    return preprocess(task, preprocessing)
