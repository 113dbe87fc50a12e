"""One stream of one session being written: pending tables -> messages -> the current segment."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from probes.runlog.encode import Table
from probes.runlog.layout import FORMAT_VERSION, SegmentName, parse_segment_name
from probes.runlog.segment_writer import MessageEncoder, SegmentFile, end_segment

# Batches are merged when this many small ones have gathered, or that many at the end of a segment. A segment
# made of merged batches ends at 4 MiB, so that merging (which copies the segment) costs little however long
# a run is.
_COMPACT_AFTER = 256
_COMPACT_AT_END = 16
_SMALL = 16 << 10
_COMPACTED_SEGMENT = 4 << 20


class StreamWriter:
    """Appends tables to the segments of one stream.

    Args:
        run_dir: the run directory.
        stream: one of `layout.STREAMS`.
        rank: of the writing process.
        header: ``session`` and ``start_step`` for the metadata of each segment.
        segment_bytes: a segment that has grown beyond this is followed by a new one.
        backlog_bytes: what is kept while the disk refuses; rows beyond are dropped and counted.
        compression: of the messages, None or "lz4".
    """

    def __init__(
        self,
        run_dir: Path,
        stream: str,
        rank: int,
        header: dict[str, Any],
        *,
        segment_bytes: int,
        backlog_bytes: int,
        compression: str | None = None,
    ) -> None:
        self._run_dir = run_dir
        self._stream = stream
        self._rank = rank
        self._header = {"version": FORMAT_VERSION, "stream": stream, "rank": rank, **header}
        self._segment_bytes = segment_bytes
        self._backlog_limit = backlog_bytes
        self._compression = compression
        self._backlog: deque[Table] = deque()
        self.backlog_bytes = 0
        self._encoder: MessageEncoder | None = None
        self._file: SegmentFile | None = None
        self._fields: tuple[pa.Field, ...] = ()
        self._about: dict[str, Any] = {}
        self._next_index: int | None = None
        self._recent: list[pa.RecordBatch] = []
        self._recent_bytes = 0
        self._recent_from = 0
        self._endless: list[tuple[Path, int]] = []
        self.dropped = 0  # rows

    @property
    def has_backlog(self) -> bool:
        """True when something waits for the disk."""
        return bool(self._backlog)

    def add(self, tables: Iterable[Table]) -> None:
        """Queue ``tables`` for the next `write`."""
        for table in tables:
            size = _nbytes(table)
            if self._backlog and self.backlog_bytes + size > self._backlog_limit:
                self.dropped += table.rows
                continue
            self._backlog.append(table)
            self.backlog_bytes += size

    def write(self) -> None:
        """Append everything queued. Raises OSError; what was not written stays queued."""
        while self._backlog:
            table = self._backlog[0]
            encoder, file = self._segment_for(table)
            batch = pa.RecordBatch.from_arrays(list(table.arrays), schema=encoder.schema)
            message = encoder.encode(batch)
            start = file.size
            try:
                file.append(message)
            except OSError:
                # A file that cannot be cut back, or has met a size limit, is nothing to depend on again.
                self._leave_segment()
                raise
            self._backlog.popleft()
            self.backlog_bytes -= _nbytes(table)
            self._tidy(file, batch, start)

    def close(self) -> None:
        """End the current segment. Raises OSError."""
        if self._file is not None and len(self._recent) >= _COMPACT_AT_END:
            self._compact(self._file)
        file, self._file = self._file, None
        if file is not None:
            file.end()
        self._end_what_was_left()

    def _tidy(self, file: SegmentFile, batch: pa.RecordBatch, start: int) -> None:
        """Merge small batches once there are many; ``batch`` was appended at ``start``."""
        if not self._recent:
            self._recent_from = start
        self._recent.append(batch)
        self._recent_bytes += file.size - start
        if self._recent_bytes > _SMALL * _COMPACT_AFTER:
            self._forget_recent()  # batches of this size are fine as they are
        elif len(self._recent) >= _COMPACT_AFTER:
            self._compact(file)
            if file.size > _COMPACTED_SEGMENT:
                self.close()

    def _compact(self, file: SegmentFile) -> None:
        """Replace the latest small batches of the segment by one with the same rows.

        A slow training flushes a row or two at a time; each batch costs its metadata and time to read.
        """
        if self._encoder is None:
            return
        merged = pa.Table.from_batches(self._recent).combine_chunks().to_batches()
        keep = self._recent_from
        self._forget_recent()
        message = b"".join(self._encoder.encode(batch) for batch in merged)
        with suppress(OSError):  # the segment is whole as it was; trouble shows again at the next append
            file.replace_tail(keep, message)

    def _forget_recent(self) -> None:
        self._recent = []
        self._recent_bytes = 0

    def abandon(self) -> None:
        """Close the file and forget everything queued."""
        self._leave_segment()
        self._endless.clear()
        self._backlog.clear()
        self.backlog_bytes = 0

    def _leave_segment(self) -> None:
        file, self._file = self._file, None
        self._forget_recent()
        if file is not None:
            try:
                file.end()
            except OSError:
                self._endless.append((file.path, file.size))

    def _end_what_was_left(self) -> None:
        """Cut what a failed write left behind off the segments left in trouble, and mark their ends."""
        while self._endless:
            with suppress(OSError):  # it stays without an end, which readers point out
                end_segment(*self._endless[-1])
            self._endless.pop()

    def _segment_for(self, table: Table) -> tuple[MessageEncoder, SegmentFile]:
        same = self._fields == table.fields and self._about == table.about
        if self._file is not None and self._encoder is not None:
            if same and self._file.size < self._segment_bytes:
                return self._encoder, self._file
            self.close()
        encoder = MessageEncoder(table.schema(self._header), self._compression)
        file = SegmentFile(self._run_dir / str(self._next_name()), encoder.schema_message)
        self._end_what_was_left()
        self._forget_recent()
        self._encoder, self._file, self._fields, self._about = encoder, file, table.fields, table.about
        return encoder, file

    def _next_name(self) -> SegmentName:
        if self._next_index is None:
            found = (parse_segment_name(name) for name in os.listdir(self._run_dir))
            taken = [s.number for s in found if s and (s.stream, s.rank) == (self._stream, self._rank)]
            self._next_index = max(taken, default=-1) + 1
        name = SegmentName(self._stream, self._rank, self._next_index)
        self._next_index += 1
        return name


def _nbytes(table: Table) -> int:
    return sum(array.nbytes for array in table.arrays)
