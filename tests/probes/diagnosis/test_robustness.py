"""Every rule on runs that are broken, empty, huge or full of holes: a sound report, never a crash."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

PARAMETER_KINDS = (
    "weight_norm", "grad_norm", "update_norm", "update_ratio", "weight_mean", "weight_std", "weight_min", "weight_max",
    "grad_mean", "grad_std", "grad_max_abs", "weight_zero_fraction", "grad_zero_fraction", "weight_nonfinite",
    "grad_nonfinite",
)  # fmt: skip
MODULE_KINDS = (
    "activation_mean", "activation_std", "activation_max_abs", "zero_fraction", "dead_fraction", "saturated_fraction",
    "activation_nonfinite", "activation_grad_norm", "activation_grad_std", "activation_grad_zero_fraction",
    "batch_variation",
)  # fmt: skip


def run(steps, layers, fill, *, series=True, every=1, status="finished", at_step=None):
    """A run whose every value is ``fill(shape)``."""
    steps = np.asarray(steps, dtype=np.int64)
    frames = steps[::every]
    parameters = [f"layer{i}.weight" for i in range(layers)]
    modules = [f"layer{i}" for i in range(layers)]
    tables = {k: (parameters, frames, fill((len(frames), layers))) for k in PARAMETER_KINDS}
    tables |= {k: (modules, frames, fill((len(frames), layers))) for k in MODULE_KINDS}
    names = ("train/loss", "val/loss", "train/accuracy", "val/accuracy", "optimizer/lr", "system/step_time",
             "system/data_wait", "optimizer/skipped")  # fmt: skip
    manifest = {
        "model": {
            "parameters": [{"name": p, "module": m, "shape": [8, 8], "trainable": True}
                           for p, m in zip(parameters, modules, strict=True)],
            "modules": [{"name": m, "type": "ReLU", "activation": "relu", "output_shape": [4, 8], "parameters": []}
                        for m in modules],
        },
        "optimizers": [{"class": "SGD", "groups": [{"lr": 0.1, "parameters": parameters}]}],
        "loss": {"class": "CrossEntropyLoss"},
        "data": {"classes": 10},
    }  # fmt: skip
    curves = {n: (steps, fill(len(steps))) for n in names} if series else {}
    return RunView.of_arrays(curves, tables, manifest=manifest, status=status, at_step=at_step)


def assert_sound(report):
    assert not [r for r in report.not_judged if "failed" in r.reason]
    assert len(report.clear) + len(report.not_judged) + len({f.rule for f in report.findings}) == len(RULES)
    for finding in report.findings:
        assert finding.first_step <= finding.last_step <= report.step
        assert finding.message
        assert finding.suggestions


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, 1.0, -1.0, 1e300])
@pytest.mark.parametrize("steps", [range(1, 2), range(1, 6), range(1, 200)])
def test_the_same_value_everywhere(value, steps):
    report = judge(run(steps, 6, lambda shape: np.full(shape, value)), RULES.values())
    assert_sound(report)
    if not np.isfinite(value):
        assert report.findings[0].severity == "critical"


def test_a_run_with_nothing_in_it_is_not_judged_by_any_rule():
    report = judge(RunView.of_arrays(), RULES.values())
    assert_sound(report)
    assert {rule for rule, _ in report.not_judged} == set(RULES)
    assert "Nothing could be judged" in report.verdict


def test_a_run_with_only_a_loss():
    steps = np.arange(1, 300)
    report = judge(RunView.of_arrays({"train/loss": (steps, 2.3 / np.sqrt(steps))}), RULES.values())
    assert_sound(report)
    assert report.ok
    assert "vanishing-gradients" in {rule for rule, _ in report.not_judged}


def test_a_manifest_of_another_kind_is_survived():
    for manifest in (
        {},
        {"model": None},
        {"model": {"parameters": [1, None], "modules": "x"}},
        {"optimizers": [{}]},
    ):
        view = run(range(1, 50), 5, lambda shape: np.random.default_rng(0).random(shape))
        view.manifest = manifest
        assert_sound(judge(view, RULES.values()))


def test_two_thousand_layers_and_a_thousand_frames_are_judged_in_seconds():
    rng = np.random.default_rng(0)
    started = time.process_time()
    report = judge(run(range(1, 1001), 2000, lambda shape: rng.random(shape), every=5), RULES.values())
    assert_sound(report)
    # A bound with a wide margin (it takes about a second): what matters is that nothing is quadratic in the
    # layers.
    assert time.process_time() - started < 60


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(1, 120),
    layers=st.integers(1, 9),
    every=st.integers(1, 9),
    bad=st.floats(0, 0.5),
    scale=st.integers(-30, 30),
    cut=st.one_of(st.none(), st.integers(0, 300)),
)
def test_any_values_with_gaps_and_holes(seed, length, layers, every, bad, scale, cut):
    rng = np.random.default_rng(seed)
    steps = np.sort(rng.choice(np.arange(0, 400), size=length, replace=False))

    def fill(shape):
        values = rng.standard_normal(shape) * 10.0 ** rng.integers(-abs(scale), abs(scale) + 1, shape)
        holes = rng.random(shape)
        return np.where(holes < bad, rng.choice([np.nan, np.inf, -np.inf, 0.0], size=shape), values)

    view = run(steps, layers, fill, every=every, status="crashed", at_step=cut)
    for kind in (*PARAMETER_KINDS, *MODULE_KINDS):
        table = view._read_layers(kind)
        table.measured[rng.random(table.measured.shape) < bad] = False
    assert_sound(judge(view, RULES.values()))


def test_replay_sees_nothing_of_what_came_later():
    steps = np.arange(1, 101)
    loss = np.where(steps < 60, 1.0, np.nan)
    full = RunView.of_arrays({"train/loss": (steps, loss)})
    cut = RunView.of_arrays({"train/loss": (steps, loss)}, at_step=59)
    assert judge(full, RULES.values()).findings[0].first_step == 60
    assert judge(cut, RULES.values()).ok
    assert len(cut.series("train/loss")) == 59
