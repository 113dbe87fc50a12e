"""The engine: what it does with rules that fire, lack data or crash, and with wrong arguments."""

from __future__ import annotations

import json
import pkgutil

import numpy as np
import pytest

import probes.diagnosis.rules
from probes.diagnosis import RULES, Finding, Rule, diagnose
from probes.diagnosis.engine import judge
from probes.diagnosis.finding import SEVERITIES
from probes.diagnosis.rule import FAMILIES
from probes.diagnosis.view import NotJudged, RunView
from probes.errors import BabysitError, InvalidArgumentError, UnknownNameError

SHORT = RunView.of_arrays({"train/loss": ([1, 2, 3], [1.0, 0.9, 0.8])}, name="short")


def made_rule(slug, outcome, severity="critical", first=1, last=3):
    """A rule that raises ``outcome`` when it is an exception, and otherwise reports one finding."""

    def rule_judge(view, **thresholds):
        if isinstance(outcome, Exception):
            raise outcome
        return [rule.finding(severity, f"{outcome} {thresholds}", (first, last), view)]

    def criterion(values, *, limit=1.5):
        return values > limit

    rule = Rule(slug, "loss", "critical", slug.replace("-", " "), "nothing", criterion, rule_judge, "Doc.")
    return rule


def test_the_registry_holds_every_module_of_the_folder_and_nothing_else():
    modules = {m.name.replace("_", "-") for m in pkgutil.iter_modules(probes.diagnosis.rules.__path__)}
    assert set(RULES) == modules
    for slug, rule in RULES.items():
        assert rule.slug == slug
        assert rule.family in FAMILIES
        assert rule.severity in SEVERITIES
        assert rule.title
        assert rule.needs


def test_a_rule_without_data_and_a_crashing_rule_leave_the_others_alone():
    rules = [
        made_rule("a-rule", "seen"),
        made_rule("b-rule", NotJudged("no such series")),
        made_rule("c-rule", ZeroDivisionError("boom")),
    ]
    report = judge(SHORT, rules)
    assert [f.rule for f in report.findings] == ["a-rule"]
    reasons = dict(report.not_judged)
    assert reasons["b-rule"] == "no such series"
    assert "ZeroDivisionError: boom" in reasons["c-rule"]
    assert not report.ok


def test_thresholds_reach_the_rule_in_place_of_the_defaults():
    rule = made_rule("a-rule", "seen")
    assert "{'limit': 1.5}" in judge(SHORT, [rule]).findings[0].message
    assert "{'limit': 7.0}" in judge(SHORT, [rule], {"a-rule": {"limit": 7.0}}).findings[0].message


def test_causes_come_first_and_carry_their_symptoms():
    report = judge(
        SHORT,
        [
            made_rule("class-imbalance", "mild", "warning", first=1),
            made_rule("nonfinite-values", "x", "critical", first=3),
            made_rule("exploding-gradients", "x", "critical", first=2),
            made_rule("learning-rate-too-high", "x", "warning", first=1),
        ],
    )
    story = [(f.rule, f.caused_by) for f in report.findings]
    assert story == [
        ("learning-rate-too-high", None),
        ("exploding-gradients", "learning-rate-too-high"),
        ("nonfinite-values", "exploding-gradients"),
        ("class-imbalance", None),
    ]
    assert [f.rule for f in report.root_causes] == ["learning-rate-too-high", "class-imbalance"]
    assert [f.rule for f in report.symptoms(report.findings[0])] == [
        "exploding-gradients",
        "nonfinite-values",
    ]
    assert report.verdict.startswith("Critical: learning rate too high → exploding gradients → nonfinite values")


def test_a_cause_must_not_begin_after_its_effect():
    late_cause = [made_rule("nonfinite-values", "x", first=1), made_rule("exploding-gradients", "x", first=3)]
    assert all(f.caused_by is None for f in judge(SHORT, late_cause).findings)


def test_information_explains_no_warning_and_a_loop_of_causes_is_cut():
    mild = [made_rule("nonfinite-values", "x"), made_rule("exploding-gradients", "x", "info")]
    assert all(f.caused_by is None for f in judge(SHORT, mild).findings)
    looped = [
        made_rule("vanishing-gradients", "x", first=2),
        made_rule("dead-units", "x", first=2),
        made_rule("exploding-gradients", "x", first=1),
        made_rule("loss-diverging", "x", first=1),
    ]
    report = judge(SHORT, looped)
    assert len(report.findings) == len(looped)
    assert report.root_causes


def test_a_run_in_which_nothing_can_be_judged_is_not_called_healthy():
    report = judge(SHORT, [made_rule("a-rule", NotJudged("no frames"))])
    assert report.ok
    assert report.verdict == "Nothing could be judged: no frames."


def test_the_report_is_plain_json_also_with_nan_in_it():
    steps = np.arange(1, 40)
    view = RunView.of_arrays({"train/loss": (steps, np.where(steps < 20, 1.0, np.nan))})
    document = json.loads(json.dumps(judge(view, RULES.values()).to_dict(), allow_nan=False))
    (finding,) = document["findings"]
    assert finding["rule"] == "nonfinite-values"
    assert finding["evidence"][0]["value"] == "NaN"
    assert document["ok"] is False
    assert {entry["rule"] for entry in document["not_judged"]} | set(document["clear"]) | {"nonfinite-values"} == set(
        RULES
    )


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"rules": ["overfiting"]}, UnknownNameError, "did you mean 'overfitting'"),
        ({"rules": "overfitting"}, InvalidArgumentError, "['overfitting']"),
        ({"at_step": -1}, InvalidArgumentError, "at_step"),
        ({"at_step": True}, InvalidArgumentError, "at_step"),
        ({"thresholds": {"overfitting": 1}}, InvalidArgumentError, "RULE.THRESHOLD"),
        ({"thresholds": {"overfiting.rise": 1}}, UnknownNameError, "did you mean 'overfitting'"),
        ({"thresholds": {"overfitting.ryse": 1}}, UnknownNameError, "did you mean 'rise'"),
        ({"thresholds": {"overfitting.rise": float("nan")}}, InvalidArgumentError, "finite number"),
        ({"thresholds": {"overfitting.rise": "much"}}, InvalidArgumentError, "finite number"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_read(arguments, error, words):
    with pytest.raises(error) as caught:
        diagnose("/no/such/run", **arguments)
    assert isinstance(caught.value, BabysitError)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_finding_says_what_it_is():
    finding = made_rule("a-rule", "seen").judge(SHORT)[0]
    assert isinstance(finding, Finding)
    assert finding.active
    assert finding.to_dict() == {
        "rule": "a-rule",
        "severity": "critical",
        "title": "a rule",
        "layers": [],
        "first_step": 1,
        "last_step": 3,
        "active": True,
        "message": "seen {}",
        "evidence": [],
        "suggestions": [],
        "caused_by": None,
    }
