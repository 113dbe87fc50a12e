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

NAMES = [name for name in TASKS if name != "photo-patches"]  # which has a module of tests of its own


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
