"""The live channel, spoken by hand over real WebSockets to a real server."""

from __future__ import annotations

import base64
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from starlette.applications import Starlette
from websockets.sync.client import ClientConnection, connect

from app.server import live
from app.store import Dashboard

SECONDS = 30


def tell(socket: ClientConnection, **message: Any) -> None:
    socket.send(json.dumps(message))


def hear(socket: ClientConnection, **wanted: Any) -> dict[str, Any]:
    """The next message that has all of `wanted`."""
    while True:
        message = json.loads(socket.recv(timeout=SECONDS))
        if wanted.items() <= message.items():
            return message


def follow(socket: ClientConnection, run: str, chart: str = "live.loss", asked: str = "c") -> None:
    tell(socket, type="chart", id=asked, chart=chart, runs=[run], params={}, theme="light")


def newest_step(figure: dict[str, Any]) -> float:
    found = []
    for trace in figure["data"]:
        x = trace.get("x")
        if isinstance(x, dict):
            x = np.frombuffer(base64.b64decode(x["bdata"]), dtype=np.dtype(x["dtype"]))
        if x is not None and len(x):
            found.append(float(np.max(x)))
    return max(found)


def test_a_chart_follows_its_run_but_only_as_fast_as_it_is_drawn(shared, shared_runs, train):
    training = train(shared_runs / "channel-chart")
    training.steps(20)
    with connect(shared.live_url) as socket, connect(shared.live_url) as other:
        follow(socket, "channel-chart")
        assert newest_step(hear(socket, type="figure")["figure"]) == 20
        # The first page says nothing of having drawn it; the second one does, and is served all the same.
        follow(other, "channel-chart")
        for _ in range(5):
            steps = training.steps(10)
            while True:
                figure = hear(other, type="figure", id="c")["figure"]
                tell(other, type="drawn", id="c")
                if newest_step(figure) == steps:
                    break
        tell(socket, type="nonsense", id="mark")
        assert hear(socket)["id"] == "mark", "nothing was sent to the page that had not drawn yet"
        tell(socket, type="drawn", id="c")
        assert newest_step(hear(socket, type="figure")["figure"]) == 70, "and then the newest, not a queue of old ones"


def test_a_stamp_changes_with_its_run_and_the_list_with_the_runs(shared, shared_runs, train):
    training = train(shared_runs / "channel-stamp")
    training.steps(1)
    with connect(shared.live_url) as socket:
        tell(socket, type="stamp", id="run", runs=["channel-stamp"])
        first = hear(socket, id="run")["stamp"]
        training.steps(1)
        assert hear(socket, id="run")["stamp"] != first
        tell(socket, type="stamp", id="list", runs=[])
        listed = hear(socket, id="list")["stamp"]
        train(shared_runs / "channel-another").steps(1)
        assert hear(socket, id="list")["stamp"] != listed


def test_a_hidden_page_is_sent_nothing_until_it_is_seen_again(shared, shared_runs, train):
    training = train(shared_runs / "channel-hidden")
    training.steps(1)
    with connect(shared.live_url) as socket, connect(shared.live_url) as seen:
        for one in (socket, seen):
            tell(one, type="stamp", id="s", runs=["channel-hidden"])
        first = hear(socket, id="s")["stamp"]
        hear(seen, id="s")
        tell(socket, type="visible", visible=False)
        training.steps(1)
        assert hear(seen, id="s")["stamp"] != first
        tell(socket, type="nonsense", id="mark")
        assert hear(socket)["id"] == "mark"
        tell(socket, type="visible", visible=True)
        assert hear(socket, id="s")["stamp"] != first


@pytest.mark.parametrize(
    "garbled",
    ["", "not json", "[1, 2]", "null", b"\xff\xfe", "{", "[" * 5000]
    + [json.dumps(message) for message in (
        {}, {"type": "chart"}, {"type": "unknown", "id": "x"}, {"type": "chart", "id": 7},
        {"type": "chart", "id": "x", "chart": "live.loss", "runs": "all", "params": {}, "theme": "light"},
        {"type": "chart", "id": "x", "chart": "live.loss", "runs": [1], "params": {}, "theme": "light"},
        {"type": "chart", "id": "x", "chart": "live.loss", "runs": [], "params": [], "theme": "light"},
        {"type": "chart", "id": "x", "chart": "live.loss", "runs": [], "params": {}, "theme": "pink"},
        {"type": "chart", "id": "x", "chart": ["live.loss"], "runs": [], "params": {}, "theme": "light"},
        {"type": "chart", "id": "x", "chart": "no.such", "runs": [], "params": {}, "theme": "light"},
        {"type": "stamp", "id": "x", "runs": None},
    )],
)  # fmt: skip
def test_a_garbled_message_is_answered_and_harms_nothing(shared, shared_runs, train, garbled):
    if not (shared_runs / "channel-garbled").exists():
        train(shared_runs / "channel-garbled").steps(1)
    with connect(shared.live_url) as socket:
        socket.send(garbled)
        assert hear(socket)["type"] == "error"
        follow(socket, "channel-garbled")
        assert newest_step(hear(socket, type="figure")["figure"]) == 1


@pytest.mark.parametrize("run", ["../x", "..", "/etc", "a/../../x", "", "a\\..\\..\\x"])
def test_no_run_id_leads_out_of_the_runs_directory(shared, shared_runs, train, run):
    train(shared_runs.parent / f"outside-{os.getpid()}" / "x").steps(1)
    with connect(shared.live_url) as socket:
        follow(socket, run)
        assert "there is no run" in hear(socket, type="error", id="c")["message"]
        tell(socket, type="stamp", id="s", runs=[run])
        assert "there is no run" in hear(socket, type="error", id="s")["message"]


def test_a_page_follows_a_bounded_number_of_things(shared):
    with connect(shared.live_url) as socket:
        for at in range(200):
            tell(socket, type="stamp", id=f"s{at}", runs=[])
        assert "at most" in hear(socket, type="error")["message"]
        for at in range(200):
            tell(socket, type="drop", id=f"s{at}")
        tell(socket, type="stamp", id="room again", runs=[])
        assert hear(socket, id="room again")["type"] == "stamp"


def test_a_run_deleted_while_it_is_watched_is_said_and_the_page_lives_on(shared, shared_runs, train):
    training = train(shared_runs / "channel-deleted")
    training.steps(3)
    training.writer.close()
    with connect(shared.live_url) as socket:
        follow(socket, "channel-deleted")
        hear(socket, type="figure")
        tell(socket, type="drawn", id="c")
        shutil.rmtree(shared_runs / "channel-deleted")
        assert "not there" in hear(socket, type="error", id="c")["message"]
        again = train(shared_runs / "channel-deleted")
        again.steps(2)
        assert newest_step(hear(socket, type="figure")["figure"]) == 2


def test_a_page_that_takes_nothing_in_holds_nobody_up(shared, shared_runs, train):
    training = train(shared_runs / "channel-stuck")
    training.steps(2000)
    with connect(shared.live_url, max_queue=1) as stuck, connect(shared.live_url) as other:
        for at in range(100):  # far more than the network takes in without being read
            follow(stuck, "channel-stuck", asked=f"c{at}")
        follow(other, "channel-stuck")
        hear(other, type="figure")
        tell(other, type="drawn", id="c")
        steps = training.steps(1)
        while newest_step(hear(other, type="figure")["figure"]) < steps:
            tell(other, type="drawn", id="c")
        stuck.close_timeout = 0.1


def test_pages_that_came_and_went_leave_nothing_behind(shared, shared_runs, train, until: Callable[..., Any]):
    train(shared_runs / "channel-leak").steps(5)
    process = Path(f"/proc/{shared.process.pid}")

    def held() -> tuple[int, int]:
        return len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))

    def visit() -> None:
        with connect(shared.live_url) as socket:
            follow(socket, "channel-leak")
            tell(socket, type="stamp", id="s", runs=["channel-leak"])
            hear(socket, type="figure")

    for _ in range(3):
        visit()
    threads, files = held()
    for _ in range(50):
        visit()
    until(lambda: held()[0] <= threads and held()[1] <= files + 2, "threads and files being given back")


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Callable[..., Any]) -> Iterator[str]:
    """The live channel alone, whose pages are to hear something every 0.3 s; its runs are in `tmp_path`."""
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.3)
    served = Dashboard(tmp_path)
    app = Starlette(routes=[live.live_route(served)])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started, "the server")
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"ws://127.0.0.1:{port}{live.PATH}"
    server.should_exit = True
    thread.join()
    served.close()


def test_a_page_hears_something_also_while_nothing_is_for_it(impatient, tmp_path, train):
    training = train(tmp_path / "a")
    training.steps(1)
    with connect(impatient) as socket:
        assert hear(socket)["type"] == "beat"
        tell(socket, type="stamp", id="s", runs=["a"])
        hear(socket, id="s")
        tell(socket, type="visible", visible=False)
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(0.05):  # always something new, none of it for a page that is not looked at
                training.steps(1)

        worker = threading.Thread(target=work)
        worker.start()
        try:
            for _ in range(3):
                assert hear(socket)["type"] == "beat"
        finally:
            stop.set()
            worker.join()
