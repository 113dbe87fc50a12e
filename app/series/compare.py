"""Colours that stay with a run, whatever else is on the chart."""

from __future__ import annotations

import zlib
from collections.abc import Sequence


def sticky_colours(ids: Sequence[str], count: int) -> dict[str, int]:
    """Place in a palette of `count` colours for each run: from its name, so that it is the same on every page and day.

    Of two runs that fall on the same colour the later in name order moves on to the next free one; more runs
    than colours share them.
    """
    taken: dict[int, int] = {}
    places: dict[str, int] = {}
    for run_id in sorted(ids):
        place = zlib.crc32(run_id.encode()) % count
        for step in range(count):
            candidate = (place + step) % count
            if taken.get(candidate, 0) <= min(taken.get(i, 0) for i in range(count)):
                place = candidate
                break
        taken[place] = taken.get(place, 0) + 1
        places[run_id] = place
    return places
