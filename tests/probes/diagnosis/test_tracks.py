"""Which series are taken for the training and the validation loss, under the names that people log."""

from __future__ import annotations

import math

import pytest

from probes.diagnosis.tracks import accuracy, training_loss, validation_loss
from probes.diagnosis.view import NotJudged, RunView


def logged(*names: str) -> RunView:
    return RunView.of_arrays({name: ([1, 2, 3], [3.0, 2.0, 1.0]) for name in names})


@pytest.mark.parametrize(
    ("names", "train", "val"),
    [
        (("train/loss", "val/loss"), "train/loss", "val/loss"),
        (("loss/train", "loss/val"), "loss/train", "loss/val"),
        (("losses/train", "losses/test"), "losses/train", "losses/test"),
        (("epoch/loss", "epoch/val_loss"), "epoch/loss", "epoch/val_loss"),
        (("epoch/train_loss", "epoch/valid_loss"), "epoch/train_loss", "epoch/valid_loss"),
        (("metrics/loss_train", "metrics/loss_val"), "metrics/loss_train", "metrics/loss_val"),
        (("train/loss", "train/val_loss"), "train/loss", "train/val_loss"),
        (("train/mape", "val/mape"), "train/mape", "val/mape"),
        (("train/kl", "val/kl"), "train/kl", "val/kl"),
        (("Train/Loss", "Val/Loss"), "Train/Loss", "Val/Loss"),
        (("digits/loss", "digits/number"), "digits/loss", None),
        (("loss/total", "loss/box", "loss/class"), "loss/total", None),
        (("train/loss", "iter/loss"), "train/loss", None),
        (("train/focal", "train/acc"), "train/focal", None),
    ],
)
def test_side_of_a_series_is_told_by_its_name(names: tuple[str, ...], train: str, val: str | None) -> None:
    view = logged(*names)
    assert training_loss(view)[0] == train
    if val is None:
        with pytest.raises(NotJudged):
            validation_loss(view)
    else:
        assert validation_loss(view)[0] == val


@pytest.mark.parametrize(
    "names",
    [
        ("digit/loss", "even/loss"),  # two tasks: neither is the loss
        ("gan/d_loss", "gan/g_loss"),
        ("discriminator/loss",),
        ("dqn/loss",),  # follows its own moving target
        ("critic/value_loss",),
        ("losses/actor", "losses/critic"),
        ("train/elbo", "train/recon", "train/kl"),  # parts of a whole that rises
        ("train/focal", "train/kd"),
        ("train/accuracy", "val/loss"),
        ("optimizer/lr", "data/output_mean"),
    ],
)
def test_no_series_is_taken_for_the_training_loss_where_none_is(names: tuple[str, ...]) -> None:
    with pytest.raises(NotJudged):
        training_loss(logged(*names))


def test_accuracies_by_either_order_of_the_name() -> None:
    view = logged("accuracy/train", "epoch/val_acc")
    train, val = accuracy(view, validation=False), accuracy(view, validation=True)
    assert train is not None and train[0] == "accuracy/train"
    assert val is not None and val[0] == "epoch/val_acc"


def test_a_perplexity_is_read_as_its_logarithm_where_no_loss_is_logged() -> None:
    view = logged("train/ppl", "valid/ppl")
    name, curve = training_loss(view)
    assert name == "log train/ppl"
    assert curve.values.tolist() == pytest.approx([math.log(3), math.log(2), 0.0])
    assert validation_loss(view)[0] == "log valid/ppl"
    assert training_loss(logged("train/loss", "train/perplexity"))[0] == "train/loss"
    with pytest.raises(NotJudged):
        training_loss(logged("train/ppl", "gan/d_loss", "gan/g_loss"))
