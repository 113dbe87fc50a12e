"""`babysit dashboard` as a person starts and stops it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from websockets.sync.client import connect

from probes.cli.siblings import HOME


def refused(*arguments: str | Path) -> str:
    """What a dashboard that does not start says: one line, and exit code 2."""
    command = [sys.executable, "-m", "probes", "dashboard", "--no-browser", *map(str, arguments)]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    return line


def test_a_port_in_use_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(tmp_path, "--port", str(port))
    assert f"port {port}" in line
    assert "--port" in line.split(str(port), 1)[1], "says what to do"


def test_a_file_is_no_directory_of_runs(tmp_path):
    (tmp_path / "file").write_text("x")
    assert "is a file" in refused(tmp_path / "file", "--port", "0")


def test_a_port_or_an_address_that_is_none(tmp_path):
    assert "not a port number" in refused(tmp_path, "--port", "70000")
    assert "--host" in refused(tmp_path, "--host", "203.0.113.7", "--port", "0")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_stopping_is_quick_and_quiet_also_with_a_page_open(tmp_path, start, train, signum):
    train(tmp_path / "runs" / "a").steps(5)
    server = start(tmp_path / "runs")
    with connect(server.live_url) as page:
        page.send(json.dumps({"type": "stamp", "id": "s", "runs": ["a"]}))
        assert json.loads(page.recv(timeout=30))["type"] == "stamp"
        assert server.stop(signum) == 0
    assert server.errors == ""


def test_it_serves_beside_a_project_that_has_packages_of_the_same_names(tmp_path, start, train):
    project = tmp_path / "project"
    for name in ("app", "trainer"):
        (project / name).mkdir(parents=True)
        (project / name / "__init__.py").write_text("raise SystemExit('the wrong package was imported')\n")
    # RUNS_DIR is a run itself here.
    training = train(project / "runs" / "only")
    training.steps(7)
    server = start(project / "runs" / "only", cwd=project, env={"PYTHONPATH": f"{project}:{HOME}"})
    page = urllib.request.urlopen(urllib.request.Request(server.url, headers={"Accept": "text/html"}), timeout=20)
    assert b"babysit" in page.read()
    with connect(server.live_url) as socket_:
        asked = {"type": "chart", "id": "c", "chart": "live.loss", "runs": ["only"], "params": {}, "theme": "dark"}
        socket_.send(json.dumps(asked))
        answer = json.loads(socket_.recv(timeout=30))
    assert answer["type"] == "figure"
    assert answer["figure"]["data"]
