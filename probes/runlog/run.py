"""`open_run` and `Run`: a run directory read back, live or ended."""

from __future__ import annotations

import difflib
import os
import threading
import time as _time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from probes.errors import RunDirectoryError, UnknownNameError
from probes.runlog import manifest as manifests
from probes.runlog import status as statuses
from probes.runlog import views
from probes.runlog.layout import (
    CHECKS,
    EVENTS,
    FILTERS,
    FINDINGS,
    HISTOGRAMS,
    LAYERS,
    MANIFEST,
    SCALARS,
    STREAMS,
    SegmentName,
    lock_name,
    parse_segment_name,
    run_path,
)
from probes.runlog.segment_reader import session_limits
from probes.runlog.stream_reader import StreamReader
from probes.runlog.types import Filters, Histograms, LayerHistograms, LayerSeries, RunEvent, Series

_RECENT = 2_000
_LOOK_AGAIN = 1.0  # seconds between looks whether the writer is still there
_KEPT_BYTES = 256 << 20  # of columns of one stream, beyond those just asked for


def open_run(path: str | Path, *, clock: Callable[[], float] = _time.time) -> Run:
    """The run recorded in directory ``path``: live, finished or crashed.

    Args:
        path: a run directory.
        clock: Unix time in seconds, for judging whether a live run has stalled.

    Raises:
        RunDirectoryError: there is no run, or it is damaged, or of a newer format.
    """
    return Run(path, clock=clock)


class Run:
    """A run directory, read on demand. Safe to use from several threads.

    What is handed out is a snapshot as of the last `refresh`; columns are read when they are first asked for.
    """

    def __init__(self, path: str | Path, *, clock: Callable[[], float] = _time.time) -> None:
        self.path = run_path(path)
        self._clock = clock
        self._mutex = threading.RLock()
        self._manifest = manifests.read_manifest(self.path)
        self._manifest_stat: tuple[int, ...] | None = None
        self._manifest_problem: str | None = None
        self._streams: dict[tuple[str, int], StreamReader] = {}
        self._files: dict[tuple[str, int], dict[SegmentName, tuple[int, ...]]] = {}
        self._sizes: dict[str, tuple[int, ...]] = {}
        self._other_problems: list[str] = []
        self._heartbeat: tuple[float, float] | None = None
        self._views: dict[object, tuple[object, Any]] = {}
        self._ended = False
        self._looked = 0.0
        self.version = 0
        self.refresh()

    def __repr__(self) -> str:
        return f"<Run {self.name!r} ({self.status}) at {self.path}>"

    # ---- what the run is ----

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest ``run.json`` as a dict (see docs/run-directory.md)."""
        return self._manifest

    @property
    def name(self) -> str:
        """Name of the run."""
        return str(self._manifest.get("name") or self.path.name)

    @property
    def config(self) -> dict[str, Any]:
        """What the user gave as configuration."""
        return dict(self._manifest.get("config") or {})

    @property
    def model(self) -> dict[str, Any]:
        """The model: class, parameters, modules in forward order."""
        return dict(self._manifest.get("model") or {})

    @property
    def status(self) -> str:
        """ "running", "finished", "crashed" or "stalled", as of now (see docs/run-directory.md)."""
        with self._mutex:
            if self._manifest.get("status") in (statuses.FINISHED, statuses.CRASHED):
                return str(self._manifest["status"])
            stream = self._stream(SCALARS, 0)
            times = stream.times[-_RECENT:]
            began = max((s.get("started") or 0.0 for s in self._manifest.get("sessions", ())), default=0.0)
            latest = max(began, float(times[-1]) if len(times) else 0.0)
            now = self._clock()
            session = times[times >= began]
            lock = self.path / lock_name(0)
            return statuses.judge(statuses.look(self._manifest, lock, self._heartbeat_age(now), now - latest, session))

    @property
    def ranks(self) -> list[int]:
        """Ranks that have written anything."""
        with self._mutex:
            return sorted({rank for _, rank in self._files} | {0})

    @property
    def series_names(self) -> list[str]:
        """Names of the scalar series of rank 0, in the order they appeared."""
        return self._series_names(0)

    @property
    def last_step(self) -> int | None:
        """The last step recorded (and not superseded); None before the first."""
        with self._mutex:
            steps, _ = self._clock_rows(0)
            return int(steps.max()) if len(steps) else None

    @property
    def last_time(self) -> float | None:
        """Unix time of the last row recorded; None before the first."""
        with self._mutex:
            _, times = self._clock_rows(0)
            return float(times[-1]) if len(times) else None

    @property
    def events(self) -> list[RunEvent]:
        """What happened, in order; events are never superseded."""
        with self._mutex:
            return list(views.events(self._stream(EVENTS, 0)))

    @property
    def problems(self) -> list[str]:
        """Plain sentences on what of the directory could not be read; empty when all is well."""
        with self._mutex:
            found = [self._manifest_problem] if self._manifest_problem else []
            for stream in STREAMS:
                for rank in self.ranks:
                    found += self._stream(stream, rank).problems
                sessions = self._manifest["sessions"]
                closed = {i for i, session in enumerate(sessions) if session.get("ended") is not None}
                found += self._stream(stream, 0).incomplete(closed, bool(closed) and len(sessions) == 1)
            return found + self._other_problems

    # ---- taking in what is new ----

    def refresh(self) -> bool:
        """Take in what was written since; True when anything was. The cost is that of what is new."""
        with self._mutex:
            changed = self._refresh_directory()
            for (stream, rank), reader in self._streams.items():
                if reader.loaded:
                    reader.update(self._files.get((stream, rank), {}), self._ended)
            if changed:
                self.version += 1
            return changed

    def _refresh_directory(self) -> bool:
        sizes: dict[str, tuple[int, ...]] = {}
        files: dict[tuple[str, int], dict[SegmentName, tuple[int, ...]]] = {}
        foreign = []
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    segment = parse_segment_name(entry.name)
                    if segment is None and entry.name not in (MANIFEST, CHECKS, FINDINGS):
                        if entry.name.endswith(".arrows"):
                            foreign.append(f"{entry.name}: not the name of a segment: skipped")
                        continue
                    stat = entry.stat()
                    sizes[entry.name] = (stat.st_size, stat.st_ino, stat.st_mtime_ns)
                    if segment is not None:
                        files.setdefault(segment[:2], {})[segment] = sizes[entry.name]
        except OSError as error:
            self._other_problems = [f"{self.path}: cannot be read any more: {error.strerror or error}"]
            return False
        manifest_changed = sizes.get(MANIFEST) != self._sizes.get(MANIFEST)
        changed = sizes != self._sizes
        self._sizes = sizes
        self._files = {key: dict(sorted(found.items())) for key, found in files.items()}
        self._other_problems = foreign
        if manifest_changed:
            self._read_manifest()
        if manifest_changed or _time.monotonic() - self._looked > _LOOK_AGAIN:
            self._looked = _time.monotonic()
            self._ended = self._manifest.get("status") != statuses.RUNNING or self._writer_is_gone()
        return changed

    def _read_manifest(self) -> None:
        try:
            self._manifest = manifests.read_manifest(self.path)
            self._manifest_problem = None
        except RunDirectoryError as error:
            self._manifest_problem = str(error)

    def _writer_is_gone(self) -> bool:
        signs = statuses.look(self._manifest, self.path / lock_name(0), 0.0, 0.0, np.empty(0))
        return statuses.judge(signs) == statuses.CRASHED

    def _heartbeat_age(self, now: float) -> float | None:
        try:
            beat = (self.path / lock_name(0)).stat().st_mtime
        except OSError:
            return None
        if self._heartbeat is None or self._heartbeat[0] != beat:
            first_look = self._heartbeat is None
            self._heartbeat = (beat, now)
            # Seen to move: alive just now, whatever the two clocks say. At the first look only the clocks
            # can tell.
            return max(0.0, now - beat) if first_look else 0.0
        return max(0.0, min(now - beat, now - self._heartbeat[1]) if now < beat else now - beat)

    def _stream(self, stream: str, rank: int) -> StreamReader:
        reader = self._streams.get((stream, rank))
        if reader is None:
            reader = self._streams[stream, rank] = StreamReader(self.path, stream, rank)
        if not reader.loaded:
            reader.update(self._files.get((stream, rank), {}), self._ended)
        return reader

    def _limits(self, stream: StreamReader) -> dict[int, int]:
        return session_limits([*self._stream(EVENTS, stream.rank).infos, *stream.infos])

    def _visible(self, stream: StreamReader) -> npt.NDArray[np.bool_] | None:
        limits = self._limits(stream)
        key = ("visible", stream.stream, stream.rank)
        state = (stream.version, tuple(limits.items()))
        mask: npt.NDArray[np.bool_] | None = self._cached(key, state, lambda: stream.visible(limits))
        return mask

    def _cached(self, key: object, state: object, make: Callable[[], Any]) -> Any:
        held = self._views.get(key)
        if held is None or held[0] != state:
            held = self._views[key] = (state, make())
        return held[1]

    def _clock_rows(self, rank: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        for kind in (SCALARS, LAYERS):
            stream = self._stream(kind, rank)
            visible = self._visible(stream)
            if stream.rows and (visible is None or visible.any()):
                if visible is None:
                    return stream.steps, stream.times
                return stream.steps[visible], stream.times[visible]
        return np.empty(0, np.int64), np.empty(0)

    # ---- scalars ----

    def _series_names(self, rank: int) -> list[str]:
        with self._mutex:
            return views.series_names(self._stream(SCALARS, rank))

    def series(self, name: str, rank: int = 0) -> Series:
        """The scalar series ``name``. Raises UnknownNameError."""
        with self._mutex:
            stream = self._stream(SCALARS, rank)
            if name not in (names := self._series_names(rank)):
                raise self._unknown("series", name, names)
            found = views.series(stream, self._visible(stream), name)
            stream.trim(_KEPT_BYTES)
            return found

    # ---- layers ----

    @property
    def layer_kinds(self) -> list[str]:
        """Kinds of per-layer statistics there are."""
        with self._mutex:
            return list(views.layer_axes(self._stream(LAYERS, 0)))

    def layer_series(self, kind: str, rank: int = 0) -> LayerSeries:
        """The statistic ``kind`` of every layer. Raises UnknownNameError."""
        with self._mutex:
            stream = self._stream(LAYERS, rank)
            axes = views.layer_axes(stream)
            if kind not in axes:
                raise self._unknown("layer statistic", kind, axes)
            return views.layer_series(stream, self._visible(stream), kind, axes[kind])

    # ---- histograms ----

    @property
    def histogram_kinds(self) -> list[str]:
        """Kinds of histograms there are."""
        with self._mutex:
            return list(views.histogram_layers(self._stream(HISTOGRAMS, 0)))

    def histogram_layers(self, kind: str, rank: int = 0) -> list[str]:
        """Layers that have histograms of ``kind``, in forward order. Raises UnknownNameError."""
        with self._mutex:
            layers = views.histogram_layers(self._stream(HISTOGRAMS, rank))
            if kind not in layers:
                raise self._unknown("histograms", kind, layers)
            return layers[kind]

    def histograms(self, kind: str, layer: str, rank: int = 0) -> Histograms:
        """Histograms of ``kind`` of one layer over the run. Raises UnknownNameError."""
        with self._mutex:
            layers = self.histogram_layers(kind, rank)
            if layer not in layers:
                raise self._unknown(f"{kind} histograms of layer", layer, layers)
            stream = self._stream(HISTOGRAMS, rank)
            found = views.histograms(stream, self._visible(stream), kind, layer)
            stream.trim(_KEPT_BYTES)
            return found

    def histograms_at(self, kind: str, step: int | None = None, rank: int = 0) -> LayerHistograms:
        """Histograms of ``kind`` of all layers at the frame nearest to ``step`` (the last one when None).

        Raises:
            UnknownNameError: there are no such histograms.
        """
        with self._mutex:
            stream = self._stream(HISTOGRAMS, rank)
            known = views.histogram_layers(stream)
            found = views.histograms_at(stream, self._visible(stream), kind, step) if kind in known else None
            if found is None:
                raise self._unknown("histograms", kind, known)
            return found

    # ---- filters ----

    def filters(self, step: int | None = None, rank: int = 0) -> Filters:
        """First-layer weights at the snapshot nearest to ``step`` (the last one when None).

        Raises:
            UnknownNameError: no snapshot was recorded.
        """
        with self._mutex:
            stream = self._stream(FILTERS, rank)
            found = views.filters(stream, self._visible(stream), step)
            if found is None:
                raise UnknownNameError(
                    f"run {self.name!r} has no filters (no snapshot of its first layer was recorded)"
                )
            return found

    # ---- reports ----

    def checks(self) -> dict[str, Any] | None:
        """The sanity report saved with the run, None when there is none. Raises RunDirectoryError."""
        return self._report(CHECKS)

    def findings(self) -> dict[str, Any] | None:
        """The diagnosis saved with the run, None when there is none. Raises RunDirectoryError."""
        return self._report(FINDINGS)

    def _report(self, name: str) -> dict[str, Any] | None:
        path = self.path / name
        try:
            report = orjson.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, orjson.JSONDecodeError) as error:
            raise RunDirectoryError(f"{path}: damaged: {error}") from error
        if not isinstance(report, dict):
            raise RunDirectoryError(f"{path}: damaged: a JSON object was expected")
        return report

    def _unknown(self, what: str, name: object, known: Iterable[str]) -> UnknownNameError:
        known = list(known)
        near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
        if near:
            hint = "did you mean " + " or ".join(repr(n) for n in near) + "?"
        elif known:
            hint = "there are: " + ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
        else:
            hint = "none are recorded"
        return UnknownNameError(f"run {self.name!r} has no {what} {name!r}; {hint}")
