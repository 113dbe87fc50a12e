"""Recipes with anything in them: each is trained for a step, or refused in one line that names the file."""

from __future__ import annotations

import dataclasses
import random

import pytest

from probes.errors import BabysitError
from trainer import adversarial, loop
from trainer.assembly import assemble
from trainer.faults import FAULTS
from trainer.recipe import _CHOICES, _TABLES, find_recipe, parse_recipe, read_toml
from trainer.schedules import set_learning_rates

QUICK = ("blobs-softmax", "breast-cancer-mlp", "diabetes-mlp", "digits-cnn", "digits-gan", "digits-imbalanced")
QUICK += ("digits-lstm", "digits-mlp", "digits-resnet", "digits-transformer", "recall-gru", "wine-selu")
VALUES = [-1, 0, 1, 2, 3, 7, 100, 0.5, 1.5, -0.5, 1e-30, 1e30, float("nan"), float("inf"), 2**70, True, False]
VALUES += ["", "x", "relu", "none", "auto", [], [0], [1], [2, 3], [8, 8, 8], ["a"], [[1]], [True], {}, {"a": 1}]
VALUES += [["flip", "noise"], [1.5]]


@pytest.mark.parametrize("seed", range(8))
def test_anything_is_trained_or_refused_in_one_line(seed):
    rng = random.Random(seed)
    ends = {"trained": 0, "refused": 0}
    for _ in range(40):
        document = read_toml(find_recipe(rng.choice(QUICK)))
        for _ in range(rng.choice((1, 1, 2, 3))):
            _change(document, rng)
        try:
            parts = assemble(parse_recipe(document, "mine.toml", "mine"))
            inputs, targets = next(iter(parts.batches))
            for optimizer in parts.optimizers:
                set_learning_rates(optimizer, parts.schedule(0, len(parts.batches)))
            if parts.discriminator_optimizer is not None:
                adversarial.take_step(parts, inputs, targets)
            else:
                loop.take_step(parts, parts.model, inputs, targets)
            ends["trained"] += 1
        except BabysitError as error:
            assert str(error).startswith("mine.toml: ") and "\n" not in str(error), document
            ends["refused"] += 1
    assert min(ends.values()) >= 3


def _change(document, rng):
    """Another part, another value for one of its options, or a fault."""
    section = rng.choice([*_CHOICES, *_TABLES])
    table = document.setdefault(section, {})
    if section == "faults":
        table["names"] = rng.sample(sorted(set(FAULTS) - {"slow-data"}), rng.choice((1, 2)))
    elif section in _CHOICES and rng.random() < 0.25:
        document[section] = {"name": rng.choice(sorted(_CHOICES[section][0]))}
    elif section in _CHOICES:
        registry, default = _CHOICES[section]
        part = table.get("name", default)
        table[rng.choice([*(registry[part].types if part in registry else ()), "name", "nmae"])] = rng.choice(VALUES)
    else:
        table[rng.choice([field.name for field in dataclasses.fields(_TABLES[section])])] = rng.choice(VALUES)
