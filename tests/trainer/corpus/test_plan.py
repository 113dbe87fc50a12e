"""The plan: as large as promised, labelled, and split so that the locked part shares no recipe with the other."""

from __future__ import annotations

from collections import Counter

import pytest

from probes.diagnosis.registry import RULES
from trainer.assembly import assemble
from trainer.corpus import PARTS, planned
from trainer.corpus.bases import BASES
from trainer.corpus.faulty import PLACES
from trainer.corpus.healthy import VARIANTS
from trainer.faults import FAULTS
from trainer.recipe import load_recipe, recipe_names

RUNS = planned()
NOT_IN_THE_CORPUS = {"demo", "digits-plain-twin"}  # minutes long; learns with one seed, and not with another


def test_counts():
    assert sum(run.fault is None for run in RUNS) >= 150
    assert sum(run.fault is not None for run in RUNS) >= 300
    for part in PARTS:
        assert sum(run.fault is None for run in RUNS if run.part == part) >= 60
        assert sum(run.fault is not None for run in RUNS if run.part == part) >= 120


def test_names_and_settings_are_unique():
    assert max(Counter(run.name for run in RUNS).values()) == 1
    assert max(Counter((run.recipe, *run.settings) for run in RUNS).values()) == 1


def test_every_fault_is_in_both_parts_and_every_recipe_in_one():
    assert set(PLACES) == set(FAULTS)
    for fault in FAULTS:
        assert {run.part for run in RUNS if run.fault == fault} == set(PARTS), fault
    parts = {recipe: {run.part for run in RUNS if run.recipe == recipe} for recipe in recipe_names()}
    assert {recipe for recipe, of in parts.items() if len(of) != 1} == NOT_IN_THE_CORPUS
    assert set(VARIANTS) == set(BASES)


def test_references_come_first_and_differ_by_the_fault_alone():
    seen = {}
    for run in RUNS:
        seen[run.name] = run
        reference = seen[run.reference]
        assert reference.fault is None
        if run.fault is not None:
            assert (reference.recipe, reference.overrides, reference.seed) == (run.recipe, run.overrides, run.seed)


def test_part_and_pattern():
    dev, locked = planned("dev"), planned("locked")
    assert {run.part for run in dev} == {"dev"} and len(dev) + len(locked) == len(RUNS)
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
