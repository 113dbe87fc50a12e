"""A body that was trained before, under a new head."""

from __future__ import annotations

import pytest
import torch

from trainer import checkpoint
from trainer.assembly import assemble
from trainer.errors import RecipeError
from trainer.loop import train
from trainer.recipe import load_recipe

SHORT = ["training.epochs=1", "training.threads=1", "model.widths=[8]"]


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("before") / "run"
    train(load_recipe("wine-mlp", [*SHORT, "training.seed=5"]), run_dir, watched=False)
    return run_dir


def tuned(before, *overrides):
    return assemble(
        load_recipe("wine-mlp", ["model.name=fine-tuned", f"model.run={before}", "training.epochs=1", *overrides])
    )


def test_the_body_is_the_trained_one_and_the_head_is_new(before):
    trained = torch.load(before / checkpoint.FILE, weights_only=True)["model"]
    own = tuned(before).model.state_dict()
    assert own.keys() == trained.keys()
    assert own["fc1.weight"].equal(trained["fc1.weight"]) and own["fc1.bias"].equal(trained["fc1.bias"])
    assert not own["head.weight"].equal(trained["head.weight"])


@pytest.mark.parametrize(("overrides", "moving"), [((), {"head"}), (("model.freeze=false",), {"fc1", "head"})])
def test_what_learns(before, overrides, moving):
    parts = tuned(before, *overrides)
    old = {name: p.detach().clone() for name, p in parts.model.named_parameters()}
    for inputs, targets in parts.batches:
        parts.optimizer.zero_grad()
        parts.loss_fn(parts.model(inputs), targets).backward()
        parts.optimizer.step()
    assert {n.partition(".")[0] for n, p in parts.model.named_parameters() if not p.equal(old[n])} == moving


@pytest.mark.parametrize(("recipe", "words"), [("digits-mlp", "does not fit this task"), ("wine-mlp", None)])
def test_another_task(before, recipe, words):
    overrides = ["model.name=fine-tuned", f"model.run={before}"]
    if words is None:
        assemble(load_recipe(recipe, overrides))
        return
    with pytest.raises(RecipeError, match=words):
        assemble(load_recipe(recipe, overrides))


def test_no_run_there(tmp_path):
    with pytest.raises(RecipeError, match=r"is no run of this trainer: it holds no recipe.toml"):
        tuned(tmp_path)
