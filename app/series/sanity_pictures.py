"""The evidence of sanity checks as something to draw: curves, values per layer, bars, or the inputs as images.

One function a check, from the evidence in `checks.json` to one of the four forms. The file is untrusted: whatever it
holds instead of the expected numbers ends in no picture, never in an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.series.numbers import number

Floats = npt.NDArray[np.float64]

MAX_POINTS, MAX_NAMES, MAX_IMAGES, MAX_SIDE = 2000, 400, 16, 128
NEAR_ZERO = 1e-12  # relative errors below it are rounding, and a log axis needs a floor


@dataclass(frozen=True)
class Guide:
    """A dashed line at a value, with its name: at the right end of a level one unless `left`."""

    value: float
    label: str
    upright: bool = False
    left: bool = False


@dataclass(frozen=True)
class Lines:
    """Curves. `curves`: (name, x, y, main): the main ones stand out."""

    title: str
    x_title: str
    y_title: str
    curves: list[tuple[str, Floats, Floats, bool]]
    guides: list[Guide]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Dots:
    """Values by name, in order. `groups`: (what, names, values)."""

    title: str
    groups: list[tuple[str, list[str], Floats]]
    guides: list[Guide]
    y_title: str = ""
    log_y: bool = True


@dataclass(frozen=True)
class Bars:
    """Counts. `labels` are categories when words, positions when numbers."""

    title: str
    x_title: str
    labels: list[str] | Floats
    counts: Floats


@dataclass(frozen=True)
class Images:
    """Inputs as the net gets them, uint8 [n, h, w, 3]; `low` and `high` are the values drawn black and white."""

    title: str
    pixels: npt.NDArray[np.uint8]
    low: float
    high: float


Drawable = Lines | Dots | Bars | Images


def picture(check: str, evidence: Mapping[str, Any]) -> Drawable | None:
    """What to draw for a check; None when its evidence carries nothing that a sentence does not say."""
    made = _MAKERS.get(check)
    if made is None:
        return None
    try:
        return made(evidence)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return None  # another version's evidence: the card's words stand alone


def _floats(values: Iterable[Any]) -> Floats:
    """Numbers of a report; "NaN" and "Infinity" are words there, and null is not measured."""
    return np.array([np.nan if v is None else float(v) for v in list(values)[:MAX_POINTS]], dtype=np.float64)


def _over_steps(values: Iterable[Any]) -> tuple[Floats, Floats]:
    y = _floats(values)
    return np.arange(len(y), dtype=np.float64), y


def _overfit(evidence: Mapping[str, Any]) -> Lines:
    best = float(evidence["learning_rate"])
    floor, constant = float(evidence["loss_floor"]), float(evidence["loss_constant"])
    aim = floor + float(evidence["limits"]["pass"]) * (constant - floor)
    curves = [
        (f"learning rate {number(float(fit['learning_rate']))}", *_over_steps(fit["loss"]),
         float(fit["learning_rate"]) == best)
        for fit in evidence["curves"]
    ]  # fmt: skip
    guides = [Guide(constant, "best constant answer"), Guide(aim, "learned by heart below", left=True)]
    return Lines(f"Loss on {int(evidence['examples'])} examples", "step", "loss", curves, guides)


def _rates(evidence: Mapping[str, Any]) -> Lines:
    rates, losses, smooth = (_floats(evidence[key]) for key in ("rates", "losses", "smoothed"))
    guides = [Guide(float(evidence["suggested"]), f"suggested {number(float(evidence['suggested']), 1)}", True)]
    if isinstance(evidence.get("configured"), (int, float)):
        guides.append(Guide(float(evidence["configured"]), f"yours {number(float(evidence['configured']))}", True))
    curves = [("loss", rates, losses, False), ("smoothed", rates, smooth, True)]
    # What a rate that explodes does to the loss would flatten all the rest: cut above the worst of the calm part.
    top = 1.5 * float(np.nanmax(losses[: max(len(losses) // 2, 1)]))
    curves = [(name, x, np.where(y <= top, y, np.nan), main) for name, x, y, main in curves]
    return Lines("Loss while the learning rate rises", "learning rate", "loss", curves, guides, log_x=True)


def _initialization(evidence: Mapping[str, Any]) -> Dots:
    layers = list(evidence["layers"])[:MAX_NAMES]
    groups = [("output scale", [str(one["name"]) for one in layers], _floats(one["scale"] for one in layers))]
    gradients = list(evidence.get("gradients") or ())[:MAX_NAMES]
    if gradients:
        # A weight stands with its layer, so that both curves share one axis.
        names = [str(one["name"]).removesuffix(".weight") for one in gradients]
        groups.append(("gradient norm", names, _floats(one["norm"] for one in gradients)))
    return Dots("Scale through depth, before training", groups, [Guide(1.0, "scale of the input", left=True)])


def _gradient_check(evidence: Mapping[str, Any]) -> Dots:
    parameters = list(evidence["parameters"])[:MAX_NAMES]
    values = _floats(one["worst_relative_error"] for one in parameters)
    limits = evidence["limits"]
    guides = [
        Guide(float(limits["warn"]), "suspicious above", left=True),
        Guide(float(limits["fail"]), "wrong above", left=True),
    ]
    groups = [("largest relative error", [str(p["name"]) for p in parameters], np.maximum(values, NEAR_ZERO))]
    return Dots("Analytic against numerical gradient", groups, guides)


def _named(title: str, key: str, label: str) -> Callable[[Mapping[str, Any]], Dots]:
    def make(evidence: Mapping[str, Any]) -> Dots:
        items = list(evidence[key].items())[:MAX_NAMES]
        guides = [Guide(1e-3, "usual: about 0.001", left=True)] if key == "update_ratios" else []
        return Dots(title, [(label, [str(name) for name, _ in items], _floats(v for _, v in items))], guides)

    return make


def _input_dependence(evidence: Mapping[str, Any]) -> Lines:
    curves = evidence["curves"]
    drawn = [
        ("real inputs", *_over_steps(curves["real"]), True),
        ("one input for all", *_over_steps(curves["constant"]), False),
    ]
    return Lines("Does the net look at its input?", "step", "loss", drawn, [])


def _labels(evidence: Mapping[str, Any]) -> Bars | None:
    counts = _floats(evidence["counts"]) if evidence.get("counts") else np.empty(0)
    if not 2 <= len(counts) <= 200:
        return None
    return Bars("Examples of each class", "class", [str(i) for i in range(len(counts))], counts)


def _inputs(evidence: Mapping[str, Any]) -> Images | Bars | None:
    images = evidence.get("images")
    if images:
        drawn = _images(images)
        if drawn is not None:
            return drawn
    (first, *_) = evidence["inputs"].values()
    counts = _floats(first["histogram"]["counts"])
    low, high = (float(v) for v in first["histogram"]["range"])
    edges = np.linspace(low, high, len(counts) + 1)
    return Bars("Values of the inputs", "value", (edges[:-1] + edges[1:]) / 2, counts)


def _images(images: Mapping[str, Any]) -> Images | None:
    pixels = np.asarray(images["pixels"], dtype=np.float64)[:MAX_IMAGES]
    if pixels.ndim != 4 or not pixels.size or max(pixels.shape[2:]) > MAX_SIDE:
        return None
    if pixels.shape[1] not in (1, 3):
        pixels = pixels[:, :1]
    shown = np.clip(np.nan_to_num(pixels), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    low, high = (float(v) for v in images["range"])
    return Images("Inputs as the net gets them", np.ascontiguousarray(np.broadcast_to(shown, (*shown.shape[:3], 3))),
                  low, high)  # fmt: skip


_MAKERS: dict[str, Callable[[Mapping[str, Any]], Drawable | None]] = {
    "overfit-small-batch": _overfit,
    "learning-rate-range": _rates,
    "initialization": _initialization,
    "gradient-check": _gradient_check,
    "gradients-reach-every-parameter": _named("Gradient of each parameter", "gradient_norms", "gradient norm"),
    "parameters-change": _named("How much one step changes each weight", "update_ratios", "‖Δw‖ / ‖w‖"),
    "input-dependence": _input_dependence,
    "input-normalization": _inputs,
    "label-sanity": _labels,
}
