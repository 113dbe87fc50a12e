"""The catalogue of rules, by slug. A test compares it with the modules in `probes/diagnosis/rules`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from probes.diagnosis.rule import FAMILIES, Rule
from probes.diagnosis.rules import (
    class_imbalance,
    collapsed_activations,
    constant_predictions,
    dead_units,
    exploding_gradients,
    gradients_not_cleared,
    input_bottleneck,
    learning_rate_too_high,
    learning_rate_too_low,
    loss_diverging,
    loss_not_decreasing,
    loss_output_mismatch,
    loss_spikes,
    missing_gradients,
    no_generalization,
    noisy_filters,
    noisy_loss,
    nonfinite_values,
    oscillating_loss,
    overfitting,
    parameters_not_updated,
    poor_initialization,
    saturated_activations,
    slow_convergence,
    stalled_run,
    symmetric_initialization,
    training_too_short,
    underfitting,
    unexpected_initial_loss,
    unnormalized_inputs,
    validation_anomaly,
    vanishing_gradients,
    weight_decay_too_strong,
    weights_growing,
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
    weight_decay_too_strong,
    weights_growing,
    dead_units,
    saturated_activations,
    collapsed_activations,
    symmetric_initialization,
    poor_initialization,
    unexpected_initial_loss,
    loss_not_decreasing,
    loss_diverging,
    oscillating_loss,
    loss_spikes,
    noisy_loss,
    slow_convergence,
    training_too_short,
    overfitting,
    underfitting,
    no_generalization,
    validation_anomaly,
    unnormalized_inputs,
    class_imbalance,
    constant_predictions,
    loss_output_mismatch,
    noisy_filters,
    input_bottleneck,
    stalled_run,
)

_ALL = sorted((module.RULE for module in _MODULES), key=lambda rule: FAMILIES.index(rule.family))

RULES: Mapping[str, Rule] = MappingProxyType({rule.slug: rule for rule in _ALL})
"""Slug -> rule, family by family."""
