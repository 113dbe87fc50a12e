"""Fine-tuning: the body of an earlier run, a head of its own, and only the head learns when the body is frozen."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from trainer import checkpoint
from trainer.assembly import assemble
from trainer.errors import RecipeError
from trainer.loop import train
from trainer.recipe import load_recipe


@pytest.fixture(scope="module")
def earlier(tmp_path_factory) -> Path:
    """A short training on digits."""
    run_dir = tmp_path_factory.mktemp("earlier") / "run"
    train(load_recipe("digits-mlp", ["training.epochs=2", "training.threads=1"]), run_dir, watched=False)
    return run_dir


def assembled(run: Path, *overrides: str):
    return assemble(load_recipe("digits-mlp", ["model.name=fine-tuned", f"model.run={run}", *overrides]))


@pytest.mark.parametrize("freeze", [True, False])
def test_the_body_is_the_trained_one_and_the_head_is_new(earlier, freeze):
    trained = torch.load(earlier / checkpoint.FILE, weights_only=True)["model"]
    parts = assembled(earlier, f"model.freeze={str(freeze).lower()}")
    for name, parameter in parts.model.named_parameters():
        is_head = name.startswith("head.")
        assert parameter.equal(trained[name]) != is_head
        assert parameter.requires_grad == (is_head or not freeze)


def test_a_frozen_body_stays_as_it_was(earlier):
    parts = assembled(earlier)
    before = {name: p.detach().clone() for name, p in parts.model.named_parameters()}
    inputs, targets = next(iter(parts.batches))
    parts.loss_fn(parts.model(inputs), targets).backward()
    parts.optimizer.step()
    moved = {name for name, p in parts.model.named_parameters() if not p.equal(before[name])}
    assert moved == {"head.weight", "head.bias"}


def test_runs_that_do_not_do(earlier, tmp_path):
    with pytest.raises(RecipeError, match=r"model.run = '.*nowhere' is no run of this trainer"):
        assembled(tmp_path / "nowhere")
    with pytest.raises(RecipeError, match=r"its 'fc1.weight' does not fit this task, whose inputs are \[3, 16, 16\]"):
        assembled(earlier, "task.name=photo-patches", "task.train_per_class=10", "task.validation_per_class=5")
    copy = tmp_path / "copy"
    shutil.copytree(earlier, copy)
    (copy / checkpoint.FILE).write_bytes(b"damaged")
    with pytest.raises(Exception, match=r"checkpoint\.pt"):
        assembled(copy)
