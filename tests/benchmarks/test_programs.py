"""The independent programs: enough of each kind, in both halves, verified at recording, judged as labelled."""

from __future__ import annotations

import collections

from benchmarks.diagnosis.programs import PROGRAMS, Program
from benchmarks.diagnosis.programs.judge import counts, details, judge
from benchmarks.diagnosis.programs.record import outcome_of, record
from probes.diagnosis import RULES


def test_there_are_enough_and_both_halves_have_their_share():
    kinds = collections.Counter((p.healthy, p.part) for p in PROGRAMS.values())
    assert sum(n for (healthy, _part), n in kinds.items() if healthy) >= 40
    assert sum(n for (healthy, _part), n in kinds.items() if not healthy) >= 40
    assert min(kinds.values()) >= 25


def test_what_is_expected_are_rules_and_every_program_names_its_source():
    for program in PROGRAMS.values():
        assert set(program.expected) <= set(RULES), program.name
        assert len(program.source) > 20, program.name


def test_a_recording_verifies_scores_and_is_resumed(tmp_path):
    asked = []

    def gone(run_dir):
        asked.append(run_dir)
        raise RuntimeError("no such data")

    chosen = [
        PROGRAMS["linear-regression"],
        PROGRAMS["forgot-zero-grad"],
        Program("broken", gone, 0.5, (), "a program that fails"),
        Program("too-hard", PROGRAMS["linear-regression"].train, 1.5, (), "a score that cannot be reached"),
    ]
    record(chosen, tmp_path)
    record(chosen, tmp_path)  # nothing is left to do
    assert asked == [], "each program runs in a process of its own"
    assert "no such data" in outcome_of(chosen[2], tmp_path)["error"]
    verdicts = judge(chosen, tmp_path)
    assert [v.proven for v in verdicts] == [True, True, False, False]
    assert verdicts[0].findings == ()
    assert verdicts[1].first
    listed = details(verdicts)
    assert "NOT PROVEN" in listed
    assert "no such data" in listed
    assert counts(verdicts).count("|") > 20
