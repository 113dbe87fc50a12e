"""First-layer filters as one picture, and how they came to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app import theme as themes
from app.figures import base
from app.figures.png import data_address
from app.figures.registry import chart
from app.series import filters as series
from app.series.numbers import number, percent, plural

NOTHING = (
    "No first-layer weights have been kept yet. They are taken at step 0 and then at ever wider distances, "
    "when the first layer is a convolution or a dense layer."
)
MOMENTS = 8
ONE_LINE = 48  # letters of title and readout beside each other, in half of a small screen
STRIP_FILTERS = 12


@chart("filters.grid")
def grid(runs: Sequence[Any], params: Mapping[str, Any], theme: str) -> base.Figure:
    """All filters at one step. params: `step` (None: newest), `normalise` ("each", "joint")."""
    colours = themes.theme(theme)
    found = series.snapshot(runs[0], params.get("step")) if runs else None
    if found is None:
        return base.message(colours, "First-layer filters", NOTHING)
    pixels = series.to_bytes(found.images, params.get("normalise", "each"))
    count, height, width = found.images.shape[:3]
    columns = series.grid_columns(count, height, width)
    picture = series.tile(pixels, columns, background(colours))
    first = series.snapshot(runs[0], int(found.steps[0]))
    moved = series.change(found.images, first.images) if first is not None else np.full(count, np.nan)
    title = "First-layer weights" if found.as_matrix else "First-layer filters"
    middle = float(np.nanmedian(moved)) if np.isfinite(moved).any() else float("nan")
    said = f"step {found.step:,}"
    if np.isfinite(middle) and found.step != int(found.steps[0]):
        said += f" · moved {percent(middle)} since step {int(found.steps[0]):,} (median)"
    return base.figure(
        [
            image_trace(picture),
            *([] if found.as_matrix else [hover_points(found, moved, columns, colours)]),
        ],
        picture_layout(
            colours,
            title,
            said,
            f"{title} at step {found.step:,}: {plural(found.total, 'picture')} of {height} by {width}. {found.note}",
            picture.shape,
        ),
    )


@chart("filters.moments")
def moments(runs: Sequence[Any], params: Mapping[str, Any], theme: str) -> base.Figure:
    """A dozen filters over time, one row each, earliest on the left. params: `normalise`."""
    colours = themes.theme(theme)
    title = "How they came to be"
    newest = series.snapshot(runs[0]) if runs else None
    if newest is None or newest.as_matrix:
        return base.message(colours, title, NOTHING if newest is None else "The weight matrix is shown as a whole.")
    steps = series.moments(newest.steps, MOMENTS)
    taken = [one for step in steps if (one := series.snapshot(runs[0], step)) is not None]
    rows = most_moved(newest, taken[0])
    stack = np.stack([series.to_bytes(one.images[rows], params.get("normalise", "each")) for one in taken], axis=1)
    picture = series.tile(stack.reshape(-1, *stack.shape[2:]), len(taken), background(colours))
    height, width = newest.images.shape[1:3]
    return base.figure(
        [image_trace(picture)],
        picture_layout(
            colours,
            title,
            "those that moved most",
            f"{plural(len(rows), 'filter')} at steps {', '.join(f'{one.step:,}' for one in taken)}.",
            picture.shape,
            xticks=(
                [i * (width + 1) + width / 2 for i in range(len(taken))],
                [f"{one.step:,}" for one in taken],
            ),
            yticks=([i * (height + 1) + height / 2 for i in range(len(rows))], [f"#{row}" for row in rows]),
        ),
    )


def most_moved(newest: series.Snapshot, first: series.Snapshot) -> list[int]:
    """The filters that moved most since the first snapshot, in their own order."""
    moved = np.nan_to_num(series.change(newest.images, first.images), nan=0.0, posinf=0.0)
    return sorted(np.argsort(-moved, kind="stable")[:STRIP_FILTERS].tolist())


def background(theme: themes.Theme) -> tuple[int, int, int]:
    """The page's colour as bytes: what separates the pictures."""
    return tuple(int(theme.background[i : i + 2], 16) for i in (1, 3, 5))  # type: ignore[return-value]


def image_trace(picture: series.Picture) -> base.Trace:
    """The picture, each weight one unit on the axes, never blurred."""
    return {
        "type": "image",
        "source": data_address(picture),
        "zsmooth": False,
        "hoverinfo": "skip",
        "x0": 0,
        "y0": 0,
        "dx": 1,
        "dy": 1,
    }


def hover_points(found: series.Snapshot, moved: np.ndarray, columns: int, theme: themes.Theme) -> base.Trace:
    """Invisible points in the middle of each filter that tell its number, norm and change."""
    count, height, width = found.images.shape[:3]
    index = np.arange(count)
    strength = series.norms(found.images)
    text = [
        f"<b>#{i}</b><br>norm {number(float(strength[i]))}"
        + (f"<br>moved {percent(float(moved[i]))} since the start" if np.isfinite(moved[i]) else "")
        for i in range(count)
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": (index % columns) * (width + 1) + (width + 1) / 2,
        "y": (index // columns) * (height + 1) + (height + 1) / 2,
        "text": [one.replace("<0.1%", "&lt;0.1%").replace(">99.9%", "&gt;99.9%") for one in text],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"size": 18, "opacity": 0, "color": theme.train},
        "showlegend": False,
    }


def picture_layout(
    theme: themes.Theme,
    title: str,
    readout: str,
    summary: str,
    shape: tuple[int, ...],
    xticks: tuple[list[float], list[str]] = ([], []),
    yticks: tuple[list[float], list[str]] = ([], []),
) -> dict[str, Any]:
    """Square pixels, no grid, first row on top."""
    plain = {"showgrid": False, "showline": False, "tickmode": "array", "constrain": "domain"}
    return base.layout(
        theme,
        title,
        readout,
        summary=summary,
        legend=False,
        hovermode="closest",
        hoverdistance=60,
        xaxis=base.axis(theme, tickvals=xticks[0], ticktext=xticks[1], range=[-0.5, shape[1] - 0.5],
                        constraintoward="left", tickangle=0, **plain),
        yaxis=base.axis(
            theme, tickvals=yticks[0], ticktext=yticks[1], range=[shape[0] - 0.5, -0.5],
            scaleanchor="x", scaleratio=1, constraintoward="top", **plain,
        ),
        room=ONE_LINE,
        margin={"l": 8, "r": 8, "t": 34 + 16 * (len(title) + len(readout) > ONE_LINE), "b": 8},
    )  # fmt: skip
