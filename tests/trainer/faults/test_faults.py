"""Every fault does what it says, changes nothing else, and hurts."""

from __future__ import annotations

import math
import time

import pytest
import torch
from torch import nn

from probes.errors import BabysitError
from trainer.assembly import assemble
from trainer.errors import RecipeError
from trainer.faults import FAULTS
from trainer.loop import train, validate
from trainer.parts import Parts
from trainer.recipe import load_recipe

MLP = ["training.threads=1", "training.epochs=6", "model.dropout=0.1"]
DOES_NOT_FIT_AN_MLP = {"exploding-rnn"}
# On an easy task these cost little by the score of a few epochs; each has a test of its own below.
MILD = {
    "too-small-initialization",
    "leaked-validation",
    "never-evaluating",
    "missing-activations",
    "optimizer-misses-a-layer",
    "detached-layer",
    "double-softmax",
    "decays-too-fast",
    "fp16-underflow",
}
SLOW = {"batch-too-small", "slow-data"}


def healthy(*overrides: str) -> Parts:
    return assemble(load_recipe("digits-mlp", [*MLP, *overrides]))


def ill(fault: str, *overrides: str) -> Parts:
    return assemble(load_recipe("digits-mlp", [*MLP, *overrides, f'faults.names=["{fault}"]']))


def step(parts: Parts, inputs: torch.Tensor, targets: torch.Tensor) -> None:
    parts.optimizer.zero_grad()
    parts.loss_fn(parts.model(inputs), targets).backward()
    parts.optimizer.step()


def weights(parts: Parts) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in parts.model.named_parameters()}


@pytest.fixture(scope="module")
def healthy_score(tmp_path_factory) -> float:
    run_dir = tmp_path_factory.mktemp("healthy") / "run"
    return train(load_recipe("digits-mlp", MLP), run_dir, watched=False).score


@pytest.mark.parametrize("name", sorted(set(FAULTS) - MILD - DOES_NOT_FIT_AN_MLP - SLOW))
def test_it_hurts(name, healthy_score, tmp_path):
    recipe = load_recipe("digits-mlp", [*MLP, f'faults.names=["{name}"]'])
    outcome = train(recipe, tmp_path / "run", watched=False)
    assert outcome.score < healthy_score - 0.04


@pytest.mark.parametrize("name", FAULTS)
def test_it_is_described_and_expects_findings(name):
    fault = FAULTS[name]
    assert fault.summary and fault.findings
    assert sum(hook is not None for hook in (fault.recipe, fault.task, fault.parts)) >= 1


# What a fault touches may differ from the healthy parts; everything else must be equal.
TOUCHES = {
    "weights": {
        "zero-initialization",
        "constant-initialization",
        "too-small-initialization",
        "too-large-initialization",
        "deep-sigmoid",
        "deep-tanh",
        "deep-plain",
        "too-small-model",
        "dead-relu",
        "fp16-underflow",
    },
    "train": {"no-normalization", "inputs-in-255", "shuffled-labels", "class-imbalance", "tiny-data", "nan-in-data"}
    | {"blank-inputs", "no-shuffling", "mislabelled-part"},
    "validation": {"no-normalization", "inputs-in-255", "leaked-validation", "blank-inputs"}
    | {"validation-prepared-differently"},
    "lr": {"learning-rate-too-high", "learning-rate-too-low"},
}


@pytest.mark.parametrize("name", sorted(set(FAULTS) - DOES_NOT_FIT_AN_MLP))
def test_it_changes_nothing_else(name):
    good, bad = healthy(), ill(name)
    if name not in TOUCHES["weights"]:
        assert all(value.equal(weights(bad)[key]) for key, value in weights(good).items())
    for split in ("train", "validation"):
        ours, theirs = getattr(good.task, split), getattr(bad.task, split)
        same = len(ours) == len(theirs) and ours.inputs.equal(theirs.inputs) and ours.targets.equal(theirs.targets)
        assert same == (name not in TOUCHES[split])
    rates = [parts.optimizer.param_groups[0]["lr"] for parts in (good, bad)]
    assert (rates[0] == rates[1]) == (name not in TOUCHES["lr"])
    assert bad.batches.examples is bad.task.train


def test_learning_rates_are_off_by_what_is_said():
    lr = healthy().optimizer.param_groups[0]["lr"]
    assert ill("learning-rate-too-high").optimizer.param_groups[0]["lr"] == pytest.approx(100 * lr)
    assert ill("learning-rate-too-low").optimizer.param_groups[0]["lr"] == pytest.approx(lr / 1000)


def test_too_small_weights():
    assert all(v.std() < 0.011 for k, v in weights(ill("too-small-initialization")).items() if "weight" in k)


def test_leaked_validation_is_training_data():
    task = ill("leaked-validation").task
    train = {row.numpy().tobytes() for row in task.train.inputs}
    assert all(row.numpy().tobytes() in train for row in task.validation.inputs)


def test_never_evaluating_leaves_dropout_on():
    good, bad = healthy("model.dropout=0.5"), ill("never-evaluating", "model.dropout=0.5")
    assert validate(good) == validate(good)
    assert validate(bad) != validate(bad)


def test_missing_activations_make_the_model_affine():
    model = ill("missing-activations").model.eval()
    a, b = torch.randn(2, 5, 1, 8, 8)
    zero = model(torch.zeros(5, 1, 8, 8))
    torch.testing.assert_close(model(a + b) + zero, model(a) + model(b), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "moving"),
    [
        ("optimizer-misses-a-layer", {"fc2", "head"}),
        ("optimizer-misses-the-head", {"fc1", "fc2"}),
        ("frozen-layers", {"head"}),
        ("detached-layer", {"fc2", "head"}),
    ],
)
def test_layers_that_do_not_move(name, moving):
    parts = ill(name)
    before = weights(parts)
    for inputs, targets in parts.batches:
        step(parts, inputs, targets)
    after = weights(parts)
    assert {key.partition(".")[0] for key in before if not before[key].equal(after[key])} == moving


def test_gradients_add_up():
    parts = ill("gradients-never-cleared")
    inputs, targets = next(iter(parts.batches))
    parts.model.eval()  # no dropout: the same gradient twice
    seen = []
    for _ in range(2):
        parts.optimizer.zero_grad()
        parts.loss_fn(parts.model(inputs), targets).backward()
        seen.append([p.grad.clone() for p in parts.model.parameters()])
    for once, twice in zip(*seen, strict=True):
        torch.testing.assert_close(twice, 2 * once)


def test_double_softmax_cannot_come_near_zero_loss():
    parts = ill("double-softmax")
    outputs = parts.model(parts.task.train.inputs[:9])
    torch.testing.assert_close(outputs.sum(1), torch.ones(9))
    certain = nn.functional.one_hot(torch.arange(9), 10).float()
    floor = math.log(math.e + 9) - 1
    assert parts.loss_fn(certain, torch.arange(9)).item() == pytest.approx(floor, rel=1e-5)


def test_double_softmax_of_a_model_that_is_no_sequence():
    parts = assemble(load_recipe("digits-lstm", ['faults.names=["double-softmax"]']))
    torch.testing.assert_close(parts.model(parts.task.train.inputs[:9]).sum(1), torch.ones(9))


def test_summed_loss_is_the_batch_times_the_mean():
    good, bad = healthy(), ill("summed-loss")
    scores, targets = torch.randn(32, 10), torch.arange(32) % 10
    assert bad.loss_fn(scores, targets).item() == pytest.approx(32 * good.loss_fn(scores, targets).item(), rel=1e-5)


def test_decays_too_fast():
    parts = ill("decays-too-fast")
    assert [parts.schedule(44 * epoch, 44) for epoch in range(3)] == pytest.approx([1, 0.1, 0.01])


def test_growing_and_never_ending_schedules():
    grows, warms = ill("rate-grows"), ill("warmup-never-ends")
    assert [grows.schedule(44 * epoch, 44) for epoch in (0, 3, 6)] == pytest.approx([1, 1000**0.5, 1000])
    assert 0 < warms.schedule(0, 44) < warms.schedule(6 * 44 - 1, 44) < 0.0011


def test_all_examples_in_one_batch():
    batches = ill("batch-too-large").batches
    assert len(batches) == 1
    assert sum(len(targets) for _, targets in batches) == len(ill("batch-too-large").task.train)


def test_mislabelled_part():
    good, bad = healthy().task.train.targets, ill("mislabelled-part").task.train.targets
    assert (good != bad).float().mean().item() == pytest.approx(0.6, abs=0.05)
    assert bad.unique().equal(good.unique())


def test_a_maximized_loss_climbs():
    parts = ill("maximized-loss")
    inputs, targets = next(iter(parts.batches))
    parts.model.eval()
    losses = []
    for _ in range(3):
        losses.append(parts.loss_fn(parts.model(inputs), targets).item())
        step(parts, inputs, targets)
    assert losses[0] < losses[1] < losses[2]


def test_the_likelihood_of_scores_is_minus_the_score_of_the_class():
    scores, targets = torch.tensor([[1.0, 5.0], [2.0, -3.0]]), torch.tensor([1, 0])
    assert ill("missing-log-softmax").loss_fn(scores, targets).item() == -3.5


def test_wrong_heads():
    assert (ill("wrong-head").model(torch.randn(8, 1, 8, 8)) >= 0).all()
    for recipe in ("breast-cancer-mlp", "diabetes-mlp"):
        parts = assemble(load_recipe(recipe, ['faults.names=["wrong-head"]']))
        outputs = parts.model(parts.task.train.inputs)
        assert ((outputs > 0) & (outputs < 1)).all()


def test_half_precision_loses_small_updates_and_its_adam_divides_by_zero():
    inputs, targets = next(iter(healthy().batches))
    moved = []
    for parts in (healthy(), ill("fp16-underflow")):
        head = parts.model.head.weight
        parts.optimizer.param_groups[0].update(lr=1e-7, weight_decay=0.0)
        before = head.detach().clone()
        step(parts, inputs, targets)
        moved.append(not head.equal(before))
    assert moved == [True, False]
    adam = ill("fp16-underflow", "optimizer.name=adam")
    step(adam, torch.zeros_like(inputs), targets)  # no gradient in the first layer: 0 / (sqrt(0) + eps)
    assert adam.model.fc1.weight.isnan().all()


def test_recurrent_weights_are_eight_times_too_large():
    good, bad = (assemble(load_recipe("digits-rnn", [f"faults.names={f}"])) for f in ("[]", '["exploding-rnn"]'))
    assert bad.model.rnn.weight_hh_l0.equal(8 * good.model.rnn.weight_hh_l0)
    assert bad.model.rnn.weight_ih_l0.equal(good.model.rnn.weight_ih_l0)
    assert good.settings.clip_norm == 1 and bad.settings.clip_norm == 0


def test_slow_data_are_the_same_data_later():
    good, bad = healthy(), ill("slow-data")
    started = time.monotonic()
    first = next(iter(bad.batches))
    assert time.monotonic() - started >= 0.03
    assert all(a.equal(b) for a, b in zip(first, next(iter(good.batches)), strict=True))


def test_batch_too_small_and_too_short():
    assert len(ill("batch-too-small").batches) == 1438
    assert ill("training-too-short").settings.epochs == 1


def test_class_imbalance_is_that_of_the_training_examples_only():
    task = ill("class-imbalance").task
    kept = len(task.train.inputs.unique(dim=0))
    counts = task.train.targets.bincount(minlength=10)
    assert counts.sum() == 1438 > 5 * kept
    assert counts[0] > 1000 and (counts[1:] > 0).all() and (counts[1:] < 100).all()
    assert (task.validation.targets.bincount() > 30).all()


def test_no_shuffling_is_by_class_every_epoch():
    parts = ill("no-shuffling")
    for epoch in (0, 3):
        seen = torch.cat([targets for _, targets in parts.batches.epoch(epoch)])
        assert (seen.diff() >= 0).all()


def test_deep_plain_gradients_vanish():
    norms = []
    for faults in ("[]", '["deep-plain"]'):
        parts = assemble(load_recipe("digits-plain-deep", ["training.threads=1", f"faults.names={faults}"]))
        inputs, targets = next(iter(parts.batches))
        parts.loss_fn(parts.model(inputs), targets).backward()
        norms.append(parts.model.conv1.weight.grad.norm())
    assert norms[1] < 1e-6 * norms[0]


@pytest.mark.parametrize(
    ("recipe", "fault", "words"),
    [
        ("digits-lstm", "deep-plain", "model.widths"),
        ("digits-softmax", "optimizer-misses-a-layer", "more than one layer"),
        ("digits-softmax", "detached-layer", "more than one layer"),
        ("diabetes-mlp", "double-softmax", "classes"),
        ("diabetes-mlp", "missing-log-softmax", "classes"),
        ("digits-mlp", "exploding-rnn", "recurrent"),
        ("text-lstm", "validation-prepared-differently", "symbols"),
        ("text-lstm", "inputs-in-255", "symbols"),
        ("text-lstm", "class-imbalance", "one class an example"),
        ("diabetes-mlp", "no-shuffling", "one class an example"),
        ("circles-mlp", "dead-relu", "ReLU"),
        # What would change nothing is refused, too.
        ("digits-gan", "shuffled-labels", "targets that differ"),
        ("spirals-mlp", "no-normalization", "task.preprocessing"),
        ("digits-mlp", "never-evaluating", "dropout or batch normalisation"),
        ("digits-softmax", "frozen-layers", "more than one layer"),
        ("digits-softmax", "missing-activations", "layers of activations"),
        ("digits-gan", "fp16-underflow", "a GAN has two"),
    ],
)
def test_a_fault_that_does_not_fit_says_so(recipe, fault, words):
    with pytest.raises(RecipeError, match=words) as error:
        assemble(load_recipe(recipe, [f'faults.names=["{fault}"]']))
    assert f"'{fault}'" in str(error.value)


def test_an_unknown_fault_is_named():
    with pytest.raises(BabysitError, match=r"faults.names: found 'dead-relus', did you mean 'dead-relu'"):
        load_recipe("digits-mlp", ['faults.names=["dead-relus"]'])


def test_two_faults_at_once():
    parts = assemble(load_recipe("digits-mlp", [*MLP, 'faults.names=["tiny-data", "summed-loss"]']))
    assert len(parts.task.train.inputs.unique(dim=0)) == 60 and parts.loss_fn.reduction == "sum"


def test_half_precision_is_not_mixed_precision():
    with pytest.raises(RecipeError, match=r"needs training.precision = 'fp32', not 'bf16'"):
        ill("fp16-underflow", "training.precision=bf16")


def test_half_precision_where_a_layer_has_none_is_refused():
    """Local response normalisation has no float16 on many CPUs: said at once, not in the first step."""

    def parts() -> Parts:
        return assemble(load_recipe("digits-alexnet", ['faults.names=["fp16-underflow"]']))

    try:
        nn.LocalResponseNorm(3)(torch.ones(1, 4, 2, 2).half())
    except RuntimeError:
        with pytest.raises(RecipeError, match="cannot compute it in float16 here"):
            parts()
    else:
        inputs, targets = next(iter(parts().batches))
        step(parts(), inputs, targets)


def test_the_head_that_a_gans_generator_misses_is_its_own():
    parts = assemble(load_recipe("digits-gan", ['faults.names=["optimizer-misses-the-head"]']))
    known = {id(p) for p in parts.optimizer.param_groups[0]["params"]}
    missed = {name.rpartition(".")[0] for name, p in parts.model.generator.named_parameters() if id(p) not in known}
    assert missed == {"head"}


def test_a_cut_before_group_normalisation_is_refused():
    """torch ends the process in its backward pass."""
    settings = ['faults.names=["detached-layer"]', "model.norm=layer"]
    with pytest.raises(RecipeError, match="'detached-layer' does not fit a model with group normalisation"):
        assemble(load_recipe("digits-plain-deep", settings))
