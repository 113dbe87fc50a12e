"""The header's facts and the banner's verdict."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app.series.facts import Facts, explanation, facts, total_steps, words
from app.series.verdict import short_verdict, verdict
from probes.diagnosis import Finding, NotJudgedRule, Report, diagnose
from probes.diagnosis.descent import Descent


@pytest.mark.parametrize(
    ("config", "total"),
    [
        ({}, None),
        ({"total_steps": 500}, 500),
        ({"training": {"max_steps": 70.0}}, 70),
        ({"epochs": 3, "steps_per_epoch": 40}, 120),
        ({"training": {"epochs": 3}, "steps_per_epoch": 40}, 120),
        ({"epochs": 3}, None),
        ({"steps": True}, None),
        ({"steps": math.nan, "max_steps": "many"}, None),
        ({"training": 5}, None),
    ],
)
def test_planned_steps_are_read_from_the_configuration_or_unknown(config: dict, total: int | None) -> None:
    assert total_steps(config) == total


def test_time_left_is_the_steps_left_at_the_recent_pace() -> None:
    found = Facts("running", "", 300, 1000, 60.0, 0.1, 10.0, ())
    assert found.seconds_left == 70 and found.share == 0.3
    assert words(found) == ["step 300 of 1,000", "1 min elapsed", "about 1 min 10 s left", "10 steps/s"]


@pytest.mark.parametrize("status", ["finished", "crashed", "stalled"])
def test_a_run_that_does_not_run_has_no_time_left(status: str) -> None:
    assert Facts(status, "", 300, 1000, 60.0, 0.1, 10.0, ()).seconds_left is None


def test_the_pace_is_that_of_the_newest_steps(make_run) -> None:
    run = make_run(config={"steps": 1000}).scalars("system/step_time", [10.0] * 50 + [0.5] * 200).open()
    found = facts(run, now=run.last_time + 5)
    assert found.per_second == pytest.approx(2.0) and found.quiet == pytest.approx(5.0) and found.step == 250


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Facts("crashed", "KeyError: 'x'", 12, None, 1.0, 1.0, None, ()), "after 12 steps: KeyError: 'x'"),
        (Facts("crashed", "", None, None, None, 1.0, None, ()), "before the first step: its process went away"),
        (Facts("stalled", "", 12, None, 1.0, 300.0, None, ()), "Nothing has been written for 5 min"),
        (Facts("running", "", None, None, None, 4.0, None, ()), "Started 4.0 s ago"),
        (Facts("finished", "", None, None, None, 4.0, None, ()), "nothing to draw"),
    ],
)
def test_a_sentence_says_what_the_status_does_not(found: Facts, said: str) -> None:
    assert said in explanation(found)


def test_a_run_that_is_simply_running_needs_no_sentence() -> None:
    assert explanation(Facts("running", "", 5, None, 1.0, 0.1, 10.0, ())) == ""


def finding(rule: str, severity: str = "critical", caused_by: str | None = None, active: bool = True) -> Finding:
    return Finding(rule, severity, f"NaN in {rule}", 10, 90, active, f"{rule} was seen", suggestions=(f"fix {rule}",),
                   caused_by=caused_by)  # fmt: skip


def report(
    findings: list[Finding],
    not_judged: int = 0,
    clear: int = 0,
    descent: Descent | None = None,
    status: str = "running",
) -> Report:
    missing = [NotJudgedRule(f"rule-{i}", "too few steps") for i in range(not_judged)]
    return Report("net", status, 100, findings, missing, [f"clear-{i}" for i in range(clear)], descent)


FELL = Descent("train/loss", 2.3, 0.4, 2.303, True)


def test_no_rule_that_could_judge_is_never_good_news() -> None:
    found = verdict(report([], not_judged=5))
    assert found.tone == "unknown" and "judge" in found.headline and "too few steps" in found.detail
    assert short_verdict(report([], not_judged=5)) == "? not judged"


def test_nothing_found_says_how_many_rules_looked_and_how_many_could_not() -> None:
    found = verdict(report([], not_judged=2, clear=5))
    assert found.tone == "good" and found.headline == "No problem found by 5 rules, 2 could not be judged"
    assert verdict(report([], clear=1)).headline == "No problem found by 1 rule"


def test_few_rules_that_found_nothing_are_no_good_news() -> None:
    found = verdict(report([], not_judged=9, clear=2))
    assert found.tone == "unknown" and found.headline == "Only 2 of 11 rules could judge, and found nothing"
    assert short_verdict(report([], not_judged=9, clear=2)) == "? not judged"


def test_a_loss_that_has_not_fallen_is_never_good_news_whatever_the_rules_say() -> None:
    flat = Descent("train/loss", 2.303, 2.301, None, False)
    found = verdict(report([], clear=14, descent=flat))
    assert found.tone == "unknown" and "has not fallen (2.3 at the beginning, 2.3 now)" in found.headline
    assert short_verdict(report([], clear=14, descent=flat)) == "? loss has not fallen"
    assert verdict(report([finding("a")], clear=4, descent=flat)).tone == "critical"
    assert verdict(report([], clear=14, descent=FELL)).tone == "good"


def test_a_loss_that_only_came_down_to_guessing_is_no_good_news() -> None:
    found = verdict(report([], clear=14, descent=Descent("train/loss", 21.0, 2.31, 2.303, False)))
    assert found.tone == "unknown" and "the training loss is 2.31, and guessing gives 2.3" in found.headline


def test_a_crash_is_never_good_news() -> None:
    crashed = report([], clear=2, descent=FELL, status="crashed")
    found = verdict(crashed)
    assert found.tone == "unknown" and found.headline == "The run crashed; before that 2 rules found no problem"
    assert short_verdict(crashed) == "? nothing found before"


@pytest.mark.parametrize(
    ("values", "fell"),
    [
        (lambda rng: 2.3 + rng.normal(0, 0.1, 300), False),  # chance
        (lambda rng: 2.3 + 0.3 * np.exp(-np.arange(300) / 50) + rng.normal(0, 0.05, 300), True),
        (lambda rng: np.r_[2.3, 0.1 + rng.normal(0, 0.01, 299)], True),  # learned within the first step
        (lambda rng: np.linspace(1, 3, 300), False),
        (lambda rng: 2.3 - np.arange(300) * 1e-6, False),  # without noise, and without any use
    ],
)
def test_whether_the_loss_has_fallen(make_run, values, fell: bool) -> None:
    run = make_run().scalars("train/loss", list(values(np.random.default_rng(0)))).open()
    assert diagnose(run).descent.fell is fell


def test_too_short_or_no_loss_is_unknown_progress(make_run) -> None:
    assert diagnose(make_run("a").scalars("train/loss", [1.0, 0.5]).open()).descent is None
    assert diagnose(make_run("b").scalars("val/loss", [1.0] * 50).open()).descent is None


def test_the_headline_is_the_cause_with_its_symptoms_and_the_first_thing_to_try() -> None:
    found = verdict(report([finding("a"), finding("b", caused_by="a"), finding("c", "warning")], clear=4))
    assert found.tone == "critical"
    assert found.headline == "NaN in a → NaN in b, since step 10 · and 1 other problem"
    assert (found.detail, found.advice) == ("a was seen", "fix a")
    assert short_verdict(report([finding("a"), finding("b", caused_by="a")])) == "✕ NaN in a (+1)"


def test_a_headline_names_two_symptoms_and_counts_the_others() -> None:
    symptoms = [finding(letter, caused_by="a") for letter in "bcde"]
    assert verdict(report([finding("a"), *symptoms])).headline.startswith(
        "NaN in a → NaN in b → NaN in c → 2 more symptoms, since"
    )
    assert verdict(report([finding("a"), *symptoms[:3]])).headline.startswith(
        "NaN in a → NaN in b → NaN in c → NaN in d, since"
    )


def test_a_story_is_as_grave_as_the_gravest_of_its_symptoms_as_the_command_line_has_it() -> None:
    told = report([finding("a", "warning"), finding("b", "critical", caused_by="a")])
    assert verdict(told).tone == "critical" and told.verdict.startswith("Critical: ")
    assert short_verdict(told) == "✕ NaN in a (+1)"


def test_a_note_alone_is_no_alarm_and_what_is_over_is_said_to_be() -> None:
    assert verdict(report([finding("a", "info")], clear=3)).tone == "good"
    assert "steps 10 to 90, over now" in verdict(report([finding("a", active=False)])).headline
