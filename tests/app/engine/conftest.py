"""A real dashboard process, real runs written beside it, a real page."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from probes.cli.siblings import HOME
from probes.runlog import RunWriter

PATIENCE_SECONDS = 40.0


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true value of `condition()`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)
    return found


class Server:
    """`babysit dashboard ROOT` in a process of its own. `url` is what it printed."""

    def __init__(self, root: Path, log: Path, port: int = 0, env: Mapping[str, str] = {}, cwd: Path = HOME) -> None:
        self.log = log
        command = [sys.executable, "-m", "probes", "dashboard", str(root), "--port", str(port), "--no-browser"]
        environment = {**os.environ, "PYTHONPATH": str(HOME), "OMP_NUM_THREADS": "1", **env}
        self.process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=log.open("ab"), text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()  # ends at the latest when the process does
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found, f"no address in {line!r}; it said: {self.errors}"
        self.url, self.port = found.group(0), int(found.group(1))

    @property
    def errors(self) -> str:
        return self.log.read_text(encoding="utf-8")

    @property
    def live_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/_babysit/live"

    def stop(self, signum: int = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        code = self.process.wait(timeout=20)
        self.process.stdout.close()
        return code


def end(server: Server) -> None:
    """Whatever state it is in."""
    if server.process.poll() is None:
        server.process.kill()
        server.process.wait(timeout=20)
    server.process.stdout.close()


@pytest.fixture
def until() -> Callable[..., Any]:
    return wait_until


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """`start(root, port=..., env=..., cwd=...)` -> a running `Server`, ended with the test."""
    started: list[Server] = []

    def begin(root: Path, **options: Any) -> Server:
        started.append(Server(root, tmp_path / f"server-{len(started)}.log", **options))
        return started[-1]

    yield begin
    for server in started:
        end(server)


@pytest.fixture(scope="session")
def shared_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def shared(shared_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that leave it as it was; its runs are in `shared_runs`, one name for each test."""
    server = Server(shared_runs, tmp_path_factory.mktemp("log") / "server.log")
    yield server
    code = server.stop()
    end(server)
    assert code == 0
    assert "Traceback" not in server.errors


class Training:
    """A run being written: `steps(n)` logs n more steps and flushes them."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = path
        self.last = 0
        self.writer = RunWriter(path, {"name": name or path.name, "config": {}}, flush_interval=0.05)

    def steps(self, count: int = 1) -> int:
        for step in range(self.last + 1, self.last + count + 1):
            values = {"train/loss": 2.0 / step, "val/loss": 2.5 / step, "train/accuracy": 1 - 1 / step}
            self.writer.scalars(step, time.time(), values)
        self.last += count
        assert self.writer.flush(timeout=20)
        return self.last


@pytest.fixture
def train() -> Iterator[Callable[..., Training]]:
    """`train(path)` -> `Training`, finished with the test."""
    begun: list[Training] = []

    def begin(path: Path, name: str | None = None) -> Training:
        begun.append(Training(path, name))
        return begun[-1]

    yield begin
    for one in begun:
        one.writer.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """`open_page(url)` -> a page in a browser profile of its own; what it put into the console is in `page.noise`."""
    contexts = []

    def begin(url: str, context: Any = None, **options: Any) -> Any:
        if context is None:
            context = chromium.new_context(viewport={"width": 1200, "height": 800}, **options)
            context.set_default_timeout(PATIENCE_SECONDS * 1000)
            contexts.append(context)
        page = context.new_page()
        page.noise = []
        page.on("console", lambda said: page.noise.append(f"{said.type}: {said.text}") if _loud(said) else None)
        page.on("pageerror", lambda error: page.noise.append(f"uncaught: {error}"))
        page.goto(url, wait_until="commit")
        return page

    yield begin
    for context in contexts:
        context.close()


def _loud(said: Any) -> bool:
    return said.type in ("error", "warning")
