"""The charts there are: chart id -> pure function from runs to a Plotly figure.

    @chart("live.loss")
    def loss(runs, params, theme): ...
        return figure            # plotly.graph_objects.Figure, or the same as a plain dict

A builder reads runs and returns a figure; it knows neither Streamlit nor the page it is drawn on, so a notebook, the
HTML report and the live page draw the same picture. It is called from several threads at once (never for one run at
the same moment) and must neither keep nor change what it is given. The engine draws a figure in place: set
`layout.uirevision` to a constant only to override its own, and leave height and width to the page.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from probes.errors import UnknownNameError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from probes.runlog import Run

Theme = Literal["light", "dark"]
Builder = Callable[["Sequence[Run]", "Mapping[str, Any]", Theme], "Figure | dict[str, Any]"]

_BUILDERS: dict[str, Builder] = {}


def chart(chart_id: str) -> Callable[[Builder], Builder]:
    """Registers the decorated function as the builder of `chart_id` ("<view>.<chart>")."""

    def register(builder: Builder) -> Builder:
        known = _BUILDERS.get(chart_id)
        if known is not None and (known.__module__, known.__qualname__) != (
            builder.__module__,
            builder.__qualname__,
        ):
            raise ValueError(f"chart id {chart_id!r} is taken by {known.__module__}.{known.__qualname__}")
        _BUILDERS[chart_id] = builder
        return builder

    return register


def build(chart_id: str, runs: Sequence[Run], params: Mapping[str, Any], theme: Theme) -> Figure | dict[str, Any]:
    """Draws a chart of `runs` as they stand.

    Raises:
        UnknownNameError: no chart is called `chart_id`.
    """
    load_all()
    builder = _BUILDERS.get(chart_id)
    if builder is None:
        raise UnknownNameError(f"there is no chart {chart_id!r}; there are: {', '.join(chart_ids()) or 'none'}")
    return builder(runs, params, theme)


def chart_ids() -> list[str]:
    """All chart ids, sorted."""
    load_all()
    return sorted(_BUILDERS)


def load_all() -> None:
    """Imports every module beside this one, so that each chart in it is registered."""
    package = importlib.import_module(__package__ or "app.figures")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
