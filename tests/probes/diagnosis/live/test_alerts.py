"""Notification addresses are checked before the training, and a real service gets the message."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys

import pytest

from probes.diagnosis.live import alerts
from probes.diagnosis.live.options import live_options
from probes.errors import BabysitError, InvalidArgumentError, MissingDependencyError, UnknownNameError


def test_a_message_reaches_the_service_and_the_training_process_loads_nothing_for_it(service):
    address, messages, _ = service
    state = random.getstate()
    assert alerts.checked_addresses([address]) == (address,)
    assert messages == []
    assert alerts.send([address], "a title", "a body") == []
    assert [(sent["title"], sent["message"]) for sent in messages] == [("a title", "a body")]
    assert "apprise" not in sys.modules
    assert random.getstate() == state


def test_a_service_that_refuses_is_named_without_its_password(service):
    address, _, answers = service
    secret = address.replace("json://", "json://me:secret@")
    answers[:] = [500] * 10
    assert alerts.send([secret], "a title", "a body") == ["json://... did not take the notification"]


def test_an_address_that_apprise_does_not_understand_is_named_without_its_password():
    with pytest.raises(InvalidArgumentError) as caught:
        alerts.checked_addresses(["json://localhost", "carrierpigeon://me:secret@loft"])
    assert "alerts[1] (carrierpigeon://...)" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_apprise_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'babysit\[alerts\]'"):
        alerts.checked_addresses(["json://localhost"])


def test_a_child_that_fails_is_one_line(monkeypatch, tmp_path):
    broken = tmp_path / "post.py"
    broken.write_text("raise RuntimeError('no network here')")
    monkeypatch.setattr(alerts, "_POST", broken)
    (said,) = alerts.send(["json://localhost"], "a", "b")
    assert "RuntimeError: no network here" in said
    with pytest.raises(MissingDependencyError, match="RuntimeError: no network here"):
        alerts.checked_addresses(["json://localhost"])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"on_finding": "print"}, InvalidArgumentError, "on_finding must be a function"),
        ({"stop_on": "nonfinite-values"}, InvalidArgumentError, "['nonfinite-values']"),
        ({"stop_on": ["nonfinite-value"]}, UnknownNameError, "did you mean 'nonfinite-values'"),
        ({"stop_on": [None]}, InvalidArgumentError, "not of NoneType"),
        ({"stop_on": True}, InvalidArgumentError, "stop_on must be a list"),
        ({"alerts": "mailto://x"}, InvalidArgumentError, "alerts must be a list"),
        ({"alerts": [5]}, InvalidArgumentError, "not of int"),
        ({"cool_down": -1}, InvalidArgumentError, "cool_down"),
        ({"cool_down": float("nan")}, InvalidArgumentError, "cool_down"),
        ({"cool_down": True}, InvalidArgumentError, "cool_down"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(arguments, error, words):
    given = {"on_finding": None, "alerts": (), "stop_on": (), "cool_down": 1.0} | arguments
    with pytest.raises(error) as caught:
        live_options(**given)
    assert isinstance(caught.value, BabysitError)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_nothing_asked_for_is_nothing():
    assert live_options(None, (), (), 600.0) is None
    assert live_options(None, None, None, 600.0) is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_worker_forked_while_a_message_is_sent_holds_nothing_up(service, monkeypatch):
    """It inherits whatever pipe is open at that moment, and keeps it for as long as it lives."""
    address, messages, _ = service
    start, workers = subprocess.Popen._execute_child, []

    def fork_then_start(process, *arguments):
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
        workers.append(child)
        return start(process, *arguments)

    monkeypatch.setattr(subprocess.Popen, "_execute_child", fork_then_start)
    try:
        assert alerts.send([address], "a title", "a body") == []
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
            os.waitpid(worker, 0)
    assert len(workers) == len(messages) == 1
