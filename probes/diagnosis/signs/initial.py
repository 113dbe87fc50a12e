"""What the first frame tells of the initial weights: the signal on its way up, and the weights themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from probes.diagnosis.tracks import training_loss
from probes.diagnosis.view import Floats, LayerTable, NotJudged, RunView


@dataclass(frozen=True)
class Initial:
    """The net before anything is learned.

    Attributes:
        layer: the last layer that has weights.
        spread: standard deviation of its output.
        output: `spread` over the root mean square of the inputs.
        varying: the part of `output` that differs from example to example.
        gain: standard deviation of the weights times root of the fan-in, median of the layers.
        passed: what differs from example to example after the last hidden layer over the same after the first layer
            with weights; None where a bounded activation, and not the weights, may be what shrinks it, and with fewer
            than four layers.
        saturated: share of saturated outputs, median of the modules with a bounded activation; 0 when there is none.
    """

    layer: str
    spread: float
    output: float
    varying: float
    gain: float
    passed: float | None
    saturated: float


def initial(view: RunView) -> Initial:
    """What is known from step 1.

    Raises:
        NotJudged: the first frame is a later one, or does not hold the last layer or the weights.
    """
    table = view.need_layers("activation_std")
    homes = {parameter.module for parameter in view.parameters if parameter.is_weight}
    places = [column for column, name in enumerate(table.layers) if name in homes]
    if int(table.steps[0]) > 1 or not places or not table.measured[0, places[-1]]:
        raise NotJudged("the outputs of the last layer with weights were not recorded at step 1")
    layer, spread = table.layers[places[-1]], float(table.values[0, places[-1]])
    size = _input_size(view)
    return Initial(
        layer=layer,
        spread=spread,
        output=spread / size,
        varying=spread * _varying_share(view, layer) / size,
        gain=float(np.median(gains_of_weights(view))),
        passed=_passed(view, table, places),
        saturated=_saturated(view),
    )


def first_loss(view: RunView) -> float | None:
    """The training loss of step 1; None when it was not logged, or is not finite."""
    try:
        loss = training_loss(view)[1]
    except NotJudged:
        return None
    first = float(loss.values[0])
    return first if loss.steps[0] <= 1 and math.isfinite(first) else None


def _passed(view: RunView, table: LayerTable, places: list[int]) -> float | None:
    bounded = view.layers("saturated_fraction")
    if len(places) < 4 or (bounded is not None and bool(bounded.measured[0].any())):
        return None
    first, last = (
        float(table.values[0, place]) * _varying_share(view, table.layers[place]) for place in (places[0], places[-2])
    )
    return last / first if first > 0 and math.isfinite(last) else None


def _saturated(view: RunView) -> float:
    table = view.layers("saturated_fraction")
    if table is None or not table.measured[0].any():
        return 0.0
    return float(np.median(table.values[0][table.measured[0]]))


def _varying_share(view: RunView, layer: str) -> float:
    """Standard deviation across the batch over that of all elements, in the first frame; 1 when not recorded."""
    table = view.layers("batch_variation")
    picked = table.pick([layer]) if table is not None else None
    if picked is None or not picked.layers or not picked.measured[0, 0] or not np.isfinite(picked.values[0, 0]):
        return 1.0
    return float(picked.values[0, 0])


def _input_size(view: RunView) -> float:
    """Root mean square of the inputs in the first frame; 1 when it was not recorded."""
    means, stds = view.layers("input_mean"), view.layers("input_std")
    if means is None or stds is None:
        return 1.0
    size = float(np.sqrt(np.mean(means.values[0] ** 2 + stds.values[0] ** 2)))
    return size if np.isfinite(size) and size > 0 else 1.0


def gains_of_weights(view: RunView) -> Floats:
    """Standard deviation times root of the fan-in of the weights as recorded first, [L]; lookup tables left out.

    Raises:
        NotJudged: not recorded, or some weights begin with all elements equal, which is another rule's business.
    """
    stds = view.need_layers("weight_std")
    lookups = {module.name for module in view.modules if module.looks_up}
    fans = {
        p.name: p.numel / p.shape[0] for p in view.parameters if p.is_weight and p.numel and p.module not in lookups
    }
    own = [column for column, name in enumerate(stds.layers) if name in fans and stds.measured[0, column]]
    gains = np.asarray([stds.values[0, column] * math.sqrt(fans[stds.layers[column]]) for column in own])
    if not len(gains) or not (gains[:-1] > 0).all():
        raise NotJudged("the spread of the initial weights is not known, or zero")
    return gains
