"""The live diagnosis over a run that a real writer records, without any training."""

from __future__ import annotations

import shutil
import threading
import time

import numpy as np
import pytest

import probes
from probes.diagnosis.live import LiveDiagnosis, LiveOptions, watcher
from probes.runlog import RunWriter


@pytest.fixture
def writer(tmp_path):
    writer = RunWriter(tmp_path / "run", {"name": "net"}, flush_interval=0.02)
    yield writer
    writer.close()


@pytest.fixture
def follow(writer):
    """`follow(**options)` -> (live diagnosis, findings that stopped it, problems it told)."""
    begun = []

    def start(on_finding=None, alerts=(), stop_on=(), cool_down=600.0):
        options = LiveOptions(on_finding, tuple(alerts), frozenset(stop_on), cool_down)
        stops, problems = [], []
        live = LiveDiagnosis(
            writer.run_dir, options, on_stop=stops.append, on_problem=problems.append, share=1.0, soonest=0.02
        )
        begun.append(live)
        return live, stops, problems

    yield start
    for live in begun:
        live.finish()


def record(writer, first, last, value=lambda step: 1.0 / step):
    for step in range(first, last + 1):
        writer.scalars(step, time.time(), {"train/loss": float(value(step))})
    writer.flush()


def eventually(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def test_news_reaches_a_service_in_one_message_and_whoever_stops_the_run(writer, follow, service):
    address, messages, _ = service
    told = []
    live, stops, problems = follow(told.append, [address], ["nonfinite-values"])
    record(writer, 1, 50)
    record(writer, 51, 90, lambda step: np.nan)
    eventually(lambda: messages)
    record(writer, 91, 120, lambda step: np.nan)
    writer.close()
    live.finish()
    (sent,) = messages
    assert sent["title"] == "babysit: net: " + told[0].title
    assert sent["message"].startswith("[critical] nonfinite-values, since step 51\n")
    assert [finding.rule for finding in told] == [finding.rule for finding in stops] == ["nonfinite-values"]
    assert problems == []
    assert "ended" not in sent["message"]


def test_a_service_that_refuses_is_said_once_and_the_report_is_saved_all_the_same(writer, follow, service):
    address, messages, answers = service
    answers[:] = [500] * 20
    live, _, problems = follow(alerts=[address])
    record(writer, 1, 90, lambda step: np.nan)
    eventually(lambda: problems)
    writer.close()
    live.finish()
    assert problems == ["json://... did not take the notification; the training goes on"]
    assert messages
    assert probes.open_run(writer.run_dir).findings()["ok"] is False


def test_a_run_that_records_nothing_new_is_not_judged_again(writer, follow, monkeypatch):
    judged = []
    real = watcher.judge
    monkeypatch.setattr(watcher, "judge", lambda *arguments: judged.append(1) or real(*arguments))
    follow(print)
    record(writer, 1, 50)
    eventually(lambda: judged)
    time.sleep(0.3)
    looks = len(judged)
    time.sleep(0.5)
    assert len(judged) == looks
    record(writer, 51, 60)
    eventually(lambda: len(judged) > looks)


def test_a_run_directory_that_goes_away_is_said_once_and_ends_nothing(writer, follow):
    live, _, problems = follow(print)
    record(writer, 1, 50)
    eventually(lambda: probes.open_run(writer.run_dir).findings())
    shutil.rmtree(writer.run_dir)
    live.finish()
    assert len(problems) == 1
    assert "findings.json" in problems[0]


def test_a_callback_that_closes_the_probe_does_not_wait_for_itself(writer, follow):
    closed = threading.Event()
    live = None

    def on_finding(finding):
        eventually(lambda: live is not None)
        writer.close()
        live.finish()
        closed.set()

    live, _, problems = follow(on_finding)
    record(writer, 1, 90, lambda step: np.nan)
    assert closed.wait(60)
    live.finish()
    assert problems == []
    assert probes.open_run(writer.run_dir).findings()["status"] == "finished"
