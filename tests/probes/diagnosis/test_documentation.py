"""The docstring of a rule is its documentation: complete, true to the code, and the same in docs/rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.diagnosis import RULES
from probes.diagnosis.causes import CAUSES
from probes.diagnosis.docs import drift, main, write
from probes.diagnosis.text import SECTIONS, markdown, plain, sections

FOLDER = Path(__file__).parents[3] / "docs" / "rules"

CATALOGUE = [
    "nonfinite-values",
    "vanishing-gradients",
    "exploding-gradients",
    "missing-gradients",
    "gradients-not-cleared",
    "learning-rate-too-high",
    "learning-rate-too-low",
    "parameters-not-updated",
    "weight-decay-too-strong",
    "weights-growing",
    "dead-units",
    "saturated-activations",
    "collapsed-activations",
    "symmetric-initialization",
    "poor-initialization",
    "unexpected-initial-loss",
    "loss-not-decreasing",
    "loss-diverging",
    "oscillating-loss",
    "loss-spikes",
    "noisy-loss",
    "slow-convergence",
    "training-too-short",
    "overfitting",
    "underfitting",
    "no-generalization",
    "validation-anomaly",
    "unnormalized-inputs",
    "class-imbalance",
    "constant-predictions",
    "loss-output-mismatch",
    "noisy-filters",
    "input-bottleneck",
    "stalled-run",
]


@pytest.mark.parametrize("rule", RULES.values(), ids=str)
def test_every_rule_is_documented_in_full(rule):
    assert tuple(sections(rule)) == SECTIONS
    assert all(sections(rule).values())
    assert rule.summary.endswith(".")
    assert len(rule.title) < 60
    for name in rule.thresholds:
        assert f"`{name}`" in sections(rule)["Criterion"], f"threshold {name} is not explained"
        assert f"{name}:" in rule.criterion.__doc__, f"threshold {name} has no unit and source"


@pytest.mark.parametrize("rule", RULES.values(), ids=str)
def test_pages_and_terminal_carry_the_whole_text(rule):
    for text in (markdown(rule), plain(rule)):
        assert all(heading in text for heading in SECTIONS)
        assert all(name in text for name in rule.thresholds)


def test_the_pages_in_docs_are_those_of_the_docstrings():
    assert drift(FOLDER) == [], "run: python -m probes.diagnosis.docs"


def test_drift_is_noticed(tmp_path, capsys):
    write(tmp_path)
    assert main(["--check", str(tmp_path)]) == 0
    (tmp_path / "overfitting.md").write_text("old")
    (tmp_path / "README.md").unlink()
    (tmp_path / "no-such-rule.md").write_text("")
    assert main(["--check", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "no-such-rule.md" in told
    assert "overfitting.md: differs" in told
    assert "README.md: missing" in told


def test_causes_name_rules_of_the_catalogue():
    named = set(CAUSES) | {cause for causes in CAUSES.values() for cause in causes}
    assert named <= set(CATALOGUE)
    assert set(RULES) <= set(CATALOGUE)
