"""Named parts with typed options: the options are the keyword-only parameters of the function that makes the
part."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trainer.errors import did_you_mean, unknown_name
from trainer.typed import coerce


@dataclass(frozen=True)
class Entry:
    """One registered part.

    Attributes:
        name: as recipes write it.
        make: the function that makes it.
        types: option -> annotation.
        defaults: option -> value, for those that have one.
        summary: first paragraph of the docstring, on one line.
    """

    name: str
    make: Callable[..., Any]
    types: Mapping[str, Any]
    defaults: Mapping[str, Any]
    summary: str

    def options(self, given: Mapping[str, Any], where: Callable[[str], str] = str) -> dict[str, Any]:
        """All options, typed: the defaults with ``given`` on top.

        Raises `ValueError`, its message prefixed by ``where(key)``, for an unknown key or a value of another
        type.
        """
        result = dict(self.defaults)
        for key, value in given.items():
            if key not in self.types:
                raise ValueError(f"{where(key)}: unknown key for '{self.name}'; {did_you_mean(key, self.types)}")
            try:
                result[key] = coerce(value, self.types[key])
            except ValueError as error:
                raise ValueError(f"{where(key)}: {error}") from None
        for key in self.types:
            if key not in result:
                raise ValueError(f"{where(key)}: missing, and '{self.name}' has no default for it")
        return result


class Registry(Mapping[str, Entry]):
    """Parts of one kind by name, in order of registration."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._entries: dict[str, Entry] = {}

    def register(self, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def add(make: Callable[..., Any]) -> Callable[..., Any]:
            if name in self._entries:
                raise ValueError(f"{self.what} '{name}' is registered twice")
            hints = typing.get_type_hints(make, include_extras=True)
            keyword_only = [
                p for p in inspect.signature(make).parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY
            ]
            self._entries[name] = Entry(
                name=name,
                make=make,
                types={p.name: hints[p.name] for p in keyword_only},
                defaults={p.name: p.default for p in keyword_only if p.default is not inspect.Parameter.empty},
                summary=" ".join((inspect.getdoc(make) or "").split("\n\n", 1)[0].split()),
            )
            return make

        return add

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            raise unknown_name(self.what, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
