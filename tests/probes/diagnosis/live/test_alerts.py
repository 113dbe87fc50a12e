"""Notification addresses are checked before the training, and a real service gets the message."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from probes.diagnosis.live import alerts
from probes.diagnosis.live.options import live_options
from probes.errors import BabysitError, InvalidArgumentError, MissingDependencyError, UnknownNameError


@pytest.fixture
def service():
    """A web service that keeps what it is sent: (address, messages, answers to give)."""
    messages, answers = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(answers.pop() if answers else 200)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"json://127.0.0.1:{server.server_port}/", messages, answers
    server.shutdown()
    server.server_close()
    thread.join()


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
