"""Colours: the Okabe-Ito palette (safe for every common colour vision), with a lighter set for dark pages.

Okabe & Ito, "Color Universal Design" (2008). Colour never carries a meaning alone: whatever is coloured also
has a dash, a symbol, an icon or a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ThemeName = Literal["light", "dark"]

FONT = '"Source Sans", "Source Sans Pro", system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif'


@dataclass(frozen=True)
class Theme:
    """Every colour a figure may use, as "#rrggbb".

    Attributes:
        accent: what is chosen among the controls; legible also on its own tint (WCAG 2.2, 4.5 to 1).
        series: the sticky colours of runs and of flagged layers, in order of use.
        faint: healthy layers and older curves, that should be there without drawing the eye.
        sequential: anchors of a sequential scale (Cividis), low to high.
    """

    name: ThemeName
    background: str
    accent: str
    surface: str
    text: str
    muted: str
    grid: str
    faint: str
    train: str
    validation: str
    test: str
    good: str
    warning: str
    critical: str
    series: tuple[str, ...]
    sequential: tuple[str, ...]


# Cividis: Nunez, Anderton & Renslow, PLOS ONE 13(7), 2018. Eleven anchors; readable without colour vision.
_CIVIDIS = (
    "#00224e", "#083370", "#35456c", "#4f576c", "#666970", "#7d7c78",
    "#948e77", "#aea371", "#c8b866", "#e5cf52", "#fee838",
)  # fmt: skip

LIGHT = Theme(
    name="light",
    background="#ffffff",
    accent="#005f96",
    surface="#f6f7f9",
    text="#11151a",
    muted="#5f6873",
    grid="#e8ebef",
    faint="#b4bcc6",
    train="#0072b2",
    validation="#d55e00",
    test="#9a4f80",
    good="#007a5a",
    warning="#9c6500",
    critical="#b3261e",
    series=("#0072b2", "#d55e00", "#009e73", "#b0588f", "#e69f00", "#56b4e9", "#6a5acd", "#7a6000"),
    sequential=_CIVIDIS,
)

DARK = Theme(
    name="dark",
    background="#11151a",
    accent="#63b8f0",
    surface="#1a2027",
    text="#e6e9ed",
    muted="#9aa5b1",
    grid="#272f38",
    faint="#5b6672",
    train="#63b8f0",
    validation="#ff9a4d",
    test="#e39ac4",
    good="#3fcf9f",
    warning="#f0b429",
    critical="#ff7a6b",
    series=("#63b8f0", "#ff9a4d", "#3fcf9f", "#e39ac4", "#f2c14e", "#9ad8ff", "#a99cff", "#d8c96a"),
    sequential=_CIVIDIS,
)


def theme(name: str) -> Theme:
    """The theme called `name`; anything but "dark" is the light one."""
    return DARK if name == "dark" else LIGHT


def rgba(colour: str, alpha: float) -> str:
    """`colour` ("#rrggbb") with an opacity in 0..1, as CSS."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def streamlit_options() -> dict[str, object]:
    """The page's own colours, as Streamlit's `theme.*` options: both modes, so that the browser's choice holds."""
    options: dict[str, object] = {}
    for one in (LIGHT, DARK):
        options |= {
            f"theme.{one.name}.primaryColor": one.accent,
            f"theme.{one.name}.backgroundColor": one.background,
            f"theme.{one.name}.secondaryBackgroundColor": one.surface,
            f"theme.{one.name}.textColor": one.text,
            f"theme.{one.name}.borderColor": one.grid,
        }
    return options
