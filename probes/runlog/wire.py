"""Arrow IPC messages as bytes: sealing them with a CRC-32, and finding whole, sound ones in a file.

An encapsulated message is ``FF FF FF FF``, an int32 length of the metadata, the metadata (a flatbuffer), the
body. https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format

Arrow's own reader trusts the metadata it is given. So each message carries, in its custom metadata, a CRC-32
of itself (computed with the eight hexadecimal digits of the CRC replaced by zeros), and nothing reaches Arrow
before its length was checked against the file and its CRC was found right.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

CRC_KEY = "crc32"
_MARK = b"babysit-crc32:"
_ZEROS = b"00000000"
CRC_PLACEHOLDER = (_MARK + _ZEROS).decode()

CONTINUATION = b"\xff\xff\xff\xff"
PREFIX = 8
END_OF_STREAM = CONTINUATION + b"\0\0\0\0"
# Far above what a schema of 10,000 series needs; keeps a damaged length from being taken for a huge message.
MAX_METADATA = 64 << 20
MAX_BODY = 4 << 30

SCHEMA, RECORD_BATCH = 1, 3

Buffer = bytes | memoryview


class Header(NamedTuple):
    """What the first bytes of a message say: flatbuffer type, bytes of metadata and body, rows of a batch."""

    kind: int
    metadata_size: int
    body_size: int
    rows: int

    @property
    def size(self) -> int:
        """Bytes of the whole message."""
        return PREFIX + self.metadata_size + self.body_size


def metadata_size(prefix: Buffer) -> int | None:
    """Bytes of metadata announced by the first 8 bytes of a message; 0: end of stream; None: no message."""
    if len(prefix) < PREFIX or bytes(prefix[:4]) != CONTINUATION:
        return None
    (size,) = struct.unpack_from("<i", prefix, 4)
    if size < 0 or size > MAX_METADATA or size % 8:
        return None
    return int(size)


def parse_header(message: Buffer) -> Header | None:
    """The header of a message whose prefix and metadata are in ``message``; None when it makes no sense.

    Reads the flatbuffer table ``Message`` {version, header_type, header, bodyLength, ...} by its vtable.
    """
    size = metadata_size(message)
    if not size or len(message) < PREFIX + size:
        return None
    metadata = memoryview(message)[PREFIX : PREFIX + size]
    try:
        table = struct.unpack_from("<I", metadata, 0)[0]
        kind_at, header_at, body_at = (_field(metadata, table, slot) for slot in (1, 2, 3))
        kind = metadata[kind_at] if kind_at else 0
        body = struct.unpack_from("<q", metadata, body_at)[0] if body_at else 0
        rows = 0
        if kind == RECORD_BATCH and header_at:
            batch = header_at + struct.unpack_from("<I", metadata, header_at)[0]
            rows_at = _field(metadata, batch, 0)
            rows = struct.unpack_from("<q", metadata, rows_at)[0] if rows_at else 0
    except (struct.error, IndexError):
        return None
    if not 0 <= body <= MAX_BODY or body % 8 or rows < 0:
        return None
    return Header(int(kind), size, int(body), int(rows))


def _field(metadata: memoryview, table: int, slot: int) -> int:
    """Position of field number ``slot`` of the flatbuffer table at ``table``, 0 when it has its default."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    if vtable < 0:
        raise IndexError(vtable)
    if 4 + 2 * slot >= struct.unpack_from("<H", metadata, vtable)[0]:
        return 0
    offset = struct.unpack_from("<H", metadata, vtable + 4 + 2 * slot)[0]
    return table + int(offset) if offset else 0


def seal(message: bytes) -> bytes:
    """``message`` (built with CRC_PLACEHOLDER in its metadata) with its CRC-32 filled in."""
    at = _digits_at(message)
    if at is None or message[at : at + 8] != _ZEROS:
        raise ValueError("the message carries no CRC placeholder")
    return b"".join((message[:at], b"%08x" % zlib.crc32(message), message[at + 8 :]))


def is_sound(message: Buffer) -> bool:
    """True when the CRC-32 that ``message`` carries is its own."""
    at = _digits_at(message)
    if at is None:
        return False
    view = memoryview(message)
    crc = zlib.crc32(view[at + 8 :], zlib.crc32(_ZEROS, zlib.crc32(view[:at])))
    return bytes(view[at : at + 8]) == b"%08x" % crc


class Fingerprint(NamedTuple):
    """The CRC a message carries and where in the message it stands: tells the message from any other."""

    at: int
    digits: bytes


def fingerprint(message: Buffer) -> Fingerprint:
    """The fingerprint of a sound message."""
    at = _digits_at(message) or 0
    return Fingerprint(at, bytes(message[at : at + 8]))


def _digits_at(message: Buffer) -> int | None:
    """Where the CRC's digits begin: behind the last mark in the metadata."""
    size = metadata_size(message)
    if not size:
        return None
    found = bytes(message[PREFIX : PREFIX + size]).rfind(_MARK)
    at = PREFIX + found + len(_MARK)
    return at if found >= 0 and at + 8 <= PREFIX + size else None


def candidates(data: Buffer, start: int) -> npt.NDArray[np.int64]:
    """Positions >= ``start`` (multiples of 8) in ``data`` where a message might begin."""
    start += -start % 8
    count = (len(data) - start) // 8
    if count <= 0:
        return np.empty(0, np.int64)
    words = np.frombuffer(data, dtype="<u8", offset=start, count=count)
    size = words >> np.uint64(32)
    plausible = ((words & np.uint64(0xFFFFFFFF)) == 0xFFFFFFFF) & (size > 0) & (size <= MAX_METADATA) & (size % 8 == 0)
    return np.flatnonzero(plausible).astype(np.int64) * 8 + start
