"""The catalogue of rules, by slug. A test compares it with the modules in `probes/diagnosis/rules`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from probes.diagnosis.rule import FAMILIES, Rule
from probes.diagnosis.rules import (
    exploding_gradients,
    nonfinite_values,
    overfitting,
    vanishing_gradients,
)

_MODULES = (
    nonfinite_values,
    vanishing_gradients,
    exploding_gradients,
    overfitting,
)

_ALL = sorted((module.RULE for module in _MODULES), key=lambda rule: FAMILIES.index(rule.family))

RULES: Mapping[str, Rule] = MappingProxyType({rule.slug: rule for rule in _ALL})
"""Slug -> rule, family by family."""
