"""All rows of one stream of one rank: its segments in order, seen as one growing table.

Row numbers are stable: rows are only ever appended. Columns are read when they are asked for, kept, and
extended by what is new. Which rows are superseded by a resumed session is worked out when they are handed
out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from probes.errors import RunDirectoryError
from probes.runlog.arrow import values_of
from probes.runlog.columns import Growable
from probes.runlog.layout import HISTOGRAMS, SegmentName
from probes.runlog.segment_reader import BatchRef, ReplacedError, SegmentInfo, SegmentReader, decode
from probes.runlog.wire import Buffer

# Bodies of these streams are compressed or wide: only the fields asked for are decoded.
_SELECTIVE = frozenset({HISTOGRAMS})
_ATTEMPTS = 5


Signature = tuple[int, ...]


class Column(Protocol):
    """Collects a column. ``rows`` is how many rows of the stream it has taken in."""

    rows: int

    @property
    def nbytes(self) -> int:
        """Bytes held."""

    def fields(self, info: SegmentInfo) -> list[int]:
        """Numbers of the schema's fields it needs from such a segment; none: the segment lacks the column."""

    def take(self, info: SegmentInfo, batch: pa.RecordBatch | None, first: int, count: int) -> None:
        """Take in ``count`` rows from row ``first`` of the stream on; ``batch`` None: column absent."""


class _Segment:
    def __init__(self, reader: SegmentReader, first: int) -> None:
        self.reader = reader
        self.first = first
        self.rows = 0  # handed out so far
        self.failed = False
        self.state: tuple[Signature, bool] | None = None  # as of the last update

    def fail(self, error: OSError) -> None:
        """Read no more of this segment."""
        self.failed = True
        self.reader.problems.append(f"{self.reader.path.name}: cannot be read: {error.strerror or error}")


class _ShiftedError(Exception):
    """Rows are no longer where they were: everything must be read anew."""


class StreamReader:
    """The rows of one stream of one rank.

    Attributes:
        version: grows whenever rows were added.
    """

    def __init__(self, run_dir: Path, stream: str, rank: int) -> None:
        self._run_dir = run_dir
        self.stream = stream
        self.rank = rank
        self._reset()

    def _reset(self) -> None:
        self._segments: list[_Segment] = []
        self._steps = Growable(np.int64)
        self._times = Growable(np.float64)
        self._columns: dict[object, Column] = {}
        self.loaded = False
        self.version = getattr(self, "version", 0) + 1

    @property
    def rows(self) -> int:
        """Rows taken in so far, superseded ones included."""
        return len(self._steps)

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """Step of every row, int64 [rows]."""
        return self._steps.array

    @property
    def times(self) -> npt.NDArray[np.float64]:
        """Unix time of every row, float64 [rows]."""
        return self._times.array

    @property
    def infos(self) -> list[SegmentInfo]:
        """What the segments say of themselves, in order."""
        return [s.reader.info for s in self._segments if s.reader.info is not None]

    @property
    def problems(self) -> list[str]:
        """What had to be skipped."""
        return [problem for segment in self._segments for problem in segment.reader.all_problems]

    def incomplete(self, closed_sessions: set[int], only_session: bool) -> list[str]:
        """What to say of segments cut off exactly between two messages, which only their missing end tells.

        Args:
            closed_sessions: sessions whose writer was closed in good order, having ended its segments.
            only_session: there is no other session a segment without readable schema could belong to.
        """
        said = []
        for reader in (segment.reader for segment in self._segments):
            closed = only_session if reader.info is None else reader.info.session in closed_sessions
            if closed and not reader.complete and not reader.all_problems:
                said.append(f"{reader.path.name}: its end is missing: rows may be missing with it")
        return said

    def update(self, files: Mapping[SegmentName, Signature], ended: bool) -> bool:
        """Take in what is new.

        Args:
            files: the segments of this stream and rank, in order, each with something that changes whenever
                the file does; unchanged ones are not opened.
            ended: the writer is gone: nothing will be appended any more.

        Returns:
            whether any row (or a segment's schema) was added.
        """
        before = self.version
        for _ in range(_ATTEMPTS):
            try:
                self._update(files, ended)
                break
            except ReplacedError:
                continue  # merged by its writer meanwhile: the same rows, elsewhere
            except _ShiftedError:
                self._reset()
        self.loaded = True
        return self.version != before

    def _update(self, files: Mapping[SegmentName, Signature], ended: bool) -> None:
        names = list(files)
        if [s.reader.name for s in self._segments] != names[: len(self._segments)]:
            raise _ShiftedError  # a segment has vanished, or one has turned up between others
        for position, name in enumerate(names):
            if position == len(self._segments):
                self._segments.append(_Segment(SegmentReader(self._run_dir, name), self.rows))
            newest = position == len(names) - 1
            segment, state = self._segments[position], (files[name], newest and not ended)
            if segment.state == state:
                continue
            try:
                self._update_segment(segment, newest and not ended)
                segment.state = state
            except OSError as error:
                if newest:
                    return  # perhaps it can be read next time
                # Later segments are read past it, so its row numbers are settled now.
                segment.fail(error)

    def _update_segment(self, segment: _Segment, growing: bool) -> None:
        if segment.failed:
            return
        reader = segment.reader
        had_info = reader.info is not None
        if reader.rows > segment.rows:  # indexed while a column was fetched from a replaced file
            self._catch_up(segment)
        for ref, message in reader.update(growing):
            new = reader.rows - segment.rows
            if new > 0 and reader.info is not None:
                self._take(segment, reader.info, message, min(new, ref.rows), ref.rows)
        if reader.rows < segment.rows:
            raise _ShiftedError
        if reader.info is not None and not had_info:
            self.version += 1

    def _catch_up(self, segment: _Segment) -> None:
        end = 0
        for ref in segment.reader.batches:
            end += ref.rows
            new = end - segment.rows
            if new > 0 and segment.reader.info is not None:
                message = segment.reader.read(ref)
                self._take(segment, segment.reader.info, message, min(new, ref.rows), ref.rows)

    def _take(self, segment: _Segment, info: SegmentInfo, message: Buffer, new: int, rows: int) -> None:
        """Append the last ``new`` rows of a batch of ``rows`` rows."""
        first = self.rows
        if segment.first + segment.rows != first:
            raise _ShiftedError
        ready = [column for column in self._columns.values() if column.rows == first]
        batch = self._decode(info, message, {0, 1}.union(*(column.fields(info) for column in ready)))
        batch = batch.slice(rows - new)
        self._steps.extend(values_of(batch.column(0), np.int64))
        self._times.extend(values_of(batch.column(1), np.float64))
        for column in ready:
            column.take(info, batch if column.fields(info) else None, first, new)
        segment.rows += new
        self.version += 1

    def _decode(self, info: SegmentInfo, message: Buffer, fields: set[int]) -> pa.RecordBatch:
        if self.stream in _SELECTIVE:
            return decode(info, message, sorted(fields))
        return decode(info, message)

    def column(self, key: object, make: Callable[[], Column]) -> Any:
        """The column kept under ``key``, made by ``make`` when it is new, with all rows taken in."""
        column = self._columns.pop(key, None) or make()
        self._columns[key] = column  # the one used last is the last
        for _ in range(_ATTEMPTS):
            try:
                for segment, ref, first in self._refs(column.rows):
                    self._backfill(column, segment, ref, first)
            except ReplacedError:
                self._reindex()
            except OSError as error:
                raise self._unreadable(error) from error
            if column.rows >= self.rows:
                return column
        raise self._shifted()

    def _refs(self, from_row: int) -> Iterator[tuple[_Segment, BatchRef, int]]:
        for segment in self._segments:
            if segment.first + segment.rows <= from_row:
                continue
            first = segment.first
            for ref in segment.reader.batches:
                if first + ref.rows > from_row:
                    yield segment, ref, first
                first += ref.rows

    def _backfill(self, column: Column, segment: _Segment, ref: BatchRef, first: int) -> None:
        info = segment.reader.info
        assert info is not None  # a segment without schema has no batches
        skip = column.rows - first
        count = min(first + ref.rows, segment.first + segment.rows) - column.rows
        if count <= 0:
            return
        wanted = column.fields(info)
        batch = None
        if wanted:
            batch = self._decode(info, segment.reader.read(ref), set(wanted)).slice(skip, count)
        column.take(info, batch, column.rows, count)

    def _reindex(self) -> None:
        for segment in self._segments:
            for _ in range(2):
                try:
                    for _ in segment.reader.update(True):
                        pass
                    break
                except ReplacedError:
                    continue

    def trim(self, limit: int) -> None:
        """Drop the columns unused for longest until the others hold at most ``limit`` bytes."""
        held = sum(column.nbytes for column in self._columns.values())
        for key in list(self._columns)[:-1]:
            if held <= limit:
                break
            held -= self._columns.pop(key).nbytes

    def row(self, row: int, fields: Callable[[SegmentInfo], list[int]]) -> tuple[SegmentInfo, pa.RecordBatch] | None:
        """Row number ``row`` as a batch of one; None when its segment has none of the ``fields``."""
        for _ in range(_ATTEMPTS):
            try:
                segment, ref, first = next(self._refs(row))
                info = segment.reader.info
                if info is None or not (wanted := fields(info)):
                    return None
                return info, self._decode(info, segment.reader.read(ref), set(wanted)).slice(row - first, 1)
            except ReplacedError:
                self._reindex()
            except OSError as error:
                raise self._unreadable(error) from error
        raise self._shifted()

    def _unreadable(self, error: OSError) -> RunDirectoryError:
        return RunDirectoryError(f"{self._run_dir}: cannot be read: {error.strerror or error}")

    def _shifted(self) -> RunDirectoryError:
        what = f"its {self.stream} were changed by another program: open it again"
        return RunDirectoryError(f"{self._run_dir}: {what}")

    def visible(self, limits: dict[int, int]) -> npt.NDArray[np.bool_] | None:
        """Which rows are not superseded, bool [rows]; None: all are visible.

        Args:
            limits: session -> highest step of it that later sessions left standing.
        """
        mask: npt.NDArray[np.bool_] | None = None
        for segment in self._segments:
            if segment.reader.info is None or not segment.rows:
                continue
            limit = limits.get(segment.reader.info.session)
            part = slice(segment.first, segment.first + segment.rows)
            if limit is not None and bool((self.steps[part] > limit).any()):
                if mask is None:
                    mask = np.ones(self.rows, bool)
                mask[part] = self.steps[part] <= limit
        return mask
