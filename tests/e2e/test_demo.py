"""The main job from end to end: `babysit demo` trains a real network while a real browser has the page open."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import probes

pytestmark = pytest.mark.browser

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
# In the page: the training loss, as logged. Charts are drawn in any order; that of the accuracy has such a trace, too.
FAINT = """() => document.querySelector('.js-plotly-plot[aria-label^="Loss over steps"]')
    ?._fullData?.find(trace => trace.name === 'training, as logged')"""
# In the page: the trace with most points in the first chart of the view, as plain numbers.
TRACE = """() => {
  const charts = [...document.querySelectorAll('.js-plotly-plot')];
  const traces = charts.flatMap(chart => chart._fullData ?? []);
  const drawn = traces.filter(trace => trace.visible === true && trace.x?.length);
  const longest = drawn.sort((a, b) => b.x.length - a.x.length)[0];
  return longest ? {points: longest.x.length, last: Number(longest.x[longest.x.length - 1])} : {points: 0, last: -1};
}"""


class Demo:
    """A `babysit demo` in a process of its own, its output read as it comes."""

    def __init__(self, runs: Path, *options: str) -> None:
        self.runs = runs
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "probes", "demo", "--runs", str(runs), "--port", "0", "--no-browser", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            # A shell that runs tests in the background makes its children ignore Ctrl-C; the demo must not be one.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def address(self) -> str:
        def printed() -> str | None:
            found = ADDRESS.search(self.output)
            return found.group() if found else None

        return wait_for(printed, 60, lambda: f"no address printed; output so far:\n{self.output}")

    def run(self) -> probes.Run:
        def written() -> Path | None:
            return next((path.parent for path in self.runs.glob("*/run.json")), None)

        return probes.open_run(wait_for(written, 60, lambda: f"no run in {self.runs}; output:\n{self.output}"))

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()


def wait_for(look: Callable[[], Any], seconds: float, failure: Callable[[], str]) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(failure())


def descendants(pid: int) -> set[int]:
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = [tuple(map(int, line.split())) for line in listed.splitlines()]
    found, fresh = set(), {pid}
    while fresh:
        fresh = {child for child, parent in parents if parent in fresh} - found
        found |= fresh
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    started = Demo(tmp_path_factory.mktemp("demo") / "runs")
    yield started
    started.stop()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    opened = chromium.new_page(viewport={"width": 1400, "height": 900})
    opened.complaints = []
    opened.on("console", lambda m: m.type == "error" and opened.complaints.append(m.text))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on(
        "request",
        lambda r: (
            "127.0.0.1" not in r.url
            and r.url.startswith("http")
            and opened.complaints.append(f"request to the outside: {r.url}")
        ),
    )
    yield opened
    opened.close()


def test_the_loss_curve_grows_on_the_open_page_and_a_zoom_stays(demo: Demo, page: Any) -> None:
    page.goto(demo.address())
    page.wait_for_selector(".js-plotly-plot .main-svg", timeout=60_000)
    page.evaluate(
        "() => { window.neverReloaded = true; window.firstChart = document.querySelector('.js-plotly-plot') }"
    )
    page.wait_for_function(f"({TRACE})().points > 20", timeout=60_000)
    before = page.evaluate(TRACE)

    plot = page.locator(".js-plotly-plot").first
    box = plot.locator(".nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.7, steps=8)
    page.mouse.up()
    ranges = (
        "() => { const l = window.firstChart._fullLayout; return [l.xaxis.range, l.yaxis.range].flat().map(Number) }"
    )
    page.wait_for_function("() => window.firstChart._fullLayout.xaxis.autorange !== true", timeout=10_000)
    zoomed = page.evaluate(ranges)

    page.wait_for_function(f"({TRACE})().last > {before['last']} + 60", timeout=60_000)
    assert page.evaluate(ranges) == pytest.approx(zoomed)
    assert page.evaluate("() => window.neverReloaded === true && window.firstChart.isConnected")
    assert page.complaints == []


@pytest.mark.parametrize("view", ["layers", "distributions", "filters"])
def test_the_other_views_show_the_training(demo: Demo, page: Any, view: str) -> None:
    address = demo.address()
    wait_for(lambda: len(demo.run().filters().steps) >= 3 or None, 60, lambda: demo.output)
    page.goto(f"{address}/{view}")
    page.wait_for_function(
        """() => [...document.querySelectorAll('.js-plotly-plot')].some(chart =>
            (chart._fullData ?? []).some(trace => (trace.z ?? trace.y ?? trace.x)?.length)
            || chart._fullLayout?.images?.length)""",
        timeout=60_000,
    )
    assert page.get_by_text("could not be drawn").count() == 0
    assert page.locator('[data-testid="stException"]').count() == 0
    assert page.complaints == []


def test_the_page_shows_what_the_run_directory_holds(demo: Demo, page: Any) -> None:
    """Every point of the faint curve is a loss of the run, read by another process at that step."""
    page.goto(demo.address())
    # A short curve is not yet split into the faint and the smooth one.
    page.wait_for_function(f"({FAINT})()?.x.length > 20", timeout=60_000)
    drawn = page.evaluate(
        f"() => {{ const loss = ({FAINT})(); return {{x: Array.from(loss.x, Number), y: Array.from(loss.y, Number)}} }}"
    )
    run = demo.run()
    logged = run.series("train/loss")
    assert logged.steps[0] == 1
    assert len(logged.steps) == len(set(logged.steps.tolist()))
    value_at = dict(zip(logged.steps.tolist(), logged.values.tolist(), strict=True))
    assert len(drawn["x"]) > 20
    for step, value in zip(drawn["x"], drawn["y"], strict=True):
        assert value == pytest.approx(value_at[int(step)], rel=1e-6)


def test_ctrl_c_stops_everything_cleanly(demo: Demo) -> None:
    demo.address()
    run = demo.run()
    children = descendants(demo.process.pid)
    assert len(children) >= 2
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(timeout=30) == 0
    assert "Traceback" not in demo.output
    wait_for(lambda: not (children & descendants(1)) or None, 10, lambda: f"left behind: {children}")
    run.refresh()
    assert run.status != "running"


def test_once_ends_with_the_training(tmp_path: Path) -> None:
    demo = Demo(tmp_path / "runs", "--once", "--epochs", "1")
    try:
        assert demo.process.wait(timeout=120) == 0, demo.output
    finally:
        demo.stop()
    run = demo.run()
    assert run.status == "finished"
    assert run.series("val/accuracy").values[-1] > 0.2
    report = probes.diagnose(run)
    assert [f.rule for f in report.findings if f.severity != "info"] == []
