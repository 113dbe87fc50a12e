"""Pixels as a PNG data address: a grid of filters travels as one small picture."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
import numpy.typing as npt

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """RGB pixels, uint8 [h, w, 3], as a PNG file (PNG specification, 3rd edition: IHDR, IDAT, IEND)."""
    height, width, channels = pixels.shape
    if channels != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"expected uint8 [h, w, 3], got {pixels.dtype} {list(pixels.shape)}")
    rows = np.zeros((height, 1 + width * 3), dtype=np.uint8)  # each line starts with its filter type, 0 = none
    rows[:, 1:] = pixels.reshape(height, width * 3)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)) + _chunk(b"IEND", b"")
    )


def data_address(pixels: npt.NDArray[np.uint8]) -> str:
    """The PNG of `pixels` as a data: address."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
