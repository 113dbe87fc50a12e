"""Runs without their beginning: as if they had been watched from a later step on."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.view import Curve, LayerTable, RunView


def without_beginning(view: RunView, step: int, *, told: bool = True) -> RunView:
    """The view without what was logged up to ``step``; ``told``: the log says that it continues a training."""

    def read_series(name):
        curve = view._read_series(name)
        if curve is None:
            return None
        kept = curve.steps > step
        return Curve(curve.steps[kept], curve.values[kept])

    def read_layers(kind):
        table = view._read_layers(kind)
        if table is None:
            return None
        kept = table.steps > step
        return LayerTable(table.layers, table.steps[kept], table.values[kept], table.measured[kept])

    session = {"sessions": [{"start_step": step}]} if told else {}
    names = [name for name in view.series_names if (curve := read_series(name)) is not None and np.size(curve.steps)]
    return RunView(
        name=view.name,
        status=view.status,
        last_step=view.last_step,
        series_names=names,
        read_series=read_series,
        read_layers=read_layers,
        manifest={**view.manifest, **session},
    )
