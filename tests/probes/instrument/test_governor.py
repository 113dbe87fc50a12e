"""Schedules, with time made up."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.instrument.governor import LONGEST_WAIT_SECONDS, Every, Governor, Share, is_between, is_log_spaced


def simulate(governor: Governor, steps: int, own: float, frame: float, overhead: float = 0.0, first: int = 1):
    """Runs a loop of equal steps; returns the steps with frames and the probes' time over the loop's own."""
    frames, spent = [], 0.0
    for step in range(first, first + steps):
        cost = overhead
        if governor.due(step):
            frames.append(step)
            cost += frame
            governor.frame_taken(step, cost)
        spent += cost
        governor.spend(own, cost)
    return frames, spent / (steps * own)


def test_log_spaced_steps():
    assert [s for s in range(2001) if is_log_spaced(s)] == [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]


def test_between_them_the_steps_grow_by_half_at_most():
    between = [s for s in range(2001) if is_between(s)]
    assert between == [15, 30, 40, 70, 150, 300, 400, 700, 1500]
    together = sorted([s for s in range(10, 2001) if is_log_spaced(s)] + between)
    assert all(b <= 1.5 * a for a, b in itertools.pairwise(together))


def test_where_frames_are_dear_the_credit_lasts_for_the_log_spaced_ones():
    frames, _ = simulate(Governor(0.03), 60, own=0.01, frame=0.15)
    assert frames == [1, 2, 5, 10, 20, 50]
    cheap, _ = simulate(Governor(0.03), 60, own=0.0001, frame=0.001)
    assert cheap == [1, 2, 5, 10, 15, 20, 30, 40, 50]


def test_a_fixed_cadence_takes_the_first_step_and_every_nth():
    assert [s for s in range(1, 31) if Every(10).due(s)] == [1, 10, 20, 30]


@settings(deadline=None, max_examples=60)
@given(st.floats(0.001, 10.0), st.floats(0.0001, 3.0), st.floats(0.005, 0.5), st.floats(0.0, 0.5))
def test_the_share_stays_within_the_budget_after_warm_up(own: float, frame: float, budget: float, part: float):
    overhead = part * budget * own
    steps = int(min(20_000, max(2_000, 120 / own)))
    frames, share = simulate(Governor(budget), steps, own, frame, overhead)
    total = steps * own
    # The credit of the start is 30 s of budget; a frame may be under way at the end; nothing else goes over.
    allowed = budget * total + budget * 30 + 2 * frame + 0.01
    if frame <= budget * LONGEST_WAIT_SECONDS / 2:
        assert share * total <= allowed
    assert frames[:1] == [1]


def test_the_budget_is_used_and_spread_evenly():
    frames, share = simulate(Governor(0.03), 20_000, own=0.01, frame=0.003)
    assert 0.025 <= share <= 0.0305
    gaps = [b - a for a, b in itertools.pairwise(f for f in frames if f > 1000)]
    assert max(gaps) <= 12


def test_cheap_frames_are_taken_at_every_step():
    frames, _ = simulate(Governor(0.03), 1000, own=1.0, frame=0.01)
    assert frames == list(range(1, 1001))


def test_the_start_is_dense():
    frames, _ = simulate(Governor(0.03), 60, own=0.005, frame=0.004)
    assert {1, 2, 5, 10, 20, 50} <= set(frames)


def test_it_adapts_when_steps_become_faster():
    governor = Governor(0.03)
    simulate(governor, 2_000, own=0.1, frame=0.01)
    frames, share = simulate(governor, 20_000, own=0.01, frame=0.01, first=2001)
    assert share <= 0.031
    assert len(frames) >= 400


def test_it_never_starves():
    frames, _ = simulate(Governor(0.001), 10_000, own=0.1, frame=60.0)
    gaps = [b - a for a, b in itertools.pairwise(frames)]
    assert len(frames) > 5
    assert max(gaps) <= LONGEST_WAIT_SECONDS / 0.1 + 2


def test_overhead_that_eats_the_budget_leaves_a_frame_now_and_then():
    frames, _ = simulate(Governor(0.03), 3_000, own=0.1, frame=0.002, overhead=0.01)
    later = [f for f in frames if f > 1000]
    assert 1 <= len(later) <= 3


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5])
def test_the_share_is_that_of_recent_time(share: float):
    smoothed = Share(seconds=10.0)
    for _ in range(500):
        smoothed.update(0.1, 0.1)
    for _ in range(2_000):
        value = smoothed.update(0.1, 0.1 * share)
    assert value == pytest.approx(share, abs=1e-6)
