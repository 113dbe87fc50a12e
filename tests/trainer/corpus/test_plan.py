"""The plan: as large as promised, labelled, and split so that the locked part shares no recipe with the other."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from probes.diagnosis.registry import RULES
from trainer.assembly import assemble
from trainer.corpus import PARTS, planned
from trainer.corpus.bases import BASES
from trainer.corpus.crossed import CROSSED
from trainer.corpus.faulty import PLACES
from trainer.corpus.healthy import VARIANTS
from trainer.faults import FAULTS
from trainer.recipe import load_recipe, recipe_names

RUNS = planned()
# Minutes long; learns with one seed and not with another; there as a variant of digits-cnn.
NOT_IN_THE_CORPUS = {"demo", "digits-plain-twin", "digits-lenet"}


def test_counts():
    assert sum(run.fault is None for run in RUNS) >= 150
    assert sum(run.fault is not None for run in RUNS) >= 300
    for part in PARTS:
        assert sum(run.fault is None for run in RUNS if run.part == part) >= 60
        assert sum(run.fault is not None for run in RUNS if run.part == part) >= 120


# What looks ill and is not: how such a healthy run is known by its name, and how many there are at least.
ODD_BUT_HEALTHY = {
    "warm-up": (r"\.(long-)?warmup\.", 3),
    "cosine to zero": (r"^(spirals-svm|blobs-softmax|digits-softmax)\.cosine\.|^digits-(mlp|cnn)\.as-it-is\.", 8),
    "sparse ReLU nets": (r"wide-sparse|circles-mlp\.relu|alexnet\.no-dropout|digits-mlp\.high-rate", 4),
    "residual nets with small gradients": (r"^(digits|patches)-resnet\.", 10),
    "fine-tuning with frozen layers": (r"\.frozen-body\.", 3),
    "small batches with noisy loss": (r"\.batch-[2-8]\.", 10),
    "long plateaus before a drop": (r"^recall-gru\.", 5),
    "class-weighted losses": (r"^digits-imbalanced\.|\.rare-classes\.|\.weighted\.", 5),
    "GANs": (r"^digits-gan\.", 4),
    "autoencoders": (r"^digits-autoencoder\.", 5),
}


@pytest.mark.parametrize(("pattern", "count"), ODD_BUT_HEALTHY.values(), ids=ODD_BUT_HEALTHY)
def test_what_looks_ill_and_is_not(pattern, count):
    assert sum(run.fault is None and re.search(pattern, run.name) is not None for run in RUNS) >= count


def test_the_cosine_ends_at_zero_and_the_frozen_body_is_frozen():
    """Two of the kinds above, not by name but by what the recipes say."""
    recipes = [load_recipe(run.recipe, run.settings) for run in RUNS if run.fault is None]
    cosine = [r for r in recipes if r.schedule.name == "cosine" and r.schedule.options["final"] == 0.0]
    frozen = [r for r in recipes if r.model.name == "fine-tuned" and r.model.options["freeze"]]
    weighted = [r for r in recipes if r.loss.options.get("balanced") or r.loss.options.get("positive_weight", 1.0) != 1]
    small = [r for r in recipes if r.training.batch_size <= 8]
    assert (len(cosine) >= 50, len(frozen) >= 3, len(weighted) >= 5, len(small) >= 10) == (True,) * 4


# Every mistake that the literature on "why does my loss not go down" lists, and the faults that are it.
LISTED = {
    "learning rate too high, too low": "learning-rate-too-high learning-rate-too-low",
    "zero, constant, too small, too large initialisation": (
        "zero-initialization constant-initialization too-small-initialization too-large-initialization"
    ),
    "sigmoid or tanh too deep": "deep-sigmoid deep-tanh",
    "plain nets too deep": "deep-plain",
    "no normalisation of inputs, wrong scale": "no-normalization inputs-in-255",
    "missing zero_grad": "gradients-never-cleared",
    "optimizer missing a layer": "optimizer-misses-a-layer optimizer-misses-the-head",
    "frozen by accident": "frozen-layers detached-layer",
    "double softmax, missing activation": "double-softmax missing-activations",
    "wrong head for the loss": "wrong-head missing-log-softmax",
    "wrong loss, SUM reduction, wrong sign": "wrong-loss summed-loss maximized-loss",
    "shuffled labels, leaked validation": "shuffled-labels mislabelled-part leaked-validation",
    "evaluation in train mode, other preparation": "never-evaluating validation-prepared-differently",
    "no shuffling, class imbalance": "no-shuffling class-imbalance",
    "tiny data with a large model, too small a model": "tiny-data too-small-model",
    "too much regularisation or dropout": "too-much-weight-decay too-much-dropout clipped-too-hard",
    "batch too small, too large": "batch-too-small batch-too-large",
    "bad schedule": "decays-too-fast rate-grows warmup-never-ends",
    "fp16 underflow, NaN in the data, blank data": "fp16-underflow nan-in-data blank-inputs",
    "exploding RNN, dying ReLU": "exploding-rnn dead-relu",
    "training too short, slow data": "training-too-short slow-data",
}


def test_every_listed_mistake_is_a_fault():
    assert sorted(" ".join(LISTED.values()).split()) == sorted(FAULTS)


def test_names_and_settings_are_unique():
    assert max(Counter(run.name for run in RUNS).values()) == 1
    assert max(Counter((run.recipe, *run.settings) for run in RUNS).values()) == 1


def test_every_fault_is_in_both_parts_and_every_recipe_in_one():
    assert set(PLACES) == set(CROSSED) == set(FAULTS)
    for fault in FAULTS:
        assert {run.part for run in RUNS if run.fault == fault} == set(PARTS), fault
    parts = {recipe: {_half(run) for run in RUNS if run.recipe == recipe} for recipe in recipe_names()}
    assert {recipe for recipe, of in parts.items() if len(of) != 1} == NOT_IN_THE_CORPUS
    assert set(VARIANTS) == set(BASES)


def _half(run):
    return "locked" if run.part == "locked" else "open"


def test_the_crossed_part_is_healthy_variants_with_a_fault_and_with_another_seed():
    crossed = [run for run in RUNS if run.part == "crossed"]
    variants = {(run.recipe, run.overrides) for run in RUNS if run.part == "dev" and run.fault is None}
    as_it_is = {(base.recipe, base.overrides) for base in BASES.values()}
    for run in crossed:
        assert (run.recipe, run.overrides) in variants - as_it_is, run.name
        assert (run.seed == 1) == (run.fault is None), run.name


def test_references_come_first_and_differ_by_the_fault_alone():
    seen = {}
    for run in RUNS:
        seen[run.name] = run
        reference = seen[run.reference]
        assert reference.fault is None
        if run.fault is not None:
            assert (reference.recipe, reference.overrides, reference.seed) == (run.recipe, run.overrides, run.seed)


def test_part_and_pattern():
    dev, crossed, locked = (planned(part) for part in PARTS)
    assert {run.part for run in dev} == {"dev"} and len(dev) + len(crossed) + len(locked) == len(RUNS)
    assert [run.name for run in planned("dev", "wine-mlp.as*")] == [f"wine-mlp.as-it-is.{seed}" for seed in range(3)]


@pytest.mark.parametrize("part", PARTS)
def test_every_recipe_can_be_read(part):
    for run in planned(part):
        recipe = load_recipe(run.recipe, run.settings)
        assert recipe.training.seed == run.seed, run.name
        assert recipe.faults.names == (() if run.fault is None else (run.fault,)), run.name
        assert 0 < run.at_least <= 1, run.name


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_fits_where_it_is_injected(fault):
    for run in RUNS:
        if run.fault == fault and not run.name.startswith(("patches-", "text-")):  # their data take longer to make
            assemble(load_recipe(run.recipe, run.settings))


def test_findings_are_slugs_of_the_catalogue():
    assert {slug for fault in FAULTS.values() for slug in fault.findings} <= SLUGS | set(RULES)


# The catalogue of the design: rules that are being written may be expected before they exist.
CATALOGUE = """
    nonfinite-values vanishing-gradients exploding-gradients missing-gradients gradients-not-cleared
    learning-rate-too-high learning-rate-too-low parameters-not-updated weight-decay-too-strong weights-growing
    dead-units saturated-activations collapsed-activations symmetric-initialization poor-initialization
    unexpected-initial-loss loss-not-decreasing loss-diverging oscillating-loss loss-spikes noisy-loss
    slow-convergence training-too-short overfitting underfitting no-generalization validation-anomaly
    unnormalized-inputs class-imbalance constant-predictions loss-output-mismatch noisy-filters input-bottleneck
    stalled-run
"""
SLUGS = set(CATALOGUE.split())
