"""Numbered pins: where on a chart a finding began. The same number is on its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.figures import base
from app.theme import Theme

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


def badges(pins: Sequence[Mapping[str, Any]], theme: Theme, yaxis: str = "y2") -> list[base.Trace]:
    """The numbers on top of these lines; hover gives the finding's title."""
    if not pins:
        return []
    return [
        {
            "type": "scatter",
            "mode": "markers+text",
            "x": [pin["step"] for pin in pins],
            "y": [0.93] * len(pins),
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
