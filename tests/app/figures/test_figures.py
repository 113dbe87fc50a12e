"""Figures: exact data on the chart, nothing lost, nothing from a run read as markup."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from app.figures import registry
from app.server.encode import figure_bytes
from probes.errors import UnknownNameError

EVIL = "<img src=x onerror=alert(1)>%{y}"


def build(chart: str, run: Any, theme: str = "light", **params: Any) -> dict[str, Any]:
    return registry.build(chart, [run], params, theme)


def trace(figure: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in figure["data"] if one.get("name") == name]
    return found


@pytest.fixture
def full(make_run):
    """A run with everything, three layers, ten frames."""
    rng = np.random.default_rng(0)
    steps = list(range(10, 110, 10))
    maker = make_run(config={"total_steps": 200})
    maker.scalars("train/loss", list(np.linspace(2.0, 0.5, 100)))
    maker.scalars("val/loss", [1.5, 1.0, 0.8], steps=[30, 60, 90])
    maker.scalars("train/accuracy", list(np.linspace(0.1, 0.9, 100)))
    maker.scalars("optimizer/lr", [0.1] * 50 + [0.01] * 50)
    maker.scalars("system/step_time", [0.25] * 100).scalars("system/data_wait", [0.05] * 100)
    for kind in ("update_ratio", "grad_norm", "weight_norm", "weight_std"):
        maker.layer(kind, np.full((10, 3), 1e-3), steps)
    maker.layer("activation_std", np.ones((10, 3)), steps, axis="module")
    maker.layer("dead_fraction", np.tile([0.0, 0.25, 0.5], (10, 1)), steps, axis="module")
    maker.histogram("weight", {step: [rng.normal(0, 0.1, 1000).astype(np.float32)] * 3 for step in steps})
    maker.filters({0: rng.normal(size=(8, 3, 5, 5)), 100: rng.normal(size=(8, 3, 5, 5))})
    save_checks(maker.path, [OVERFIT])
    return maker.open()


OVERFIT = {
    "check": "overfit-small-batch", "status": "pass", "message": "m", "suggestions": [], "seconds": 0.1,
    "evidence": {"examples": 20, "loss_floor": 0.0, "loss_constant": 2.0, "limits": {"pass": 0.1},
                 "learning_rate": 0.01,
                 "curves": [{"learning_rate": 0.01, "loss": [2.0, 1.0, 0.1]},
                            {"learning_rate": 0.1, "loss": [2.0, "NaN", None]}]},
}  # fmt: skip


def save_checks(path: Any, results: list[dict[str, Any]]) -> None:
    (path / "checks.json").write_text(json.dumps({"format": "babysit-checks", "version": 1, "results": results}))


PARAMS = {
    "live.metric": {"metric": "loss"},
    "layers.overview": {"kind": "grad_norm"},
    "distributions.heatmap": {"kind": "weight", "layer": "fc1.weight"},
    "distributions.ridges": {"kind": "weight", "layer": "fc1.weight"},
    "distributions.bell": {"kind": "weight", "layer": "fc1.weight"},
    "diagnosis.evidence": {"series": "grad_norm", "layers": ["fc1.weight"], "first": 10, "last": 60},
    "compare.metric": {"metric": "loss"},
    "sanity.evidence": {"check": "overfit-small-batch"},
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("chart", registry.chart_ids())
def test_every_chart_is_valid_plotly_with_data_a_sentence_and_plain_ids(chart: str, theme: str, full) -> None:
    figure = build(chart, full, theme, **PARAMS.get(chart, {}))
    assert figure["data"], figure["layout"]["meta"]
    go.Figure(figure)  # raises on any key or value that Plotly does not know
    json.loads(figure_bytes(figure))
    summary = figure["layout"]["meta"]["summary"]
    assert len(summary) > 20 and "<" not in summary and "\n" not in summary
    ids = [one["uid"] for one in figure["data"]]
    assert len(set(ids)) == len(ids) and all(one.isalnum() for one in ids)


@pytest.mark.parametrize("chart", registry.chart_ids())
def test_a_run_without_data_gives_a_message_and_no_empty_axes(chart: str, make_run) -> None:
    figure = build(chart, make_run().open(), **PARAMS.get(chart, {}))
    assert figure["data"] == []
    assert figure["layout"]["xaxis"] == figure["layout"]["yaxis"] == {"visible": False}
    assert len(figure["layout"]["annotations"][0]["text"]) > 20


@pytest.mark.parametrize("chart", registry.chart_ids())
def test_names_from_a_run_are_never_markup(chart: str, make_run) -> None:
    names, steps = [f"{EVIL}{i}.weight" for i in range(3)], [1, 2, 3, 4]
    maker = make_run(layers=names, modules=[EVIL + "a", EVIL + "b", EVIL + "c"])
    for name in ("train/loss", f"{EVIL}/loss", "train/" + EVIL, "optimizer/lr/" + EVIL, "optimizer/lr/1"):
        maker.scalars(name, [1.0, math.nan, 3.0, 4.0])
    for kind in ("update_ratio", "grad_norm"):
        maker.layer(kind, np.array([[1.0, math.nan, 0.0]] * 4), steps)
    for kind in ("dead_fraction", "activation_std"):
        maker.layer(kind, np.full((4, 3), 0.5), steps, axis="module")
    maker.histogram("weight", {1: [np.ones(10, np.float32)] * 3}).filters({0: np.ones((4, 1, 3, 3))})
    ratios = {"check": "parameters-change", "evidence": {"update_ratios": {EVIL: 1.0, EVIL + "b": 2.0}}}
    save_checks(maker.path, [OVERFIT | ratios])
    run = maker.open()
    params = PARAMS.get(chart, {}) | {"check": "parameters-change", "layer": names[0], "layers": names}
    if chart == "live.metric":
        params["metric"] = EVIL
    if chart == "compare.metric":
        params["names"] = [EVIL]
    text = figure_bytes(build(chart, run, **params)).decode()
    shown = json.loads(text)
    shown["layout"]["meta"] = None  # a plain-text sentence, set as an attribute
    assert "<img" not in json.dumps(shown)
    assert "%{y}0" not in json.dumps(shown) and "alert(1)>%{y}" not in json.dumps(shown)


def test_an_unknown_chart_is_an_error_that_lists_the_known_ones(full) -> None:
    with pytest.raises(UnknownNameError, match=r"live\.loss"):
        build("live.nothing", full)


def test_loss_faint_as_logged_solid_smoothed_validation_dashed_with_diamonds_gap_shaded(full) -> None:
    figure = build("live.loss", full, smoothing=0.05)
    raw = trace(figure, "training, as logged")
    np.testing.assert_array_equal(raw["x"], np.arange(1, 101))
    np.testing.assert_allclose(raw["y"], np.linspace(2.0, 0.5, 100))
    assert trace(figure, "training, smoothed")["line"]["width"] > raw["line"]["width"]
    validation = trace(figure, "validation")
    assert validation["x"].tolist() == [30, 60, 90] and validation["y"].tolist() == [1.5, 1.0, 0.8]
    assert validation["line"]["dash"] == "dash" and validation["marker"]["symbol"] == "diamond"
    (shade,) = [one for one in figure["data"] if one.get("fill") == "tonexty"]
    assert shade["y"].tolist() == [1.5, 1.0, 0.8] and shade["hoverinfo"] == "skip"


def test_nan_and_inf_are_crosses_on_the_edge_that_no_zoom_hides(make_run) -> None:
    values = [1.0] * 50
    values[9], values[20:30], values[40] = math.nan, [math.nan] * 10, math.inf
    figure = build("live.loss", make_run().scalars("train/loss", values).open())
    cross = trace(figure, "NaN or Inf")
    assert cross["marker"]["symbol"] == "x" and cross["yaxis"] == "y2"
    assert figure["layout"]["yaxis2"]["range"] == [0, 1] and figure["layout"]["yaxis2"]["fixedrange"]
    np.testing.assert_array_equal(cross["x"], [10, 10, np.nan, 21, 30, np.nan, 41, 41, np.nan])
    assert cross["text"][::3] == [
        "training is NaN at step 10",
        "training is NaN 10 times, steps 21 to 30",
        "training is +Inf at step 41",
    ]
    assert "not finite 12 times from step 10" in figure["layout"]["meta"]["summary"]


def test_the_y_axis_turns_to_log_by_itself_or_as_asked_and_says_what_it_cannot_show(make_run) -> None:
    wide = make_run("wide").scalars("train/loss", [1e4, 1.0, 1e-3, 0.0]).open()
    near = make_run("near").scalars("train/loss", [2.0, 1.0]).open()
    assert build("live.loss", wide)["layout"]["yaxis"]["type"] == "log"
    assert build("live.loss", wide, y="linear")["layout"]["yaxis"].get("type") != "log"
    assert build("live.loss", near)["layout"]["yaxis"].get("type") != "log"
    assert build("live.loss", near, y="log")["layout"]["yaxis"]["type"] == "log"
    hidden = trace(build("live.loss", wide), "training: 0 or negative")
    assert hidden["x"].tolist() == [4] and hidden["text"] == ["training = 0: not on a log axis"]


def test_a_log_x_axis_still_shows_step_zero(make_run) -> None:
    run = make_run().scalars("val/loss", [1.0, 2.0], steps=[0, 10]).open()
    figure = build("live.loss", run, log_x=True)
    low, _ = figure["layout"]["xaxis"]["range"]
    assert (np.log10(trace(figure, "validation")["x"]) >= low).all()


def test_all_charts_of_steps_end_at_the_last_step_of_the_run(full) -> None:
    ends = {build(chart, full)["layout"]["xaxis"]["range"][1] for chart in ("live.loss", "live.lr", "live.speed")}
    assert ends == {101.0}


def test_pins_carry_the_number_of_the_finding(full) -> None:
    pin = {"step": 40, "number": 2, "severity": "critical", "title": "Gradients <b>explode</b>"}
    figure = build("live.loss", full, pins=[pin])
    badge = trace(figure, "findings")
    assert badge["x"] == [40] and badge["text"] == ["<b>2</b>"] and "<b>explode" not in badge["hovertext"][0]
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [40]


def test_speed_shows_where_the_time_of_a_step_goes_on_one_axis(full) -> None:
    figure = build("live.speed", full)
    np.testing.assert_allclose(trace(figure, "compute")["y"], 200.0)  # of 250 ms a step, 50 are spent waiting
    np.testing.assert_allclose(trace(figure, "data wait")["y"], 50.0)
    assert {one["stackgroup"] for one in figure["data"]} == {"time"} and "yaxis2" not in figure["layout"]
    assert "4 steps/s, data wait 20%" in figure["layout"]["meta"]["summary"]
    assert figure["layout"]["yaxis"]["range"][1] > 250


def test_update_ratio_has_band_and_guide_and_colours_only_what_is_outside(make_run) -> None:
    ratio = np.tile([1e-3, 1e-6, 0.3], (6, 1))
    run = make_run(layers=["a.weight", "b.weight", "c.weight"]).layer("update_ratio", ratio, range(1, 7)).open()
    figure = build("layers.update_ratio", run)
    band, guide = figure["layout"]["shapes"]
    assert (band["y0"], band["y1"], guide["y0"]) == (1e-4, 1e-2, 1e-3)
    assert figure["layout"]["yaxis"]["type"] == "log"
    colours = {one["name"]: one["line"]["color"] for one in figure["data"] if len(one["x"]) == 6}
    assert set(colours) == {"in the band", "b.weight · small", "c.weight · large"}
    assert len(set(colours.values())) == 3
    assert "2 of 3 layers outside the usual band: 1 large, 1 small" in figure["layout"]["meta"]["summary"]


@pytest.mark.parametrize("count", [2, 300])
def test_few_layers_and_hundreds_stay_within_the_point_budget(count: int, make_run) -> None:
    names = [f"block{i}.weight" for i in range(count)]
    values = 10 ** np.random.default_rng(0).normal(-3, 0.2, size=(500, count))
    values[:, 0] = 1e-7
    run = make_run(layers=names)
    for kind in ("update_ratio", "grad_norm"):
        run.layer(kind, values, range(1, 501))
    run = run.open()
    ratio = build("layers.update_ratio", run)
    assert sum(len(one["x"]) for one in ratio["data"]) <= 16_000
    assert any(one["name"] == "block0.weight · small" for one in ratio["data"])
    overview = build("layers.overview", run, kind="update_ratio")
    assert overview["data"][0]["z"].dtype == np.uint8
    assert overview["data"][0]["z"].size <= 48_000
    assert len(overview["data"][0]["y"]) == count
    assert len(overview["layout"]["yaxis"]["tickvals"]) <= 20
    depth = build("layers.gradient_depth", run)
    assert len(depth["data"][-1]["x"]) == count and len(figure_bytes(overview)) < 500_000


def test_the_gradient_profile_marks_zero_and_nan_on_the_edges(make_run) -> None:
    values = np.tile([1.0, 0.0, math.nan], (2, 1))
    run = make_run(layers=["a.weight", "b.weight", "c.weight"]).layer("grad_norm", values, [1, 2]).open()
    figure = build("layers.gradient_depth", run)
    assert trace(figure, "is exactly zero")["x"] == ["b.weight"]
    assert trace(figure, "is NaN or Inf")["x"] == ["c.weight"]


def test_modules_with_numbers_for_names_keep_their_place(full) -> None:
    figure = build("layers.units", full)
    bars = trace(figure, "dead")
    assert bars["x"] == ["1", "10", "2"] and bars["y"].tolist() == [0.0, 0.25, 0.5]
    axis = figure["layout"]["xaxis"]
    assert axis["type"] == "category" and axis["categoryarray"] == axis["tickvals"] == ["1", "10", "2"]
    assert "up to 50% dead (2)" in figure["layout"]["meta"]["summary"]


def test_overview_cells_low_high_missing_and_not_finite_have_codes_of_their_own(make_run) -> None:
    values = np.array([[1e-4, 1.0, math.nan], [1e-4, math.inf, 1e-2]])
    run = make_run(layers=["a.weight", "b.weight", "c.weight"]).layer("grad_norm", values, [1, 2]).open()
    heat = build("layers.overview", run, kind="grad_norm")["data"][0]
    assert heat["z"].tolist() == [[2, 2], [255, 1], [1, 128]]
    assert heat["colorscale"][0] == [0.0, "rgba(0,0,0,0)"]
    np.testing.assert_allclose(heat["customdata"][0], [1e-4, 1e-4])


def test_the_heatmap_over_time_and_its_strip_share_the_steps(full) -> None:
    heat, strip = build("distributions.heatmap", full, kind="weight", layer="fc1.weight")["data"]
    np.testing.assert_array_equal(heat["x"], strip["x"])
    assert heat["z"].shape == heat["customdata"].shape == (len(heat["y"]), 10)
    np.testing.assert_allclose(heat["customdata"].sum(axis=0), 100, rtol=1e-4)
    assert strip["y"] == ["exactly zero", "below the range", "above the range", "NaN", "Inf"]
    assert len(set(heat["y"])) == len(heat["y"])


def test_nan_in_a_histogram_is_red_in_the_strip_and_said(make_run) -> None:
    values = np.ones(100, np.float32)
    values[:30] = np.nan
    run = make_run().histogram("weight", {1: [values] * 3}).open()
    figure = build("distributions.heatmap", run, kind="weight", layer="fc1.weight")
    strip = figure["data"][1]
    assert strip["z"][3, 0] < 0 and strip["customdata"][3, 0] == pytest.approx(30)
    assert "30% NaN" in figure["layout"]["meta"]["summary"]


def test_the_newest_ridge_is_in_front_and_strongest(full) -> None:
    ridges = [
        one for one in build("distributions.ridges", full, kind="weight", layer="fc1.weight")["data"] if one["name"]
    ]
    assert [one["name"] for one in ridges] == [f"step {step}" for step in range(10, 110, 10)]
    assert ridges[-1]["line"]["width"] == max(one["line"]["width"] for one in ridges)
    assert ridges[-1]["y"].min() == 0 < ridges[0]["y"].min()


def test_filters_are_one_image_not_blurred_with_square_pixels(full) -> None:
    figure = build("filters.grid", full)
    image, points = figure["data"]
    assert (
        image["type"] == "image" and image["zsmooth"] is False and image["source"].startswith("data:image/png;base64,")
    )
    assert figure["layout"]["yaxis"]["scaleanchor"] == "x"
    assert len(points["x"]) == 8 and "moved" in points["text"][0]
    early = build("filters.grid", full, step=0)
    assert early["data"][0]["source"] != image["source"] and "step 0" in early["layout"]["meta"]["summary"]
    joint = build("filters.grid", full, normalise="joint")
    assert joint["data"][0]["source"] != image["source"]


def test_evidence_shades_its_span_and_draws_only_limits_and_points_that_belong_on_the_axis(full) -> None:
    points = [
        {"step": 20, "value": 1e-3, "limit": 1.0, "layer": "fc1.weight", "note": "gradient"},
        {"step": None, "value": 1.1e-3, "limit": 2.0, "layer": None, "note": "median"},
        {"step": 20, "value": 12.0, "limit": 3.0, "layer": "fc1.weight", "note": "layers"},
    ]
    figure = build("diagnosis.evidence", full, **PARAMS["diagnosis.evidence"], points=points, severity="critical")
    span, *limits = figure["layout"]["shapes"]
    assert (span["x0"], span["x1"]) == (10, 60)
    assert [limit["y0"] for limit in limits] == [1.0, 2.0]  # 3 is a limit on a count of layers
    assert trace(figure, "evidence")["y"] == [1e-3]
    assert trace(figure, "fc1.weight")["x"].tolist() == list(range(10, 110, 10))


def test_compared_runs_keep_their_colours_whatever_is_beside_them(make_run) -> None:
    runs = {name: make_run(name).scalars("train/loss", [1.0, 0.5]).open() for name in ("a", "b", "c")}

    def colours(*names: str) -> dict[str, str]:
        figure = registry.build("compare.metric", [runs[n] for n in names], {"names": list(names)}, "light")
        return {one["name"]: one["line"]["color"] for one in figure["data"]}

    everything = colours("a", "b", "c")
    assert len(set(everything.values())) == 3
    assert colours("b")["b"] == everything["b"] and colours("c", "a") == {n: everything[n] for n in ("c", "a")}


def test_evidence_of_a_run_that_is_nan_from_the_start_stretches_the_first_steps(make_run) -> None:
    run = make_run().scalars("train/loss", [1.0, 5.0, 90.0] + [math.nan] * 97).open()
    params = {"series": "train/loss", "first": 4, "last": 100}
    assert build("diagnosis.evidence", run, **params)["layout"]["xaxis"]["type"] == "log"
    fine = make_run("fine").scalars("train/loss", [1.0] * 100).open()
    assert build("diagnosis.evidence", fine, **params)["layout"]["xaxis"]["type"] == "linear"
