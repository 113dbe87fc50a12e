"""One segment being written: an Arrow IPC stream that only ever grows by whole messages."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pyarrow as pa

from probes.runlog.layout import temporary_name
from probes.runlog.wire import CRC_KEY, CRC_PLACEHOLDER, END_OF_STREAM, PREFIX, metadata_size, seal


class _Sink(io.RawIOBase):
    """Collects what Arrow writes, so that a message reaches the file in one piece."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]
        self.parts.append(part)
        return len(part)


class MessageEncoder:
    """Record batches of one schema -> sealed IPC messages.

    Args:
        schema: of the batches; its metadata gains the CRC placeholder.
        compression: None or "lz4", for the bodies.
    """

    def __init__(self, schema: pa.Schema, compression: str | None = None) -> None:
        self.schema = schema.with_metadata({**(schema.metadata or {}), CRC_KEY: CRC_PLACEHOLDER})
        self.schema_message = seal(self.schema.serialize().to_pybytes())
        self._sink = _Sink()
        self._stream = pa.ipc.new_stream(
            self._sink, self.schema, options=pa.ipc.IpcWriteOptions(compression=compression)
        )
        self._fresh = True

    def encode(self, batch: pa.RecordBatch) -> bytes:
        """The sealed message of ``batch``, whose columns are those of the schema."""
        self._stream.write_batch(batch, custom_metadata={CRC_KEY: CRC_PLACEHOLDER})
        message = b"".join(self._sink.parts)
        self._sink.parts.clear()
        if self._fresh:  # Arrow writes the schema in front of the first batch; it is in the file already
            self._fresh = False
            message = message[PREFIX + (metadata_size(message) or 0) :]
        return seal(message)


class SegmentFile:
    """The file of a segment. Messages are appended whole: what a failed write left behind is cut off again.

    Raises:
        OSError: from any method, when the disk refuses; the file then still ends in a whole message.
    """

    def __init__(self, path: Path, schema_message: bytes) -> None:
        self.path = path
        self.size = 0
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            self.append(schema_message)
        except OSError:
            self.abandon()
            path.unlink(missing_ok=True)
            raise

    def replace_tail(self, keep: int, message: bytes) -> None:
        """Replace what is behind the first ``keep`` bytes by ``message``, at once for readers."""
        temporary = self.path.with_name(temporary_name(self.path.name))
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            with open(self.path, "rb") as old:
                _write_all(fd, old.read(keep))
            _write_all(fd, message)
            os.replace(temporary, self.path)
        except OSError:
            os.close(fd)
            temporary.unlink(missing_ok=True)
            raise
        self.abandon()
        self._fd, self.size = fd, keep + len(message)

    def append(self, message: bytes) -> None:
        """Write one message behind the others."""
        try:
            _write_all(self._fd, message)
        except OSError:
            os.ftruncate(self._fd, self.size)
            os.lseek(self._fd, self.size, os.SEEK_SET)
            raise
        self.size += len(message)

    def end(self) -> None:
        """Mark the end of the stream and close the file."""
        try:
            self.append(END_OF_STREAM)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file as it is."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


def end_segment(path: Path, size: int) -> None:
    """Mark the end of a closed segment of ``size`` bytes of whole messages. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        os.ftruncate(fd, size)
        os.lseek(fd, size, os.SEEK_SET)
        _write_all(fd, END_OF_STREAM)
    finally:
        os.close(fd)


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
