"""All tasks alike: disjoint splits, targets that fit the problem, the same data every time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainer.errors import TaskError
from trainer.losses import PROBLEMS
from trainer.tasks import TASKS
from trainer.tasks.base import Examples, split_stratified
from trainer.tasks.text import python_text, recall, reference_text

# Tasks that need files of the user have modules of tests of their own, and so has photo-patches.
NEED_FILES = [name for name, entry in TASKS.items() if len(entry.defaults) < len(entry.types)]
NAMES = [name for name in TASKS if name not in ("photo-patches", *NEED_FILES)]


@pytest.mark.parametrize("name", NAMES)
def test_task(name):
    task = TASKS[name].make()
    assert task.name == name and task.problem in PROBLEMS and task.source and task.licence
    for split in (task.train, task.validation):
        assert len(split) > 20
        if task.vocabulary is None:
            assert split.inputs.dtype == torch.float32 and torch.isfinite(split.inputs).all()
        else:
            assert split.inputs.dtype == torch.int64
            assert split.inputs.min() >= 0 and split.inputs.max() < task.vocabulary
        if task.problem == "multi-class":
            assert split.targets.dtype == torch.int64
            assert set(split.targets.unique().tolist()) <= set(range(task.outputs))
            assert len(task.classes) == task.outputs
        else:
            assert split.targets.dtype == torch.float32 and split.targets.shape[1] == task.outputs
    again = TASKS[name].make()
    assert task.train.inputs.equal(again.train.inputs) and task.validation.targets.equal(again.validation.targets)


@pytest.mark.parametrize("name", ["digits", "wine", "breast-cancer", "diabetes", "spirals", "circles", "blobs"])
def test_no_example_is_in_both_splits(name):
    task = TASKS[name].make(preprocessing=())
    train = {row.numpy().tobytes() for row in task.train.inputs}
    assert not any(row.numpy().tobytes() in train for row in task.validation.inputs)


def test_stratified_split_keeps_the_shares():
    labels = np.repeat([0, 1, 2], [100, 40, 3])
    train, validation = split_stratified(labels, 0.25, seed=1)
    assert sorted([*train, *validation]) == list(range(143))
    assert np.bincount(labels[validation]).tolist() == [25, 10, 1]


def test_regression_targets_are_standardised_by_the_training_examples():
    targets = TASKS["diabetes"].make().train.targets
    assert targets.mean().item() == pytest.approx(0, abs=1e-5)
    assert targets.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_every_target_of_the_text_is_the_character_that_follows():
    task = python_text(length=10, characters=1000, validation_characters=300)
    text = reference_text()

    def read(codes):
        return "".join(task.classes[c] for c in codes)

    for split, start in ((task.train, 0), (task.validation, 1000)):
        for number, (inputs, targets) in enumerate(zip(split.inputs, split.targets, strict=True)):
            at = start + 10 * number
            assert read(inputs) == text[at : at + 10]
            assert read(targets) == text[at + 1 : at + 11]
    assert len(task.train) == 99 and len(task.validation) == 29


def test_scenes_are_made_of_digits_and_name_those_that_are_there():
    """Cut out of the pictures again, every digit is one of the source's split, with a label that is set."""
    source, task = TASKS["digits"].make(preprocessing=()), TASKS["digit-scenes"].make(preprocessing=(), examples=200)
    for digits, scenes in ((source.train, task.train), (source.validation, task.validation)):
        label_of = dict(zip((d.numpy().tobytes() for d in digits.inputs[:, 0]), digits.targets.tolist(), strict=True))
        filled = 0
        for picture, target in zip(scenes.inputs[:200, 0], scenes.targets[:200], strict=True):
            cells = [cell for row in picture.split(8) for cell in row.split(8, dim=1)]
            there = {label_of[c.contiguous().numpy().tobytes()] for c in cells if c.any()}
            assert set(target.nonzero()[:, 0].tolist()) == there
            filled += sum(bool(c.any()) for c in cells)
        assert 0.43 < filled / 800 < 0.57


def test_overlaps_against_counting_pixels():
    task = TASKS["overlaps"].make(preprocessing=(), examples=300, validation_examples=100)
    for split in (task.train, task.validation):
        for (first, second), target in zip(split.inputs.bool(), split.targets[:, 0].tolist(), strict=True):
            both = sum(bool(a and b) for a, b in zip(first.flatten(), second.flatten(), strict=True))
            either = sum(bool(a or b) for a, b in zip(first.flatten(), second.flatten(), strict=True))
            assert target == pytest.approx(both / either)
    assert task.train.targets.min() < 0.1 and task.train.targets.max() > 0.8


def test_recall_asks_for_the_first_symbol():
    task = recall(length=7)
    assert task.train.targets.equal(task.train.inputs[:, 0])


@pytest.mark.parametrize(
    "options", [{"characters": 10**9}, {"length": 5000, "validation_characters": 5000}, {"characters": 10}]
)
def test_more_text_than_there_is_is_refused(options):
    with pytest.raises(TaskError, match="python-text"):
        python_text(**options)


def test_inputs_and_targets_must_match():
    with pytest.raises(ValueError, match="3 inputs but 2 targets"):
        Examples(torch.zeros(3), torch.zeros(2))
