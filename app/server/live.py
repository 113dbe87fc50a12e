"""The live channel: one WebSocket per page, over which its charts get their figures.

Messages are JSON objects. From the page:

| message | meaning |
|---|---|
| `{"type": "chart", "id", "chart", "runs", "params", "theme"}` | keep the chart `id` up to date, from now on so |
| `{"type": "stamp", "id", "runs"}` | say when one of the runs has a new version (no runs: the list of runs) |
| `{"type": "drop", "id"}` | no more of `id` |
| `{"type": "drawn", "id"}` | the last figure of `id` is on the screen; the next may come |
| `{"type": "visible", "visible"}` | the tab is looked at, or not |

To the page: `{"type": "figure", "id", "figure"}`, `{"type": "error", "id", "message"}`,
`{"type": "stamp", "id", "stamp"}`, and `{"type": "beat"}` when there was nothing else to say for a while.

A chart's next figure is only drawn and sent after the page has drawn the last one: a slow page gets fewer figures,
never a queue of old ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.server.render import ChartSpec, Drawn, Renderer
from app.store import Dashboard, Subscription
from probes.errors import BabysitError, InvalidArgumentError

PATH = "/_babysit/live"
MIN_INTERVAL_SECONDS = 0.1
BEAT_SECONDS = 10.0
MAX_SUBSCRIPTIONS = 128

_log = logging.getLogger(__name__)


@dataclass
class _Chart:
    """One chart of one page. `sent` is the tag of what the page has, `asked` the versions it was drawn from."""

    spec: ChartSpec
    subscription: Subscription
    sent: bytes = b""
    asked: tuple[int, ...] | None = None
    drawing: bool = False


@dataclass
class _Stamp:
    run_ids: tuple[str, ...]
    subscription: Subscription
    sent: str | None = None


class PageSession:
    """One open page: what it looks at, and what of it is still to be sent."""

    def __init__(
        self, dashboard: Dashboard, renderer: Renderer, workers: ThreadPoolExecutor, socket: WebSocket
    ) -> None:
        self._dashboard = dashboard
        self._renderer = renderer
        self._workers = workers
        self._socket = socket
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._charts: dict[str, _Chart] = {}
        self._stamps: dict[str, _Stamp] = {}
        self._visible = True
        self._spoke = self._loop.time()

    async def run(self) -> None:
        """Serves the page until it goes away."""
        pushing = asyncio.create_task(self._push())
        receiving = asyncio.create_task(self._receive())
        try:
            done, _ = await asyncio.wait({pushing, receiving}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (pushing, receiving):
                task.cancel()
            await asyncio.gather(pushing, receiving, return_exceptions=True)
            for known in [*self._charts, *self._stamps]:
                self._drop(known)

    async def _receive(self) -> None:
        while True:
            event = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            asked = None
            try:
                message = _parse(event)
                asked = message.get("id")
                self._handle(message)
            except BabysitError as error:
                await self._send({"type": "error", "id": asked, "message": str(error)})

    def _handle(self, message: Mapping[str, Any]) -> None:
        kind, asked = message.get("type"), message.get("id")
        if kind == "visible":
            self._visible = bool(message.get("visible"))
        elif not isinstance(asked, str):
            raise InvalidArgumentError(f"a message of type {kind!r} needs an id")
        elif kind == "chart":
            self._open_chart(asked, message)
        elif kind == "stamp":
            self._drop(asked)
            run_ids = _run_ids(message)
            self._stamps[asked] = _Stamp(run_ids, self._subscribe(run_ids))
        elif kind == "drop":
            self._drop(asked)
        elif kind == "drawn":
            if asked in self._charts:
                self._charts[asked].drawing = False
        else:
            raise InvalidArgumentError(f"there is no message type {kind!r}")
        self._wake.set()

    def _open_chart(self, asked: str, message: Mapping[str, Any]) -> None:
        params, theme = message.get("params", {}), message.get("theme")
        if not isinstance(message.get("chart"), str) or not isinstance(params, dict) or theme not in ("light", "dark"):
            raise InvalidArgumentError("a chart message needs chart (text), params (object), theme (light or dark)")
        self._drop(asked)
        run_ids = _run_ids(message)
        spec = ChartSpec.of(message["chart"], list(run_ids), params, theme)
        self._charts[asked] = _Chart(spec, self._subscribe(run_ids))

    def _subscribe(self, run_ids: tuple[str, ...]) -> Subscription:
        if len(self._charts) + len(self._stamps) >= MAX_SUBSCRIPTIONS:
            raise InvalidArgumentError(f"a page can follow {MAX_SUBSCRIPTIONS} charts at most")
        return self._dashboard.hub.subscribe(run_ids, self._on_change)

    def _drop(self, asked: str) -> None:
        for known in (self._charts.pop(asked, None), self._stamps.pop(asked, None)):
            if known is not None:
                known.subscription.close()

    def _on_change(self) -> None:
        # From the hub's thread. The loop may be closed already while the server stops.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake.set)

    async def _push(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._quiet_left())
            # Also when there is always something new that this page is not to be sent (a hidden tab).
            if self._quiet_left() == 0:
                await self._send({"type": "beat"})
            if not self._wake.is_set():
                continue
            self._wake.clear()
            if self._visible:
                await self._push_stamps()
                await self._push_charts()
            await asyncio.sleep(MIN_INTERVAL_SECONDS)

    def _quiet_left(self) -> float:
        """Seconds until the page must hear something, so as not to take the connection for dead."""
        return max(0.0, self._spoke + BEAT_SECONDS - self._loop.time())

    async def _push_stamps(self) -> None:
        for asked, stamp in list(self._stamps.items()):
            now = self._dashboard.stamp(stamp.run_ids)
            if now != stamp.sent:
                stamp.sent = now
                await self._send({"type": "stamp", "id": asked, "stamp": now})

    async def _push_charts(self) -> None:
        for asked, chart in list(self._charts.items()):
            if chart.drawing or chart.asked == self._renderer.versions(chart.spec.run_ids):
                continue
            drawn = await self._loop.run_in_executor(self._workers, self._renderer.draw, chart.spec)
            if self._charts.get(asked) is not chart:
                continue  # dropped or replaced while it was being drawn
            chart.asked = drawn.versions
            if drawn.tag != chart.sent:
                chart.sent = drawn.tag
                await self._send_drawn(asked, chart, drawn)

    async def _send_drawn(self, asked: str, chart: _Chart, drawn: Drawn) -> None:
        if drawn.figure is None:
            await self._send({"type": "error", "id": asked, "message": drawn.error})
            return
        chart.drawing = True
        name = orjson.dumps(asked).decode()
        await self._send_text(f'{{"type":"figure","id":{name},"figure":{drawn.figure.decode()}}}')

    async def _send(self, message: Mapping[str, Any]) -> None:
        await self._send_text(orjson.dumps(message).decode())

    async def _send_text(self, text: str) -> None:
        await self._socket.send_text(text)
        self._spoke = self._loop.time()


def _parse(event: Mapping[str, Any]) -> dict[str, Any]:
    try:
        message = orjson.loads(event.get("text") or event.get("bytes") or b"")
    except orjson.JSONDecodeError as error:
        raise InvalidArgumentError(f"a message must be JSON: {error}") from error
    if not isinstance(message, dict):
        raise InvalidArgumentError("a message must be a JSON object")
    return message


def _run_ids(message: Mapping[str, Any]) -> tuple[str, ...]:
    runs = message.get("runs")
    if not isinstance(runs, list) or not all(isinstance(run, str) for run in runs):
        raise InvalidArgumentError("runs must be a list of run ids")
    return tuple(runs)


def live_route(dashboard: Dashboard) -> WebSocketRoute:
    """The route of the live channel."""
    renderer = Renderer(dashboard)
    workers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="babysit-draw")

    async def endpoint(socket: WebSocket) -> None:
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            await PageSession(dashboard, renderer, workers, socket).run()

    return WebSocketRoute(PATH, endpoint)
