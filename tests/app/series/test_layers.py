"""Per-layer series: states, order, overview, and many layers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app.series import layers, table


def test_the_state_of_a_ratio_is_that_of_its_newest_third(make_run) -> None:
    steps = list(range(1, 10))
    ratio = np.full((9, 3), 1e-3)
    ratio[:6, 0] = 1.0  # was large, is usual now
    ratio[6:, 1] = 0.0  # stands still now
    ratio[6:, 2] = math.nan
    run = make_run().layer("update_ratio", ratio, steps).open()
    states = {p.layer: p.state for p in layers.ratio_paths(run.layer_series("update_ratio"))}
    assert states == {"fc1.weight": "ok", "fc1.bias": "still", "fc2.weight": "nonfinite"}


@pytest.mark.parametrize(
    ("ratio", "state"), [(1e-4, "ok"), (0.99e-4, "low"), (1e-2, "ok"), (1.01e-2, "high"), (0.0, "still")]
)
def test_the_band_ends_where_it_says(ratio: float, state: str) -> None:
    assert layers.ratio_state(ratio, True) == state
    assert layers.ratio_state(math.nan, False) == "unknown"


def test_flagged_layers_come_worst_first(make_run) -> None:
    ratio = np.tile([1e-5, 0.5, 3e-2], (3, 1))
    run = make_run().layer("update_ratio", ratio, [1, 2, 3]).open()
    found = layers.flagged(layers.ratio_paths(run.layer_series("update_ratio")))
    assert [path.layer for path in found] == ["fc1.bias", "fc2.weight", "fc1.weight"]


def test_only_weights_leaves_biases_out(make_run) -> None:
    run = make_run().layer("grad_norm", np.ones((2, 3)), [1, 2]).open()
    found = layers.profile(run.layer_series("grad_norm"), layers.weight_names(run))
    assert found.layers == ["fc1.weight", "fc2.weight"]


def test_the_overview_keeps_the_highest_value_and_counts_what_is_not_finite(make_run) -> None:
    names = [f"l{i}.weight" for i in range(3)]
    values = np.random.default_rng(0).random((1000, 3)).astype(np.float32)
    values[517, 1], values[518, 1], values[999, 2] = 50.0, math.nan, math.inf
    run = make_run(layers=names).layer("grad_norm", values, list(range(1, 1001))).open()
    found = layers.overview(run.layer_series("grad_norm"), max_columns=100)
    assert found.values.shape == (3, 100) and found.frames == 10
    column = int(np.searchsorted(found.steps, 518))
    assert found.values[1, column] == 50.0
    assert found.nonfinite[1].sum() == 1 and found.nonfinite[2, -1] == 1
    naive = np.array([[values[i : i + 10, k].max() for i in range(0, 510, 10)] for k in range(3)])
    np.testing.assert_array_equal(found.values[:, :51], naive)


def test_the_profile_shows_the_newest_frame_last_and_the_first_one_first(make_run) -> None:
    steps = list(range(10, 110, 10))
    run = make_run().layer("grad_norm", np.arange(30.0).reshape(10, 3), steps).open()
    found = layers.profile(run.layer_series("grad_norm"), ghosts=4)
    assert found.steps.tolist()[0] == 10 and found.steps.tolist()[-1] == 100 and len(found.steps) == 5
    np.testing.assert_array_equal(found.values[-1], [27.0, 28.0, 29.0])


def test_modules_named_by_number_stay_in_forward_order(make_run) -> None:
    run = make_run(modules=["2", "10", "1"]).layer("dead_fraction", np.zeros((1, 3)), [1], axis="module").open()
    assert layers.forward_order(run, {"1", "2", "10"}) == ["2", "10", "1"]


def test_three_hundred_layers_become_a_range_that_encloses_them_all(make_run) -> None:
    names = [f"block{i}.weight" for i in range(300)]
    values = 10 ** np.random.default_rng(1).normal(-3, 0.3, size=(20, 300))
    run = make_run(layers=names).layer("update_ratio", values, list(range(1, 21))).open()
    found = layers.spread(run.layer_series("update_ratio"))
    np.testing.assert_allclose(found.low, values.min(axis=1), rtol=1e-6)
    np.testing.assert_allclose(found.high, values.max(axis=1), rtol=1e-6)
    np.testing.assert_allclose(found.middle, np.median(values.astype(np.float32), axis=1), rtol=1e-6)


def test_a_kind_that_was_never_measured_is_none_and_the_table_says_so(make_run) -> None:
    run = make_run().scalars("train/loss", [1.0]).open()
    assert layers.layer_series(run, "grad_norm") is None
    assert [(row.name, row.state) for row in table.rows(run)] == [
        (name, "? not measured") for name in ("fc1.weight", "fc1.bias", "fc2.weight")
    ]
