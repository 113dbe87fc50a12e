"""Histogram bins that need no minimum and maximum: signed, log-spaced, the same for every tensor of every
run.

The top ten bits of a float32 (sign, eight exponent bits, first mantissa bit) are a *code* from 0 to 1023.
Counting codes is one shift and one bincount, and the 1024 counts fold into `BINS` = 193 bins:

* 96 bins for each sign, two per octave, over 2^-32 <= |x| < 2^16: ``[2^k, 1.5 * 2^k)`` and ``[1.5 * 2^k,
  2^(k+1))``;
* one bin in the middle for 0 < |x| < 2^-32;
* apart from these, `OUTSIDE`: exact zeros (with the subnormals, which optimizers and GPUs treat as zero),
  values below ``-2^16``, values above, NaN, Inf.

Bins of negative values mirror those of positive ones, so every bin is closed on the side nearer to zero. Bins
never depend on the data, therefore tables of different steps, layers and ranks merge exactly by addition.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CODES = 1024
"""Number of codes: sign + exponent + first mantissa bit of a float32."""

LOWEST_OCTAVE = -32
HIGHEST_OCTAVE = 16
BINS_PER_SIGN = 2 * (HIGHEST_OCTAVE - LOWEST_OCTAVE)
BINS = 2 * BINS_PER_SIGN + 1

OUTSIDE = ("zero", "below", "above", "nan", "inf")
"""What is counted beside the bins, in the order of the last axis of ``outside``."""

_BIAS = 127
_SIGN = CODES // 2
_FIRST_NORMAL = 2  # codes 0 and 1 are zero and the subnormals
_FIRST_BIN = 2 * (_BIAS + LOWEST_OCTAVE)
_FIRST_ABOVE = 2 * (_BIAS + HIGHEST_OCTAVE)
_INF, _NAN = 510, 511


def _positive_edges() -> npt.NDArray[np.float64]:
    octaves = np.exp2(np.arange(LOWEST_OCTAVE, HIGHEST_OCTAVE, dtype=np.float64))
    return np.append(np.stack([octaves, 1.5 * octaves], axis=1).ravel(), 2.0**HIGHEST_OCTAVE)


EDGES: npt.NDArray[np.float64] = np.concatenate([-_positive_edges()[::-1], _positive_edges()])
"""Edges of the bins, float64 [BINS + 1], strictly increasing."""
EDGES.setflags(write=False)


def _squares() -> npt.NDArray[np.float64]:
    """The square in the middle of each code's range; -1 for NaN and Inf."""
    code = np.arange(_SIGN)
    lower = np.exp2((code >> 1).astype(np.float64) - _BIAS) * np.where(code & 1, 1.5, 1.0)
    squares = (lower + np.exp2((code >> 1).astype(np.float64) - _BIAS) / 4) ** 2
    squares[:_FIRST_NORMAL], squares[_INF:] = 0.0, -1.0
    return np.tile(squares, 2)


_CODE_SQUARES = _squares()


def codes(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The code of each value, read as float32: the ten leading bits, 0..1023."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return (bits >> np.uint32(22)).astype(np.int64)


def count(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Counts of the codes of all values, int64 [CODES]."""
    return np.bincount(codes(values).ravel(), minlength=CODES)


def positive_first(table: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """Counts of codes [..., CODES] that have the negative values first, in the order of the codes."""
    return np.concatenate([table[..., _SIGN:], table[..., :_SIGN]], axis=-1)


def fold(
    table: npt.NDArray[np.integer], *, negative_first: bool = False
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Folds counts of codes into bins.

    Args:
        table: counts of codes, integers [..., CODES].
        negative_first: whether the counts of negative values are the first half, not the second.

    Returns:
        ``counts`` uint32 [..., BINS] and ``outside`` uint32 [..., 5] in the order of `OUTSIDE`. Their sum is
        the sum of the table.
    """
    if table.shape[-1] != CODES:
        raise ValueError(f"a table of codes has {CODES} columns, this one has {table.shape[-1]}")
    positive, negative = table[..., :_SIGN], table[..., _SIGN:]
    if negative_first:
        positive, negative = negative, positive
    tiny = positive[..., _FIRST_NORMAL:_FIRST_BIN].sum(-1) + negative[..., _FIRST_NORMAL:_FIRST_BIN].sum(-1)
    counts = np.concatenate(
        [
            negative[..., _FIRST_BIN:_FIRST_ABOVE][..., ::-1],
            tiny[..., None],
            positive[..., _FIRST_BIN:_FIRST_ABOVE],
        ],
        axis=-1,
    )
    outside = np.stack(
        [
            positive[..., :_FIRST_NORMAL].sum(-1) + negative[..., :_FIRST_NORMAL].sum(-1),
            negative[..., _FIRST_ABOVE:_INF].sum(-1),
            positive[..., _FIRST_ABOVE:_INF].sum(-1),
            positive[..., _NAN] + negative[..., _NAN],
            positive[..., _INF] + negative[..., _INF],
        ],
        axis=-1,
    )
    return counts.astype(np.uint32), outside.astype(np.uint32)


def rms(table: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Root mean square of the finite values behind counts of codes, to within 15%: [..., CODES] -> [...].

    For magnitudes whose squares a float32 cannot hold (below 1e-19, above 1e19). NaN without finite values.
    """
    finite = table[..., _CODE_SQUARES > -1].astype(np.float64)
    with np.errstate(invalid="ignore"):
        mean = (finite * _CODE_SQUARES[_CODE_SQUARES > -1]).sum(-1) / finite.sum(-1)
    return np.asarray(np.sqrt(mean))


def histogram(values: npt.ArrayLike) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Bins of all values: ``counts`` uint32 [BINS] and ``outside`` uint32 [5]."""
    return fold(count(values))
