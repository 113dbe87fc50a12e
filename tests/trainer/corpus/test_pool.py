"""Processes: all at work, each ended in time, none left behind, failures noted."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from trainer.corpus import Planned, planned
from trainer.corpus.outcome import RunOutcome, load_outcome, save_outcome, settings_of
from trainer.corpus.pool import train_all

RUNS = planned(only="wine-mlp.as-it-is.*")


def good(run: Planned, place: Path) -> None:
    (place / "pid").write_text(str(os.getpid()))
    save_outcome(RunOutcome(settings_of(run), score=0.9, steps=7), place)


def dies(run: Planned, place: Path) -> None:
    os._exit(3)


def raises(run: Planned, place: Path) -> None:
    raise ValueError("on purpose")


def sleeps(run: Planned, place: Path) -> None:
    (place / "pid").write_text(str(os.getpid()))
    time.sleep(600)


def meets(run: Planned, place: Path) -> None:
    """Ends only when two are at work at the same time."""
    (place / "here").touch()
    deadline = time.monotonic() + 60
    while len(list(place.parent.glob("*/here"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    good(run, place)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_each_in_a_process_of_its_own(tmp_path):
    ended = list(train_all(RUNS, tmp_path, good, jobs=2, limit=60))
    assert sorted(run.name for run, _ in ended) == sorted(run.name for run in RUNS)
    assert all(outcome.steps == 7 and outcome.done for _, outcome in ended)
    pids = {(tmp_path / run.name / "pid").read_text() for run in RUNS}
    assert len(pids) == len(RUNS) and str(os.getpid()) not in pids


def test_so_many_at_a_time(tmp_path):
    assert all(outcome.done for _, outcome in train_all(RUNS[:2], tmp_path, meets, jobs=2, limit=120))
    assert len(list(tmp_path.glob("*/here"))) == 2


@pytest.mark.parametrize(("work", "note"), [(dies, "exit code 3"), (raises, "exit code 1")])
def test_a_run_that_dies_is_noted_and_the_others_go_on(work, note, tmp_path, capfd):
    for run, outcome in train_all(RUNS, tmp_path, work, jobs=1, limit=60):
        assert note in outcome.note and not outcome.done
        kept = load_outcome(run, tmp_path / run.name)
        assert kept is not None and kept.note == outcome.note


def test_a_run_that_takes_too_long_is_ended_and_noted(tmp_path):
    ((run, outcome),) = train_all(RUNS[:1], tmp_path, sleeps, jobs=1, limit=0.5)
    assert outcome.note == "took longer than 0.5 s"
    assert not alive(int((tmp_path / run.name / "pid").read_text()))


def test_nobody_stays_behind_when_the_caller_stops_looking(tmp_path):
    running = train_all([RUNS[0], *RUNS[1:]], tmp_path, _first_good_then_sleep, jobs=2, limit=600)
    next(running)
    waiting = tmp_path / RUNS[1].name / "pid"
    while not waiting.exists() or not waiting.read_text():
        time.sleep(0.01)
    running.close()
    assert not alive(int(waiting.read_text()))
    assert load_outcome(RUNS[1], tmp_path / RUNS[1].name) is None


def _first_good_then_sleep(run: Planned, place: Path) -> None:
    (good if run == RUNS[0] else sleeps)(run, place)


def test_what_another_plan_left_is_not_taken_for_the_outcome(tmp_path):
    run, other = RUNS[:2]
    save_outcome(RunOutcome(settings_of(other), score=1.0), tmp_path)
    assert load_outcome(run, tmp_path) is None
    (tmp_path / "outcome.json").write_text("{")
    assert load_outcome(run, tmp_path) is None
