"""Layers that come and go keep the order of the forward pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from probes.runlog import LayerFrame, RunWriter, open_run
from probes.runlog.views import in_forward_order


@pytest.mark.parametrize(
    ("lists", "union"),
    [
        ([], []),
        ([["a", "b"]], ["a", "b"]),
        ([["a", "b"], ["a", "b"]], ["a", "b"]),
        ([["a", "c"], ["a", "b", "c"]], ["a", "b", "c"]),  # added in between
        ([["a", "b", "c"], ["a", "c"]], ["a", "b", "c"]),  # frozen: stays where it stood
        ([["a", "b"], ["b", "a"]], ["b", "a"]),  # the latest order wins
        ([["x", "a"], ["a", "b"]], ["x", "a", "b"]),
        ([["a"], ["b"]], ["a", "b"]),
        ([["a", "b", "c", "d"], ["d"]], ["a", "b", "c", "d"]),
    ],
)
def test_union_of_layers(lists: list[list[str]], union: list[str]) -> None:
    assert in_forward_order(lists) == union


def test_two_axes_and_a_layer_added_late(tmp_path: Path) -> None:
    """A kind keeps to its axis; a layer that was not there yet was not measured, rather than NaN measured."""
    writer = RunWriter(tmp_path / "run", {})

    def frame(step: int, parameters: list[str]) -> None:
        values = {
            "grad_norm": ("parameter", np.arange(len(parameters), dtype=np.float64) + step),
            "dead_fraction": ("module", np.array([np.nan, 0.5])),
        }
        writer.put(LayerFrame(step, float(step), {"parameter": parameters, "module": ["conv", "fc"]}, values))

    frame(1, ["conv.weight", "fc.weight"])
    frame(2, ["conv.weight", "conv.bias", "fc.weight"])
    frame(3, ["conv.weight", "conv.bias", "fc.weight"])
    writer.close()
    run = open_run(tmp_path / "run")
    assert run.layer_kinds == ["grad_norm", "dead_fraction"]
    norms = run.layer_series("grad_norm")
    assert norms.axis == "parameter"
    assert norms.layers == ["conv.weight", "conv.bias", "fc.weight"]
    np.testing.assert_array_equal(norms.values, [[1, np.nan, 2], [2, 3, 4], [3, 4, 5]])
    assert norms.measured.tolist() == [[True, False, True], [True] * 3, [True] * 3]
    dead = run.layer_series("dead_fraction")
    assert (dead.axis, dead.layers) == ("module", ["conv", "fc"])
    np.testing.assert_array_equal(dead.values, [[np.nan, 0.5]] * 3)
    assert dead.measured.all()
