"""One segment being read: which whole, sound messages it holds, and their columns.

A segment may grow while it is read, and its writer may replace it by a compacted one with the same rows. The
reader takes whole messages only and counts rows, so that both are invisible to whoever reads the rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson
import pyarrow as pa

from probes.runlog.encode import META_KEY
from probes.runlog.layout import FORMAT_VERSION, SegmentName
from probes.runlog.wire import (
    PREFIX,
    RECORD_BATCH,
    SCHEMA,
    Buffer,
    Fingerprint,
    Header,
    candidates,
    fingerprint,
    is_sound,
    metadata_size,
    parse_header,
)

_WINDOW = 4 << 20


class BatchRef(NamedTuple):
    """Where a batch lies in its segment."""

    offset: int
    size: int
    rows: int
    fingerprint: Fingerprint


class ReplacedError(Exception):
    """The file is not the one that was indexed: index it again."""


@dataclass(frozen=True)
class SegmentInfo:
    """What the schema message of a segment says."""

    schema: pa.Schema
    schema_message: bytes
    about: dict[str, Any]

    @property
    def session(self) -> int:
        """Number of the writer's session, from 0."""
        return int(self.about.get("session", 0))

    @property
    def start_step(self) -> int | None:
        """Rows of earlier sessions beyond this step are superseded; None: none are."""
        step = self.about.get("start_step")
        return None if step is None else int(step)


class SegmentReader:
    """Index of one segment file.

    Attributes:
        info: what the schema message says, None while it is not whole.
        batches: the batches found so far, in order.
        rows: rows in them.
        complete: the writer has ended the segment; nothing is missing at its end.
        problems: plain sentences about what had to be skipped.
    """

    def __init__(self, run_dir: Path, name: SegmentName) -> None:
        self.name = name
        self.path = run_dir / str(name)
        self._start_over()

    def _start_over(self) -> None:
        self.info: SegmentInfo | None = None
        self.batches: list[BatchRef] = []
        self.rows = 0
        self.problems: list[str] = []
        self._tail_problem: str | None = None
        self._offset = 0
        self._seen_size = -1
        self._last_taken = False
        self._unreadable = False
        self.complete = False

    @property
    def all_problems(self) -> list[str]:
        """Damage found, and an unfinished tail when the segment will not grow any more."""
        return self.problems + ([self._tail_problem] if self._tail_problem else [])

    def update(self, last: bool) -> Iterator[tuple[BatchRef, Buffer]]:
        """Index what was appended, yielding each new batch with its bytes.

        Args:
            last: False when the segment cannot grow any more (a later one exists, or the run has ended): an
                incomplete message at its end is then reported instead of waited for.

        Raises:
            ReplacedError: the file is another one than before; all indices are void, and the next `update`
                starts over.
            OSError: the file cannot be read.
        """
        with open(self.path, "rb", buffering=0) as file:
            stat = os.fstat(file.fileno())
            if stat.st_size < self._offset or not self._is_the_same(file):
                self._start_over()
                raise ReplacedError(str(self.path))
            if stat.st_size == self._seen_size and last == self._last_taken:
                return
            self._seen_size, self._last_taken, self._tail_problem = stat.st_size, last, None
            yield from self._scan(_Window(file, stat.st_size), last)

    def _is_the_same(self, file: BinaryIO) -> bool:
        """Whether the last message taken is still where it was. (Inode numbers are used again at once.)"""
        if not self.batches:
            return True
        ref = self.batches[-1]
        return _read_at(file, ref.offset + ref.fingerprint.at, 8) == ref.fingerprint.digits

    def _scan(self, window: _Window, last: bool) -> Iterator[tuple[BatchRef, Buffer]]:
        while (left := window.size - self._offset) > 0:
            header = None
            if left >= PREFIX:
                size = metadata_size(window.read(self._offset, PREFIX))
                if size == 0:  # end of the stream
                    self.complete = True
                    self._offset = window.size
                    return
                if size and PREFIX + size <= left:
                    header = parse_header(window.read(self._offset, PREFIX + size))
                    torn = header is not None and header.size > left
                else:
                    torn = size is not None
            else:
                torn = True
            if torn and last:
                return  # being written right now
            message = None if header is None or torn else window.read(self._offset, header.size)
            if header is None or message is None or not is_sound(message):
                if not self._skip_damage(window, torn):
                    return
                continue
            self._offset += header.size
            if self._takes(header, message):
                at = self._offset - header.size
                ref = BatchRef(at, header.size, header.rows, fingerprint(message))
                self.batches.append(ref)
                self.rows += ref.rows
                yield ref, message

    def _takes(self, header: Header, message: Buffer) -> bool:
        if header.kind == SCHEMA and self.info is None:
            self._read_schema(bytes(message))
            return False
        if self.info is None and not self._unreadable:
            self._unreadable = True
            self.problems.append(f"{self.path.name}: its schema is damaged or missing: all its rows skipped")
        return header.kind == RECORD_BATCH and self.info is not None

    def _read_schema(self, message: bytes) -> None:
        schema = pa.ipc.read_schema(pa.py_buffer(message))
        try:
            about = orjson.loads((schema.metadata or {})[META_KEY])
            if about["stream"] != self.name.stream or schema.types[:2] != [pa.int64(), pa.float64()]:
                raise KeyError("stream")
            if about["version"] > FORMAT_VERSION:
                found = f"format version {about['version']}, this babysit reads up to {FORMAT_VERSION}"
                self.problems.append(f"{self.path.name}: {found}: skipped")
                self._unreadable = True
                return
        except (KeyError, TypeError, orjson.JSONDecodeError):
            self.problems.append(f"{self.path.name}: not a segment of a run log: skipped")
            self._unreadable = True
            return
        self.info = SegmentInfo(schema, message, about)

    def _skip_damage(self, window: _Window, torn: bool) -> bool:
        """Go on to the next sound message; False when there is none (yet)."""
        at = next(_later_messages(window, self._offset), None)
        if at is not None:
            what = f"{at - self._offset} damaged bytes at {self._offset} skipped (CRC-32 mismatch)"
            self.problems.append(f"{self.path.name}: {what}")
            self._offset = at
            return True
        left = window.size - self._offset
        if torn:
            what = "an unfinished message (its writer was stopped in the middle): skipped"
        else:
            what = "damaged (CRC-32 mismatch): skipped"
        self._tail_problem = f"{self.path.name}: the last {left} bytes are {what}"
        return False

    def read(self, ref: BatchRef) -> bytes:
        """The bytes of an indexed batch, found sound when it was indexed. Raises ReplacedError or OSError."""
        with open(self.path, "rb", buffering=0) as file:
            message = _read_at(file, ref.offset, ref.size)
        at, digits = ref.fingerprint
        if len(message) != ref.size or message[at : at + 8] != digits:
            raise ReplacedError(str(self.path))
        return message


class _Window:
    """Reads a file of known size in large pieces, handing out slices."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.size = size
        self._file = file
        self._start = 0
        self._data = b""

    def read(self, offset: int, count: int) -> memoryview:
        """``count`` bytes at ``offset``; fewer when the file has been cut meanwhile."""
        end = offset + count
        if not (self._start <= offset and end <= self._start + len(self._data)):
            self._data = _read_at(self._file, offset, min(max(count, _WINDOW), self.size - offset))
            self._start = offset
        return memoryview(self._data)[offset - self._start : end - self._start]


def _read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    """``count`` bytes at ``offset``, fewer at the end of the file."""
    file.seek(offset)
    parts = []
    while count > 0 and (part := file.read(count)):
        parts.append(part)
        count -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _later_messages(window: _Window, after: int) -> Iterator[int]:
    """Where sound messages begin behind ``after`` (messages begin at multiples of 8)."""
    data = window.read(after, window.size - after)
    for at in candidates(data, 8).tolist():
        header = parse_header(data[at:])
        if header is not None and at + header.size <= len(data) and is_sound(data[at : at + header.size]):
            yield after + at


def decode(info: SegmentInfo, message: Buffer, fields: Sequence[int] | None = None) -> pa.RecordBatch:
    """The columns of a sound batch message; only those numbered in ``fields`` (ascending) when given.

    A short read or a foreign schema would have failed the CRC; what Arrow still refuses raises
    pa.ArrowException.
    """
    if fields is None:
        return pa.ipc.read_record_batch(pa.ipc.read_message(pa.py_buffer(message)), info.schema)
    stream = pa.py_buffer(b"".join((info.schema_message, message)))
    options = pa.ipc.IpcReadOptions(included_fields=list(fields))
    return pa.ipc.open_stream(stream, options=options).read_next_batch()


def session_limits(infos: Iterable[SegmentInfo]) -> dict[int, int]:
    """Session -> highest step of it that is not superseded by a later session."""
    starts: dict[int, int] = {}
    for info in infos:
        if info.start_step is not None:
            starts[info.session] = info.start_step
    limits: dict[int, int] = {}
    lowest: int | None = None
    for session in range(max(starts, default=0), 0, -1):
        start = starts.get(session)
        if start is not None:
            lowest = start if lowest is None else min(lowest, start)
        if lowest is not None:
            limits[session - 1] = lowest
    return limits
