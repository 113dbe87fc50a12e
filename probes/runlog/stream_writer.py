"""One stream of one session being written: pending tables -> messages -> the current segment."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from probes.runlog.encode import Table
from probes.runlog.layout import FORMAT_VERSION, SegmentName, parse_segment_name
from probes.runlog.segment_writer import MessageEncoder, SegmentFile


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
        self._backlog_bytes = backlog_bytes
        self._compression = compression
        self._backlog: deque[Table] = deque()
        self._held_bytes = 0
        self._encoder: MessageEncoder | None = None
        self._file: SegmentFile | None = None
        self._fields: tuple[pa.Field, ...] = ()
        self._about: dict[str, Any] = {}
        self._next_index: int | None = None
        self.dropped = 0

    @property
    def has_backlog(self) -> bool:
        """True when something waits for the disk."""
        return bool(self._backlog)

    def add(self, tables: Iterable[Table]) -> None:
        """Queue ``tables`` for the next `write`."""
        for table in tables:
            size = _nbytes(table)
            if self._backlog and self._held_bytes + size > self._backlog_bytes:
                self.dropped += table.rows
                continue
            self._backlog.append(table)
            self._held_bytes += size

    def write(self) -> None:
        """Append everything queued. Raises OSError; what was not written stays queued."""
        while self._backlog:
            table = self._backlog[0]
            encoder, file = self._segment_for(table)
            batch = pa.RecordBatch.from_arrays(list(table.arrays), schema=encoder.schema)
            message = encoder.encode(batch)
            try:
                file.append(message)
            except OSError:
                # A file that cannot be cut back, or has met a size limit, must not be what the next try depends on.
                self._leave_segment()
                raise
            self._backlog.popleft()
            self._held_bytes -= _nbytes(table)

    def close(self) -> None:
        """End the current segment. Raises OSError."""
        file, self._file = self._file, None
        if file is not None:
            file.end()

    def abandon(self) -> None:
        """Close the file descriptor and forget everything queued."""
        self._leave_segment()
        self._backlog.clear()

    def _leave_segment(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.abandon()
            except OSError:
                pass  # its whole messages are in the file; nothing else is to be saved

    def _segment_for(self, table: Table) -> tuple[MessageEncoder, SegmentFile]:
        same = self._fields == table.fields and self._about == table.about
        if self._file is not None and self._encoder is not None:
            if same and self._file.size < self._segment_bytes:
                return self._encoder, self._file
            self.close()
        encoder = MessageEncoder(table.schema(self._header), self._compression)
        file = SegmentFile(self._run_dir / str(self._next_name()), encoder.schema_message)
        self._encoder, self._file, self._fields, self._about = encoder, file, table.fields, table.about
        return encoder, file

    def _next_name(self) -> SegmentName:
        if self._next_index is None:
            found = (parse_segment_name(name) for name in os.listdir(self._run_dir))
            taken = [s.index for s in found if s and (s.stream, s.rank) == (self._stream, self._rank)]
            self._next_index = max(taken, default=-1) + 1
        name = SegmentName(self._stream, self._rank, self._next_index)
        self._next_index += 1
        return name


def _nbytes(table: Table) -> int:
    return sum(array.nbytes for array in table.arrays)
