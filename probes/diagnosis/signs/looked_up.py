"""A table whose entries are one or two numbers each, through which all that a model reads must pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

from probes.diagnosis.manifest import ModuleInfo
from probes.diagnosis.view import RunView

MANY = 16
"""Entries of a table, for each of the numbers that one is given, that do not fit beside each other there."""


@dataclass(frozen=True)
class Table:
    """A narrow table: its name, how many entries it has, and the numbers of each."""

    name: str
    entries: int
    numbers: int


def narrow_table(view: RunView, limit: int) -> Table | None:
    """The only table of a model, when its entries have ``limit`` numbers or fewer, there are far more of them, and all
    that is looked up for an example becomes that many numbers (the mean, or a single entry) before a dense layer, the
    next one with weights, makes something of it; None otherwise.

    Beside other inputs such a table is a bias, or the linear part of a recommender: there a layer reads more than
    these numbers, or more than what the layers before it give. What reads a sequence one entry at a time may tell
    many apart by two numbers.
    """
    modules = {module.name: module for module in view.modules}
    weights = [p for p in view.parameters if p.is_weight and p.module in modules]
    tables = [p for p in weights if modules[p.module].looks_up]
    if len(tables) != 1 or tables[0] is not weights[0] or len(tables[0].shape) != 2 or len(weights) < 2:
        return None
    entries, numbers = tables[0].shape
    if numbers > limit or entries < MANY * numbers or weights[1].shape[1:2] != (numbers,):
        return None
    order = list(modules)
    given = set[int]()
    for weight in weights[1:]:
        before = [modules[name] for name in order[: order.index(weight.module)]]
        given |= {width for module in before for width in _widths(module)}
        if modules[weight.module].type == "Linear" and weight.shape[1] not in given:
            return None
    reader = modules[weights[1].module]
    alone = reader.type == "Linear" and len(reader.output_shape) == 2
    return Table(tables[0].module, entries, numbers) if alone else None


def _widths(module: ModuleInfo) -> tuple[int, ...]:
    """How many numbers of one example a layer may read of what a module gives: at a place, or all; a channel each."""
    shape = module.output_shape[1:]
    return (shape[-1], shape[0], math.prod(shape)) if shape else ()
