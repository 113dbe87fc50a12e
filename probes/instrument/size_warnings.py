"""Reads what PyTorch itself warned of: a loss of outputs and targets whose sizes differ.

Python keeps in each module's ``__warningregistry__`` the warnings that were issued there, so that each is printed once
for a place. They are read from it: no filter is changed and no function replaced. Where the program has warnings
ignored nothing is kept, and nothing is found.
"""

from __future__ import annotations

import sys
from types import ModuleType

_BEGINS = "Using a target size ("
LOOKS = 64
"""Frames after which no more is looked for; until then, at each that is a power of two."""


class SizeWarnings:
    """The warnings about sizes that are issued from now on."""

    def __init__(self) -> None:
        self._before = _issued()
        self._frames = 0

    def due(self) -> bool:
        """Counts one frame; whether to look after it."""
        self._frames += 1
        return self._frames <= LOOKS and self._frames & (self._frames - 1) == 0

    def new(self) -> list[str]:
        """The texts that were not issued when this object was made or when this was last asked, in their order."""
        issued = _issued()
        found = list(dict.fromkeys(text for place, text in issued.items() if place not in self._before))
        self._before |= issued
        return found


def _issued() -> dict[tuple[str, object], str]:
    """(module, place in it) -> text of each warning about sizes that is on record."""
    found: dict[tuple[str, object], str] = {}
    for name, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType):
            continue
        # Past any __getattr__ of a module that would be imported by being looked at.
        registry = object.__getattribute__(module, "__dict__").get("__warningregistry__")
        if not isinstance(registry, dict):
            continue
        for place in list(registry):
            text = str(place[0]) if isinstance(place, tuple) and place else ""
            if text.startswith(_BEGINS):
                found[name, place] = text
    return found
