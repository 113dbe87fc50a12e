"""Every page against real runs: healthy, ill, empty, ended before the first step, damaged."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.store import RunsDirectory, close_dashboard, open_dashboard
from app.views import VIEWS, home

PAGES = [path for _, path, *_ in VIEWS]
PER_RUN = ["live", "layers", "distributions", "filters", "diagnosis"]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Call it when the runs are written: the dashboard then serves them."""
    yield lambda: open_dashboard(tmp_path / "runs", poll_seconds=60)
    close_dashboard()


def page(path: str, run: str) -> AppTest:
    """One page, drawn for one run."""

    def script(path: str, run: str) -> None:
        from app.store import Page, dashboard
        from app.views import VIEWS

        served = dashboard()
        render = next(render for _, url_path, _, render in VIEWS if url_path == path)
        render(Page(served, run, served.directory.entries))

    return AppTest.from_function(script, kwargs={"path": path, "run": run}, default_timeout=30).run()


def text(drawn: AppTest) -> str:
    """Everything in words on a page."""
    parts = [element.proto.body for element in drawn.get("html")]
    for kind in ("info", "success", "error", "warning", "markdown", "caption"):
        parts += [element.value for element in drawn.get(kind)]
    parts += [element.proto.label for element in drawn.get("expander")]
    return "\n".join(parts)


def charts(drawn: AppTest) -> list[dict[str, Any]]:
    """What the page asked the engine to draw."""
    asked = []
    for element in drawn.get("bidi_component"):
        data = json.loads(element.proto.json) if element.proto.json else json.loads(element.proto.bytes)
        if data.get("kind") == "chart":
            asked.append(data)
    return asked


def healthy(maker: Any) -> Any:
    rng = np.random.default_rng(0)
    steps = list(range(5, 105, 5))
    maker.scalars("train/loss", list(2 * np.exp(-np.arange(100) / 40) + rng.normal(0, 0.02, 100)))
    maker.scalars("val/loss", [1.0, 0.6, 0.4, 0.3], steps=[25, 50, 75, 100])
    maker.scalars("train/accuracy", list(np.linspace(0.1, 0.95, 100)))
    maker.scalars("val/accuracy", [0.5, 0.7, 0.85, 0.9], steps=[25, 50, 75, 100])
    maker.scalars("optimizer/lr", [0.1] * 100).scalars("system/step_time", [0.02] * 100)
    for kind in ("update_ratio", "grad_norm", "weight_norm", "weight_std"):
        maker.layer(kind, np.full((20, 3), 1e-3) * rng.uniform(0.9, 1.1, (20, 3)), steps)
    maker.layer("dead_fraction", np.zeros((20, 3)), steps, axis="module")
    maker.histogram("weight", {s: [rng.normal(0, 0.1, 500).astype(np.float32)] * 3 for s in steps})
    maker.filters({0: rng.normal(size=(8, 3, 5, 5)), 100: rng.normal(size=(8, 3, 5, 5))})
    return maker


@pytest.mark.parametrize("path", PAGES)
def test_a_healthy_run_draws_on_every_page(path: str, make_run, served) -> None:
    healthy(make_run("fine")).close()
    served()
    drawn = page(path, "fine")
    assert not drawn.exception
    assert len(charts(drawn)) <= 8
    for chart in charts(drawn):
        assert chart["label"] and chart["height"] >= 150


def test_live_says_first_how_the_run_is_and_then_draws_it(make_run, served) -> None:
    healthy(make_run("fine", config={"total_steps": 400})).close()
    served()
    drawn = page("live", "fine")
    said = text(drawn)
    assert "fine" in said and "finished" in said and "step 100 of 400" in said
    assert "No problem found by" in said and "ealthy" not in said
    assert [chart["chart"] for chart in charts(drawn)] == ["live.loss", "live.metric", "live.lr", "live.speed"]
    assert charts(drawn)[1]["params"]["metric"] == "accuracy"


def test_without_another_metric_the_loss_gets_the_room(make_run, served) -> None:
    make_run("bare").scalars("train/loss", [1.0, 0.9, 0.8]).close()
    served()
    drawn = charts(page("live", "bare"))
    assert [chart["chart"] for chart in drawn] == ["live.loss", "live.lr", "live.speed"]
    assert drawn[0]["height"] > 1.9 * drawn[1]["height"]


def test_nan_is_the_banner_and_a_pin_on_the_loss_and_a_card_with_its_evidence(make_run, served) -> None:
    losses = [1.0] * 60 + [math.nan] * 40
    maker = make_run("ill").scalars("train/loss", losses).scalars("optimizer/lr", [0.1] * 100)
    maker.close("crashed", "FloatingPointError: loss is NaN")
    served()
    live = page("live", "ill")
    said = text(live)
    assert "Critical: " in said and "since step 61" in said and "FloatingPointError: loss is NaN" in said
    (pin,) = [pin for pin in charts(live)[0]["params"]["pins"] if pin["severity"] == "critical"]
    assert pin["step"] == 61
    cards = page("diagnosis", "ill")
    assert f'<span class="bs-pin">{pin["number"]}</span>' in text(cards) and "Try, in this order" in text(cards)
    asked = charts(cards)[0]
    assert asked["chart"] == "diagnosis.evidence" and asked["params"]["series"] == "train/loss"
    assert asked["params"]["first"] == 61


@pytest.mark.parametrize("path", PER_RUN)
def test_a_run_without_a_step_says_what_will_come_and_draws_no_empty_chart(path: str, make_run, served) -> None:
    make_run("new", config={"lr": 0.5})  # still open: running
    served()
    drawn = page(path, "new")
    assert not drawn.exception and charts(drawn) == []
    said = text(drawn)
    assert "Curves appear with the first optimizer step" in said and "Net, 36 weights in 3 tensors" in said
    assert "lr = 0.5" in said and "No problem" not in said


@pytest.mark.parametrize("path", PER_RUN)
def test_a_run_that_crashed_before_its_first_step_says_why(path: str, make_run, served) -> None:
    make_run("gone").close("crashed", "ValueError: <b>bad</b>")
    served()
    drawn = page(path, "gone")
    assert not drawn.exception and charts(drawn) == []
    assert "before the first step: ValueError: &lt;b&gt;bad&lt;/b&gt;" in text(drawn)


def test_missing_data_never_reads_as_health(make_run, served) -> None:
    make_run("thin").scalars("train/accuracy", [0.5]).close()
    served()
    said = text(page("live", "thin"))
    assert "No problem found" not in said or "could not be judged" in said


def test_a_kind_that_was_not_measured_says_why_in_place_of_charts(make_run, served) -> None:
    healthy(make_run("fine")).close()
    served()
    drawn = page("distributions", "fine")
    drawn.segmented_control(key="distributions kind").set_value("activation").run()
    assert charts(drawn) == [] and "this run holds none" in text(drawn)


def test_the_value_axis_is_chosen_for_each_kind(make_run, served) -> None:
    rng = np.random.default_rng(0)
    maker = healthy(make_run("fine"))
    maker.histogram("gradient", {s: [rng.normal(0, 1e-4, 500).astype(np.float32)] * 3 for s in range(200, 205)}).close()
    served()
    drawn = page("distributions", "fine")
    assert "distributions.bell" in [chart["chart"] for chart in charts(drawn)]
    drawn.segmented_control(key="distributions kind").set_value("gradient").run()
    assert "distributions.ridges" in [chart["chart"] for chart in charts(drawn)]
    drawn.segmented_control(key="distributions axis gradient").set_value("linear").run()
    assert "distributions.bell" in [chart["chart"] for chart in charts(drawn)]
    drawn.segmented_control(key="distributions kind").set_value("weight").run()
    drawn.segmented_control(key="distributions axis weight").set_value("log").run()
    assert "distributions.ridges" in [chart["chart"] for chart in charts(drawn)]


def test_filters_follow_slider_and_brightness(make_run, served) -> None:
    healthy(make_run("fine")).close()
    served()
    drawn = page("filters", "fine")
    assert "step" not in charts(drawn)[0]["params"]  # newest: follows the run
    drawn.select_slider(key="filters step").set_value(0).run()
    drawn.segmented_control(key="filters scale").set_value("joint").run()
    assert charts(drawn)[0]["params"] == {"normalise": "joint", "step": 0}


def test_the_sanity_card_shows_each_result_with_a_word(make_run, served, tmp_path: Path) -> None:
    path = healthy(make_run("fine")).close()
    results = [
        {"check": "initial-loss", "status": "pass", "message": "2.30 is near ln 10", "evidence": {}, "suggestions": [],
         "seconds": 0.1},
        {"check": "gradient-check", "status": "fail", "message": "<i>wrong</i> backward", "evidence": {},
         "suggestions": ["fix it"], "seconds": 0.1},
        {"check": "overfit-small-batch", "status": "skip", "message": "no optimizer", "evidence": {},
         "suggestions": [], "seconds": 0.0},
    ]  # fmt: skip
    report = {"format": "babysit-checks", "version": 1, "results": results, "seconds": 1.5, "subject": {}, "created": 0}
    (path / "checks.json").write_text(json.dumps(report))
    served()
    said = text(page("sanity", "fine"))
    assert "3 checks in 1.5 s: 1 fail, 1 not run, 1 pass" in said
    assert all(word in said for word in ("PASS", "FAIL", "NOT RUN", "&lt;i&gt;wrong&lt;/i&gt; backward", "fix it"))
    assert said.index("gradient-check") < said.index("overfit-small-batch") < said.index("initial-loss")


def test_a_run_without_sanity_report_is_said_to_be_unknown(make_run, served) -> None:
    healthy(make_run("fine")).close()
    served()
    assert "nothing is known about it" in text(page("sanity", "fine"))


def test_the_table_of_runs_has_them_all_also_the_damaged_one_and_finds_by_name(
    make_run, served, tmp_path: Path
) -> None:
    healthy(make_run("fine")).close()
    make_run("ill").scalars("train/loss", [1.0] * 30 + [math.nan] * 30).close("crashed")
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "run.json").write_text("{")
    served()
    drawn = page("runs", "fine")
    table = drawn.dataframe[0].value.set_index("run")
    rows = {name.partition("#")[2]: row for name, row in table.iterrows()}
    assert rows["fine"]["status"] == "■ finished" and rows["fine"]["best val accuracy"] == "90%"
    assert rows["ill"]["last loss"] == "NaN" and rows["ill"]["findings"].startswith("✕")
    assert rows["broken"]["status"] == "? unreadable" and "run.json" in rows["broken"]["findings"]
    drawn.text_input(key="runs search").set_value("crash").run()
    assert [name.partition("#")[2] for name in drawn.dataframe[0].value["run"]] == ["ill"]


def test_many_runs_are_listed_before_they_are_read(make_run, served, monkeypatch) -> None:
    from app.views import runs

    for i in range(12):
        make_run(f"run-{i:02}").scalars("train/loss", [1.0]).close()
    served()
    shown: list[list[dict[str, Any]]] = []
    monkeypatch.setattr(runs, "_show", lambda place, rows: shown.append([dict(row) for row in rows]))
    page("runs", "run-00")
    assert len(shown[0]) == len(shown[-1]) == 12
    assert {row["findings"] for row in shown[0]} == {"…"} and {row["status"] for row in shown[0]} == {"■ finished"}
    assert all(row["steps"] == 1 and row["findings"] != "…" for row in shown[-1])
    page("runs", "run-00")
    assert shown[-1][0]["steps"] == 1 and len(shown) == 3  # ended runs are known by then: drawn once, whole


def test_compare_asks_for_the_chosen_runs(make_run, served) -> None:
    for name in ("a", "b"):
        healthy(make_run(name)).close()
    served()
    drawn = page("compare", "a")
    assert [chart["params"]["metric"] for chart in charts(drawn)] == ["loss", "accuracy"]
    assert set(charts(drawn)[0]["runs"]) == {"a", "b"}
    drawn.multiselect(key="compare runs").set_value([]).run()
    assert charts(drawn) == [] and "Choose at least one run" in text(drawn)


def test_markup_in_the_name_of_a_run_stays_text(make_run, served) -> None:
    healthy(make_run("<script>alert(1)<")).close()
    served()
    for path in PAGES:
        assert "<script>alert" not in text(page(path, "<script>alert(1)<"))


def test_a_note_is_shown_as_text_with_its_run_and_in_the_table(make_run, served, tmp_path: Path) -> None:
    for name in ("b-plain", "a-noted"):
        healthy(make_run(name)).close()
    (tmp_path / "runs" / "a-noted" / "README.md").write_text("# a\n\nWatch <b>step 30</b>.\n")
    served()
    assert "<b>Note:</b> Watch &lt;b&gt;step 30&lt;/b&gt;." in text(page("live", "a-noted"))
    assert "Note:" not in text(page("live", "b-plain"))
    table = page("runs", "a-noted").dataframe[0].value
    notes = {name.partition("#")[2]: said for name, said in zip(table["run"], table["note"], strict=True)}
    assert notes == {"a-noted": "Watch <b>step 30</b>.", "b-plain": ""}


def test_runs_with_a_readme_of_their_own_are_a_gallery_in_order_of_their_names(make_run, served, tmp_path) -> None:
    for name in ("b", "a", "c"):
        make_run(name).scalars("train/loss", [1.0]).close()
    (tmp_path / "runs" / "README.md").write_text("# Recorded runs\n")
    served()
    assert [n.partition("#")[2] for n in page("runs", "a").dataframe[0].value["run"]] == ["a", "b", "c"]
    assert RunsDirectory(tmp_path / "runs").gallery and home(True) == "runs"
    assert not RunsDirectory(tmp_path / "runs" / "a").gallery and home(False) == "live"
