"""Some of many examples."""

from __future__ import annotations

import numpy as np


def subset(count: int, wanted: int, seed: int) -> np.ndarray:
    """Row numbers of ``wanted`` out of ``count`` examples at random, in order; of all when ``wanted`` is 0 or more
    than there are."""
    if not wanted or wanted >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng([seed, 3]).permutation(count)[:wanted])
