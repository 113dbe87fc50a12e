"""The charts of a report, drawn once for a light and once for a dark page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.figures.registry import build
from app.server.encode import figure_bytes
from probes.runlog import Run

THEMES = ("light", "dark")


@dataclass(frozen=True)
class Drawing:
    """One chart: its figures as JSON, a sentence about it, and how high it is.

    Attributes:
        light, dark: UTF-8 JSON of the figure.
        empty: it holds no data; the sentence says why.
    """

    light: bytes
    dark: bytes
    summary: str
    height: int
    empty: bool


def draw(run: Run, chart: str, params: Mapping[str, Any], height: int) -> Drawing:
    """A chart of the registry, as it stands."""
    light, dark = (_plain(build(chart, [run], params, name)) for name in THEMES)
    return Drawing(
        figure_bytes(light),
        figure_bytes(dark),
        str(light["layout"]["meta"]["summary"]),
        height,
        not light["data"],
    )


def draw_all(run: Run, wanted: Sequence[tuple[str, Mapping[str, Any], int]]) -> list[Drawing]:
    """The charts (id, params, height) that have something to show."""
    drawn = [draw(run, *one) for one in wanted]
    return [one for one in drawn if not one.empty]


def _plain(figure: Any) -> dict[str, Any]:
    return figure if isinstance(figure, dict) else figure.to_dict()
