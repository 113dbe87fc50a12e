"""Runs kept fresh: who is told of what, and what is not read at all."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.store import Dashboard, RunsDirectory, directory
from app.store.watcher import Watcher
from probes.errors import InvalidArgumentError, RunDirectoryError

NEVER = 3600.0


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Dashboard]]:
    opened: list[Dashboard] = []

    def begin(poll_seconds: float) -> Dashboard:
        opened.append(Dashboard(tmp_path / "runs", poll_seconds=poll_seconds))
        return opened[-1]

    yield begin
    for one in opened:
        one.close()


def last_step(served: Dashboard, run_id: str) -> int | None:
    with served.reading([run_id]) as (run,):
        return run.last_step


@pytest.fixture
def follow(until: Callable[..., Any]) -> Callable[[Dashboard, str], threading.Event]:
    """Subscribes, and waits until the subscription itself has been answered."""

    def begin(served: Dashboard, run_id: str) -> threading.Event:
        told = threading.Event()
        served.hub.subscribe([run_id], told.set)
        until(told.is_set, "the first reading")
        told.clear()
        return told

    return begin


def test_a_write_is_noticed_without_any_poll(tmp_path, serve, train, follow, until):
    training = train(tmp_path / "runs" / "a")
    training.steps(3)
    served = serve(NEVER)
    told = follow(served, "a")
    training.steps(4)
    until(told.is_set, "the write being noticed")
    until(lambda: last_step(served, "a") == 7, "the new steps")


def test_a_write_that_no_event_announces_is_noticed_by_the_poll(tmp_path, serve, train, follow, until, monkeypatch):
    # As on a network filesystem, and when the system has no watches left.
    monkeypatch.setattr(Watcher, "watch", lambda self, path: False)
    training = train(tmp_path / "runs" / "a")
    training.steps(3)
    served = serve(0.1)
    told = follow(served, "a")
    training.steps(4)
    until(told.is_set, "the poll")
    until(lambda: last_step(served, "a") == 7, "the new steps")


def test_runs_nobody_watches_are_not_read(tmp_path, serve, train, follow, until):
    watched, other = train(tmp_path / "runs" / "watched"), train(tmp_path / "runs" / "other")
    watched.steps(1), other.steps(1)
    served = serve(0.05)
    store = served.store("other")
    told = follow(served, "watched")
    other.steps(5), watched.steps(5)
    until(told.is_set, "the write to the watched run")
    assert store.version == 0
    # Whoever reads it without watching still gets what there is by now, each time.
    assert last_step(served, "other") == 6
    other.steps(1)
    assert last_step(served, "other") == 7


def test_after_the_last_watcher_left_nothing_is_watched(tmp_path, serve, train, until):
    train(tmp_path / "runs" / "a").steps(1)
    served = serve(NEVER)
    subscriptions = [served.hub.subscribe(["a"], lambda: None) for _ in range(3)]
    until(lambda: tmp_path / "runs" / "a" in served.hub._watched, "the watch")
    for one in subscriptions:
        assert served.stores.is_pinned("a")
        one.close()
        one.close()
    assert not served.stores.is_pinned("a")
    until(lambda: served.hub._watched == {tmp_path / "runs"}, "the watch being given back")


def test_open_runs_are_bounded_but_watched_ones_stay(tmp_path, serve):
    served = serve(NEVER)
    served.hub.subscribe(["kept"], lambda: None)
    kept = served.store("kept")
    for at in range(50):
        served.store(f"run-{at}")
    assert len(served.stores) <= 10
    assert served.store("kept") is kept


def test_readers_of_two_runs_in_opposite_order_do_not_wait_for_each_other(tmp_path, serve, train):
    train(tmp_path / "runs" / "a").steps(2), train(tmp_path / "runs" / "b").steps(3)
    served = serve(NEVER)
    wrong: list[object] = []

    def read(order: list[str], expected: list[int]) -> None:
        for _ in range(300):
            with served.reading(order) as runs:
                steps = [run.last_step for run in runs]
            if steps != expected:
                wrong.append(steps)

    threads = [
        threading.Thread(target=read, args=(["a", "b"], [2, 3]), daemon=True),
        threading.Thread(target=read, args=(["b", "a"], [3, 2]), daemon=True),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_a_long_reading_of_one_run_does_not_hold_up_the_news_of_another(tmp_path, serve, train, follow, until):
    slow, quick = train(tmp_path / "runs" / "a"), train(tmp_path / "runs" / "b")
    slow.steps(1), quick.steps(1)
    served = serve(NEVER)
    told_slow, told_quick = follow(served, "a"), follow(served, "b")
    with served.reading(["a"]) as (run,):
        slow.steps(1), quick.steps(1)
        until(told_quick.is_set, "the other run's news")
        assert run.last_step == 1, "a run that is being read stays as it is"
        told_slow.clear()
    until(told_slow.is_set, "the news of the run, once it is free")
    assert last_step(served, "a") == 2


def test_a_run_deleted_while_watched_is_an_error_and_comes_back(tmp_path, serve, train, follow, until):
    path = tmp_path / "runs" / "a"
    training = train(path)
    training.steps(5)
    training.writer.close()
    served = serve(0.1)
    told = follow(served, "a")
    shutil.rmtree(path)
    until(lambda: served.store("a").error, "the loss being noticed")
    assert "not there" in served.store("a").error
    with pytest.raises(RunDirectoryError, match="not there"), served.reading(["a"]):
        pass
    told.clear()
    train(path).steps(2)
    until(lambda: served.store("a").error is None, "the new run")
    assert last_step(served, "a") == 2


@pytest.mark.parametrize(
    "content", [b"", b"not json", b"[]", b'{"format": "babysit-run", "version": 99}', b'{"format": "other"}']
)
def test_one_broken_run_hides_no_other(tmp_path, train, content):
    training = train(tmp_path / "runs" / "good")
    training.steps(1)
    broken = tmp_path / "runs" / "broken"
    broken.mkdir()
    (broken / "run.json").write_bytes(content)
    runs = RunsDirectory(tmp_path / "runs")
    runs.refresh()
    by_id = {entry.id: entry for entry in runs.entries}
    assert by_id["good"].status == "running"
    assert by_id["broken"].status == "unreadable"
    assert by_id["broken"].error


def test_ended_runs_are_read_once(tmp_path, train, monkeypatch):
    read: list[str] = []
    real = directory.glance
    monkeypatch.setattr(directory, "glance", lambda path: read.append(path.name) or real(path))
    for name in ("a", "b"):
        train(tmp_path / "runs" / name).writer.close()
    live = train(tmp_path / "runs" / "live")
    runs = RunsDirectory(tmp_path / "runs")
    assert runs.refresh()
    assert not runs.refresh()
    assert sorted(read) == ["a", "b", "live", "live"]
    live.writer.close()
    assert runs.refresh(), "an end is a change"
    assert {entry.status for entry in runs.entries} == {"finished"}
    # Going on with an ended run takes its end back.
    again = train(tmp_path / "runs" / "a")
    assert runs.refresh()
    assert {entry.id: entry.status for entry in runs.entries}["a"] == "running"
    again.writer.close()
    shutil.rmtree(tmp_path / "runs" / "b")
    assert runs.refresh()
    assert [entry.id for entry in runs.entries if entry.id == "b"] == []


@pytest.mark.parametrize("run_id", ["", "..", "../x", "a/../../x", "/etc", "a//b", "./a", "a\\..\\b", "a\0b"])
def test_no_run_id_leads_out_of_the_directory(tmp_path, run_id):
    with pytest.raises(RunDirectoryError):
        RunsDirectory(tmp_path).locate(run_id)


def test_a_directory_still_to_come_holds_nothing_and_a_file_is_refused(tmp_path, train):
    missing = RunsDirectory(tmp_path / "later")
    assert not missing.refresh()
    assert (missing.entries, missing.exists) == ((), False)
    train(tmp_path / "later" / "deep" / "run").steps(1)
    assert missing.refresh()
    assert [entry.id for entry in missing.entries] == ["deep/run"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidArgumentError, match="is a file"):
        RunsDirectory(tmp_path / "file")


def test_a_run_directory_is_a_directory_of_one_run(tmp_path, train):
    train(tmp_path / "only").steps(1)
    runs = RunsDirectory(tmp_path / "only")
    runs.refresh()
    assert [entry.id for entry in runs.entries] == ["only"]
    assert runs.locate("only") == tmp_path / "only"
