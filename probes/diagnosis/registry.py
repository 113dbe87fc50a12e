"""The catalogue of rules, by slug. A test compares it with the modules in `probes/diagnosis/rules`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from probes.diagnosis.rule import FAMILIES, Rule
from probes.diagnosis.rules import (
    class_imbalance,
    constant_predictions,
    dead_units,
    exploding_gradients,
    gradients_not_cleared,
    input_bottleneck,
    learning_rate_too_high,
    learning_rate_too_low,
    loss_diverging,
    loss_not_decreasing,
    missing_gradients,
    no_generalization,
    nonfinite_values,
    overfitting,
    parameters_not_updated,
    poor_initialization,
    saturated_activations,
    stalled_run,
    symmetric_initialization,
    unexpected_initial_loss,
    unnormalized_inputs,
    vanishing_gradients,
)

_MODULES = (
    nonfinite_values,
    vanishing_gradients,
    exploding_gradients,
    missing_gradients,
    gradients_not_cleared,
    learning_rate_too_high,
    learning_rate_too_low,
    parameters_not_updated,
    dead_units,
    saturated_activations,
    symmetric_initialization,
    poor_initialization,
    unexpected_initial_loss,
    loss_not_decreasing,
    loss_diverging,
    overfitting,
    no_generalization,
    unnormalized_inputs,
    class_imbalance,
    constant_predictions,
    input_bottleneck,
    stalled_run,
)

_ALL = sorted((module.RULE for module in _MODULES), key=lambda rule: FAMILIES.index(rule.family))

RULES: Mapping[str, Rule] = MappingProxyType({rule.slug: rule for rule in _ALL})
"""Slug -> rule, family by family."""
