"""Numbered pins: where on a chart a finding began. The same number is on its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.figures import base
from app.theme import Theme

HIGHEST, SPACING = 0.9, 0.085
TONES = ("info", "warning", "critical")


def tone_colour(theme: Theme, severity: str) -> str:
    """The colour of a severity."""
    return {"critical": theme.critical, "warning": theme.warning}.get(severity, theme.train)


def shapes(pins: Sequence[Mapping[str, Any]], theme: Theme) -> list[dict[str, Any]]:
    """A dotted vertical line for each pin. A pin has `step`, `number`, `severity` and `title`."""
    return [
        {
            "type": "line",
            "x0": pin["step"],
            "x1": pin["step"],
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": tone_colour(theme, pin["severity"]), "width": 1, "dash": "dot"},
            "layer": "below",
        }
        for pin in pins
    ]


def heights(steps: Sequence[int], last: int) -> list[float]:
    """Where each pin hangs, 0..1: pins that would cover each other hang one below the other."""
    placed: list[tuple[int, float]] = []
    for step in steps:
        near = [height for other, height in placed if abs(step - other) < 0.04 * last]
        placed.append((step, min([HIGHEST + SPACING, *near]) - SPACING))
    return [height for _, height in placed]


def badges(pins: Sequence[Mapping[str, Any]], theme: Theme, last: int, yaxis: str = "y2") -> list[base.Trace]:
    """The numbers on these lines, on an axis that ends at `last`; hover gives the finding's title."""
    if not pins:
        return []
    return [
        {
            "type": "scatter",
            "mode": "markers+text",
            "x": [pin["step"] for pin in pins],
            "y": heights([pin["step"] for pin in pins], last),
            "yaxis": yaxis,
            "text": [f"<b>{pin['number']}</b>" for pin in pins],
            "textfont": {"color": theme.background, "size": 11},
            "hovertext": [f"{pin['number']}: {base.escape(pin['title'])}, from step {pin['step']:,}" for pin in pins],
            "hovertemplate": "%{hovertext}<extra></extra>",
            "marker": {
                "size": 18,
                "symbol": "circle",
                "color": [tone_colour(theme, pin["severity"]) for pin in pins],
            },
            "name": "findings",
            "showlegend": False,
            "cliponaxis": False,
        }
    ]
