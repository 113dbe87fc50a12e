"""What is told when, and how often a run is looked at: pure functions of time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.diagnosis import Finding
from probes.diagnosis.live.alerts import hidden, message
from probes.diagnosis.live.ledger import Ledger
from probes.diagnosis.live.pace import Pace


def finding(rule="overfitting", active=True, severity="warning", caused_by=None):
    return Finding(rule, severity, rule, 5, 9, active, "seen", suggestions=("a", "b", "c", "d"), caused_by=caused_by)


def test_a_finding_is_told_once_while_it_lasts():
    ledger = Ledger(cool_down=10)
    assert ledger.news([finding()], 0) == [finding()]
    assert [ledger.news([finding()], now) for now in (1, 20, 500)] == [[], [], []]


@pytest.mark.parametrize("gone", [[], [finding(active=False)], [finding(severity="info")]])
def test_it_is_told_again_when_it_comes_back_after_it_was_over(gone):
    ledger = Ledger(cool_down=10)
    ledger.news([finding()], 0)
    assert ledger.news(gone, 11) == []
    assert ledger.news([finding()], 12) == [finding()]


def test_what_comes_back_within_its_cool_down_is_told_when_that_has_passed_if_it_is_still_there():
    ledger = Ledger(cool_down=100)
    ledger.news([finding(), finding("loss-spikes")], 0)
    assert ledger.news([], 10) == []
    assert ledger.news([finding(), finding("loss-spikes")], 20) == []
    assert ledger.news([finding()], 50) == []
    assert ledger.news([finding()], 101) == [finding()]
    assert ledger.news([finding()], 400) == []


def test_what_came_and_went_between_two_looks_is_told_once():
    ledger = Ledger(cool_down=0)
    over = finding(active=False)
    assert ledger.news([over], 0) == [over]
    assert ledger.news([over], 1) == []


def test_information_is_no_news_and_each_rule_has_its_own_cool_down():
    ledger = Ledger(cool_down=100)
    assert ledger.news([finding(severity="info")], 0) == []
    assert ledger.news([finding(), finding("dead-units", severity="info")], 1) == [finding()]
    assert ledger.news([finding(), finding("dead-units")], 2) == [finding("dead-units")]


@given(
    looks=st.lists(st.tuples(st.floats(0.1, 50), st.sampled_from(["absent", "over", "active"])), max_size=40),
    cool_down=st.floats(0, 60),
)
def test_tellings_keep_their_distance_and_nothing_that_lasts_is_kept_back(looks, cool_down):
    ledger, now, told = Ledger(cool_down), 0.0, []
    for passed, state in looks:
        now += passed
        news = ledger.news([] if state == "absent" else [finding(active=state == "active")], now)
        assert len(news) <= (state != "absent")
        told += [now] * len(news)
    assert all(later - earlier >= cool_down for earlier, later in pairwise(told))
    assert bool(told) == any(state != "absent" for _, state in looks)


@given(costs=st.lists(st.floats(0, 3), min_size=1, max_size=50), share=st.floats(0.001, 0.1))
def test_looks_take_at_most_their_share_of_the_time_and_never_crowd(costs, share):
    now, spent = 0.0, 0.0
    pace = Pace(share, 1.0, now)
    for cost in costs:
        assert pace.wait(now) >= 1.0 - 1e-9
        now += pace.wait(now)
        assert pace.wait(now) == pytest.approx(0.0, abs=1e-6)
        now, spent = now + cost, spent + cost
        pace.took(cost, now)
    assert spent / (now + pace.wait(now)) <= share * (1 + 1e-9)


def test_one_message_tells_the_whole_story_and_hides_no_cause():
    title, body = message("net", [finding("dead-units"), finding(severity="critical", caused_by="dead-units")])
    assert title == "babysit: net: dead-units (and 1 more)"
    first, second = body.split("\n\n")
    assert first.splitlines() == ["[warning] dead-units, since step 5", "seen", "Try: a", "Try: b", "Try: c"]
    assert second.startswith("[critical] overfitting, since step 5, caused by dead-units\n")


def test_an_address_is_shown_without_what_may_be_secret():
    assert hidden("mailto://me:secret@host") == "mailto://..."
    assert hidden("secret") == "..."
