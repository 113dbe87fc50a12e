"""Charts drawn once per version, however many pages show them."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from app.figures import registry
from app.server.encode import figure_bytes
from app.store import Dashboard
from probes.errors import BabysitError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChartSpec:
    """One chart as a page asks for it. `params` as canonical JSON, so that equal charts are equal."""

    chart_id: str
    run_ids: tuple[str, ...]
    params_json: bytes
    theme: str

    @classmethod
    def of(cls, chart_id: str, run_ids: list[str], params: Mapping[str, Any], theme: str) -> ChartSpec:
        return cls(chart_id, tuple(run_ids), orjson.dumps(params, option=orjson.OPT_SORT_KEYS), theme)


@dataclass(frozen=True)
class Drawn:
    """A chart at one version of its runs: the figure's JSON, or why there is none.

    Attributes:
        versions: of the runs, when it was drawn.
        tag: equal for equal content.
    """

    versions: tuple[int, ...]
    figure: bytes | None
    error: str | None
    tag: bytes = field(default=b"")


class Renderer:
    """Draws charts on demand; keeps the newest drawing of the charts asked for last. Safe from any thread."""

    def __init__(self, dashboard: Dashboard, capacity: int = 64) -> None:
        self._dashboard = dashboard
        self._capacity = capacity
        self._drawn: OrderedDict[ChartSpec, Drawn] = OrderedDict()
        self._busy: dict[ChartSpec, threading.Lock] = {}
        self._lock = threading.Lock()

    def versions(self, run_ids: tuple[str, ...]) -> tuple[int, ...]:
        """What the runs' versions are now."""
        return tuple(self._dashboard.store(run_id).version for run_id in run_ids)

    def draw(self, spec: ChartSpec) -> Drawn:
        """The chart as its runs stand. Never raises: what went wrong is in the result."""
        with self._lock:
            busy = self._busy.setdefault(spec, threading.Lock())
        with busy:
            with self._lock:
                kept = self._drawn.get(spec)
                if kept is not None:
                    self._drawn.move_to_end(spec)
            if kept is not None and kept.versions == self.versions(spec.run_ids):
                return kept
            drawn = self._draw(spec)
            with self._lock:
                self._drawn[spec] = drawn
                self._drawn.move_to_end(spec)
                while len(self._drawn) > self._capacity:
                    oldest, _ = self._drawn.popitem(last=False)
                    self._busy.pop(oldest, None)
            return drawn

    def _draw(self, spec: ChartSpec) -> Drawn:
        versions: tuple[int, ...] = ()
        try:
            with self._dashboard.reading(spec.run_ids) as runs:
                versions = self.versions(spec.run_ids)
                theme = cast(registry.Theme, spec.theme)
                figure = figure_bytes(registry.build(spec.chart_id, runs, orjson.loads(spec.params_json), theme))
        except BabysitError as error:
            return _failed(self._now(spec, versions), str(error))
        except Exception as error:  # noqa: BLE001 - one chart that cannot be drawn says so in its place; the others
            # on the page, and the page, live on. The traceback goes to the log.
            _log.exception("drawing %s of %s failed", spec.chart_id, ", ".join(spec.run_ids))
            message = f"This chart could not be drawn ({type(error).__name__}: {error})."
            return _failed(self._now(spec, versions), message)
        return Drawn(versions, figure, None, hashlib.blake2b(figure, digest_size=16).digest())

    def _now(self, spec: ChartSpec, versions: tuple[int, ...]) -> tuple[int, ...]:
        try:
            return versions or self.versions(spec.run_ids)
        except BabysitError:
            return versions


def _failed(versions: tuple[int, ...], message: str) -> Drawn:
    return Drawn(versions, None, message, b"error " + message.encode())
