"""Points in the plane, generated: spirals, circles and blobs. Two inputs, so that a network can be drawn."""

from __future__ import annotations

import numpy as np

from trainer.tasks.base import TASKS, Task, preprocess, split_stratified, take
from trainer.tasks.options import Steps
from trainer.tasks.variants import Imbalance, Mislabelled, with_variants
from trainer.typed import Count, NaturalNumber, NonNegative

VALIDATION = 0.3
OWN = "generated; no data set"


@TASKS.register("spirals")
def spirals(
    *,
    examples: Count = 1500,
    classes: Count = 3,
    turns: NonNegative = 0.8,
    noise: NonNegative = 0.05,
    preprocessing: Steps = (),
    imbalance: Imbalance = 1.0,
    mislabelled: Mislabelled = 0.0,
    data_seed: NaturalNumber = 0,
) -> Task:
    """Points on intertwined spirals (CS231n's toy data): which arm?"""
    generator = np.random.default_rng(data_seed)
    labels = np.arange(examples) % classes
    radius = generator.uniform(0.1, 1, examples)
    angle = 2 * np.pi * (labels / classes + turns * radius)
    task = _task("spirals", radius, angle, labels, noise, generator)
    return preprocess(with_variants(task, imbalance, mislabelled, data_seed), preprocessing)


@TASKS.register("circles")
def circles(
    *,
    examples: Count = 1000,
    noise: NonNegative = 0.05,
    preprocessing: Steps = (),
    imbalance: Imbalance = 1.0,
    mislabelled: Mislabelled = 0.0,
    data_seed: NaturalNumber = 0,
) -> Task:
    """Points on two circles, one inside the other: which? No line separates them."""
    generator = np.random.default_rng(data_seed)
    labels = np.arange(examples) % 2
    radius = np.where(labels == 1, 0.5, 1.0)
    task = _task("circles", radius, generator.uniform(0, 2 * np.pi, examples), labels, noise, generator)
    return preprocess(with_variants(task, imbalance, mislabelled, data_seed), preprocessing)


@TASKS.register("blobs")
def blobs(
    *,
    examples: Count = 1000,
    classes: Count = 4,
    noise: NonNegative = 0.15,
    preprocessing: Steps = (),
    imbalance: Imbalance = 1.0,
    mislabelled: Mislabelled = 0.0,
    data_seed: NaturalNumber = 0,
) -> Task:
    """Points around centres on a circle: which centre? Separable by lines."""
    generator = np.random.default_rng(data_seed)
    labels = np.arange(examples) % classes
    task = _task("blobs", np.ones(examples), 2 * np.pi * labels / classes, labels, noise, generator)
    return preprocess(with_variants(task, imbalance, mislabelled, data_seed), preprocessing)


def _task(
    name: str,
    radius: np.ndarray,
    angle: np.ndarray,
    labels: np.ndarray,
    noise: float,
    generator: np.random.Generator,
) -> Task:
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    points = (points + noise * generator.standard_normal(points.shape)).astype(np.float32)
    labels = labels.astype(np.int64)
    train, validation = split_stratified(labels, VALIDATION, seed=0)
    classes = int(labels.max()) + 1
    return Task(
        name=name,
        problem="multi-class",
        outputs=classes,
        classes=tuple(map(str, range(classes))),
        train=take(points, labels, train),
        validation=take(points, labels, validation),
        source=OWN,
        licence=OWN,
    )
