"""Imbalance and wrong labels: as many as said, in the training examples alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainer.errors import TaskError
from trainer.tasks import TASKS
from trainer.tasks.variants import with_variants

CLASSIFICATION = ["digits", "spirals", "circles", "blobs", "wine", "breast-cancer"]


def rows(examples) -> list[bytes]:
    return [row.numpy().tobytes() for row in examples.inputs]


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_only_the_training_examples_change(name):
    plain = TASKS[name].make(preprocessing=())
    task = TASKS[name].make(preprocessing=(), imbalance=8.0, mislabelled=0.1)
    assert task.validation.inputs.equal(plain.validation.inputs)
    assert task.validation.targets.equal(plain.validation.targets)
    assert task.train.targets.dtype == plain.train.targets.dtype
    assert task.train.targets.shape[1:] == plain.train.targets.shape[1:]
    assert set(rows(task.train)) < set(rows(plain.train))


def test_the_tail_is_as_long_as_said():
    plain = TASKS["digits"].make().train.targets.bincount().numpy()
    counts = TASKS["digits"].make(imbalance=50.0).train.targets.bincount().numpy()
    np.testing.assert_array_equal(counts, np.round(plain * 50.0 ** (-np.arange(10) / 9)))
    assert counts[0] == plain[0] and counts[9] == round(plain[9] / 50)


def test_labels_stay_with_their_inputs_when_classes_become_rare():
    plain = TASKS["digits"].make(preprocessing=())
    label_of = dict(zip(rows(plain.train), plain.train.targets.tolist(), strict=True))
    task = TASKS["digits"].make(preprocessing=(), imbalance=20.0)
    assert [label_of[row] for row in rows(task.train)] == task.train.targets.tolist()


def test_as_many_labels_are_wrong_as_said_and_in_every_direction():
    plain = TASKS["blobs"].make(examples=8000).train
    noisy = TASKS["blobs"].make(examples=8000, mislabelled=0.3).train
    wrong = plain.targets != noisy.targets
    assert wrong.sum().item() == round(0.3 * len(plain))
    assert noisy.inputs.equal(plain.inputs)
    moves = ((noisy.targets - plain.targets) % 4)[wrong].bincount(minlength=4)
    assert moves[0] == 0 and (moves[1:] > 450).all()  # 1680 over three directions


def test_a_binary_task_has_two_classes():
    plain = TASKS["breast-cancer"].make().train.targets
    noisy = TASKS["breast-cancer"].make(mislabelled=0.25).train.targets
    assert (plain != noisy).sum().item() == round(0.25 * len(plain))
    rare = TASKS["breast-cancer"].make(imbalance=10.0).train.targets
    assert rare.sum().item() == round(plain.sum().item() / 10)
    assert (1 - rare).sum().item() == (1 - plain).sum().item()


def test_seeds_draw_differently_and_the_same_seed_alike():
    first, again, other = (TASKS["spirals"].make(mislabelled=0.2, imbalance=3.0, data_seed=s).train for s in (1, 1, 2))
    assert first.targets.equal(again.targets) and first.inputs.equal(again.inputs)
    assert not first.inputs.equal(other.inputs)


def test_neutral_options_change_nothing():
    task = TASKS["wine"].make()
    assert with_variants(task, 1.0, 0.0, 0) is task


def test_tasks_without_classes_are_refused():
    for name in ("diabetes", "python-text"):
        task = TASKS[name].make()
        with pytest.raises(TaskError, match=f"task {name}: imbalance needs one class an example"):
            with_variants(task, 2.0, 0.0, 0)
        with pytest.raises(TaskError, match=f"task {name}: mislabelled needs one class an example"):
            with_variants(task, 1.0, 0.1, 0)


def test_preprocessing_is_fitted_on_what_is_left():
    inputs = TASKS["wine"].make(imbalance=5.0).train.inputs
    torch.testing.assert_close(inputs.mean(0), torch.zeros(13), atol=1e-4, rtol=0)
