"""The independent programs: enough of each kind, in both halves, verified at recording, judged as labelled."""

from __future__ import annotations

import collections

from benchmarks.diagnosis import first_sight
from benchmarks.diagnosis.first_sight import Sight
from benchmarks.diagnosis.programs import PROGRAMS, Program
from benchmarks.diagnosis.programs.judge import Verdict, counts, details, judge
from benchmarks.diagnosis.programs.program import FRESH
from benchmarks.diagnosis.programs.record import outcome_of, record
from probes.diagnosis import RULES
from probes.diagnosis.finding import Finding


def test_there_are_enough_and_both_halves_have_their_share():
    kinds = collections.Counter((p.healthy, p.part) for p in PROGRAMS.values())
    assert sum(n for (healthy, _part), n in kinds.items() if healthy) >= 40
    assert sum(n for (healthy, _part), n in kinds.items() if not healthy) >= 40
    late = ("seventh", "eighth", "ninth", "tenth", "eleventh")
    assert min(n for (_healthy, part), n in kinds.items() if part not in late) >= 25
    assert min(n for (_healthy, part), n in kinds.items() if part in late) >= 12, "each faulty one has a twin besides"


def test_what_is_expected_are_rules_and_every_program_names_its_source():
    for program in PROGRAMS.values():
        assert set(program.expected) <= set(RULES), program.name
        assert len(program.source) > 20, program.name


def test_every_fresh_faulty_program_has_a_twin_and_every_fresh_one_was_judged_at_first_sight():
    fresh = [p for p in PROGRAMS.values() if p.part in FRESH]
    assert all(p.twin is not None for p in fresh if not p.healthy)
    assert {p.name for p in fresh} == set(first_sight.read())


def test_a_faulty_program_is_proven_only_where_its_twin_reaches_the_bar(tmp_path):
    train = PROGRAMS["linear-regression"].train
    chosen = [
        Program("mended", train, 1.5, ("overfitting",), "below its bar, and so is nothing mended", lambda path: 2.0),
        Program("not-mended", train, 1.5, ("overfitting",), "a twin that fails as well", lambda path: 1.0),
    ]
    record(chosen, tmp_path)
    assert [outcome_of(p, tmp_path)["mended"] for p in chosen] == [2.0, 1.0]
    assert [v.proven for v in judge(chosen, tmp_path)] == [True, False]


def test_what_was_said_at_first_sight_is_never_replaced_and_is_counted_in_a_row_of_its_own(tmp_path):
    path = tmp_path / "sight.json"
    first_sight.keep({"a": Sight(("overfitting",))}, path)
    first_sight.keep({"a": Sight(()), "b": Sight((), ("loss-diverging",))}, path)
    assert first_sight.read(path) == {"a": Sight(("overfitting",)), "b": Sight((), ("loss-diverging",))}
    seen = first_sight.read()
    ill = next(p for p in PROGRAMS.values() if p.part == "fresh" and not p.healthy and not seen[p.name].findings)
    well = next(p for p in PROGRAMS.values() if p.part == "fresh" and p.healthy and seen[p.name].findings)
    found = Finding(
        rule=ill.expected[0], severity="warning", title="", first_step=1, last_step=2, active=True, message=""
    )
    said = [Verdict(ill, 0.0, None, True, (found,), mended=("noisy-loss",)), Verdict(well, 1.0, None, True)]
    rows = {row.split(" | ")[0].strip("| "): row.split(" | ")[1:] for row in counts(said).splitlines()}
    assert rows["fresh"] == ["1", "0", "0", "1", "1", "1", "1", "1", "1 |"]
    assert rows["fresh (first sight)"] == ["1", "1", "1", "1", "0", "0", "0", "", " |"]


def test_a_recording_verifies_scores_and_is_resumed(tmp_path):
    asked = []

    def gone(run_dir):
        asked.append(run_dir)
        raise RuntimeError("no such data")

    chosen = [
        PROGRAMS["linear-regression"],
        PROGRAMS["logarithm-of-silence"],  # frames at a fixed cadence: no load decides what is said
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
