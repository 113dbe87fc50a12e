"""The page in a real browser, beside a real training that goes on."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest

from app import theme
from app.views import VIEWS

pytestmark = pytest.mark.browser

# What the tests ask of a chart, in the page. `chart(at)` is the at-th chart's element with plotly's data on
# it; `drawn(count)` asks it of the first ones, because charts further down may be drawn earlier.
HELPERS = """
window.drawn = (count) => {
  const first = [...document.querySelectorAll('.babysit-chart')].slice(0, count);
  return first.length === count && first.every((chart) => chart.dataset.state === 'drawn');
};
window.chart = (at = 0) => document.querySelectorAll('.babysit-plot')[at];
window.draws = (at = 0) => Number(chart(at)?.parentElement.dataset.draws ?? 0);
window.lines = (at = 0) => (chart(at)?._fullData ?? []).filter((trace) => trace.type === 'scatter' && trace.x?.length);
window.newest = (at = 0) => Math.max(0, ...lines(at).map((trace) => Number(trace.x[trace.x.length - 1])));
window.points = (at = 0) => lines(at).reduce((sum, trace) => sum + trace.x.length, 0);
"""
WATCH = """
() => {
  window.kept = chart(); window.frames = 0; window.empty = 0; window.replaced = 0;
  const look = () => {
    window.frames += 1;
    if (chart() !== window.kept || !window.kept.isConnected) window.replaced += 1;
    if (!window.kept.querySelector('.main-svg .scatterlayer .trace')) window.empty += 1;
    requestAnimationFrame(look);
  };
  look();
  new MutationObserver((changes) => {
    for (const change of changes) for (const gone of change.removedNodes)
      if (gone === window.kept || gone.contains?.(window.kept)) window.replaced += 1;
  }).observe(document.body, { childList: true, subtree: true });
}
"""


@pytest.fixture
def visit(open_page: Callable[..., Any]) -> Callable[..., Any]:
    def begin(url: str, context: Any = None, drawn: int = 1, **options: Any) -> Any:
        page = open_page(url, context, **options)
        page.evaluate(f"() => {{ {HELPERS} }}")  # not as a script tag: the document may have no head yet
        if drawn:
            page.wait_for_function(f"drawn({drawn})", polling=100)
        return page

    return begin


@contextmanager
def going_on(training: Any, count: int = 3) -> Iterator[None]:
    """Steps are logged as fast as they are written, until the end of the block."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.05):
            training.steps(count)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


def reaches(page: Any, step: int, at: int = 0) -> None:
    page.wait_for_function(f"newest({at}) >= {step}", polling=50)


def more_draws(page: Any, count: int) -> None:
    page.wait_for_function(f"draws() >= {page.evaluate('draws()') + count}", polling=50)


def plot_area(page: Any) -> dict[str, float]:
    """Where the first chart's axes are in the window."""
    return page.evaluate(
        "() => { const at = chart().getBoundingClientRect(), size = chart()._fullLayout._size;"
        " return { x: at.x + size.l, y: at.y + size.t, width: size.w, height: size.h }; }"
    )


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drags the mouse over the first chart, from and to these shares of its width and height."""
    box = plot_area(page)
    page.mouse.move(box["x"] + start[0] * box["width"], box["y"] + start[1] * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + end[0] * box["width"], box["y"] + end[1] * box["height"], steps=8)
    page.mouse.up()


def test_live_data_leaves_the_persons_view_as_it_is(shared, shared_runs, train, visit):
    training = train(shared_runs / "page-live")
    training.steps(100)
    page = visit(f"{shared.url}/?run=page-live", drawn=4)
    reaches(page, 100)
    before = page.evaluate("points()")
    page.evaluate(WATCH)
    page.set_viewport_size({"width": 1200, "height": 480})
    page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop = 60")
    with going_on(training):
        more_draws(page, 5)

        whole = page.evaluate("chart()._fullLayout.xaxis.range")
        drag(page, (0.3, 0.2), (0.6, 0.8))
        page.wait_for_function(f"chart()._fullLayout.xaxis.range[0] > {whole[0]} + 1")
        zoomed = page.evaluate("[chart()._fullLayout.xaxis.range, chart()._fullLayout.yaxis.range]")
        more_draws(page, 10)
        assert page.evaluate("[chart()._fullLayout.xaxis.range, chart()._fullLayout.yaxis.range]") == zoomed

        hidden = page.locator(".babysit-plot").first.locator(".legendtoggle").first
        hidden.click()
        page.wait_for_function("chart()._fullData.some((trace) => trace.visible === 'legendonly')")
        state = "chart()._fullData.filter((trace) => trace.visible === 'legendonly').map((trace) => trace.name)"
        names = page.evaluate(state)
        more_draws(page, 10)
        assert (page.evaluate(state), page.evaluate("replaced")) == (names, 0)

        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop") == 60
        more_draws(page, 30)
    reaches(page, training.last)
    assert page.evaluate("points()") > before
    assert page.evaluate("[replaced, empty]") == [0, 0]
    assert page.evaluate("frames") > 50

    # A double click shows everything again, also what has come since.
    box = plot_area(page)
    page.mouse.dblclick(box["x"] + 50, box["y"] + 50)
    page.wait_for_function(f"chart()._fullLayout.xaxis.range[1] >= {training.last}")
    assert page.noise == []


def test_a_second_and_a_third_tab_follow_too(shared, shared_runs, train, visit):
    training = train(shared_runs / "page-tabs")
    training.steps(10)
    first = visit(f"{shared.url}/?run=page-tabs")
    pages = [first, *(visit(f"{shared.url}/?run=page-tabs", first.context) for _ in range(2))]
    training.steps(10)
    for page in pages:
        page.bring_to_front()  # a hidden tab is drawn when it is looked at
        reaches(page, 20)
        assert page.noise == []


def test_no_view_complains_in_the_console(shared, shared_runs, train, visit):
    training = train(shared_runs / "page-quiet")
    training.steps(50)
    direct = visit(f"{shared.url}/layers?run=page-quiet", drawn=0)
    head = direct.locator(".bs-head").first
    head.wait_for()
    assert direct.url.startswith(f"{shared.url}/layers")
    # Several fragments of one view that want to run again at the same moment, again and again.
    with going_on(training):
        for _ in range(4):
            shown = head.inner_text()
            direct.wait_for_function(
                "(shown) => document.querySelector('.bs-head').innerText !== shown", arg=shown, polling=50
            )
    home = visit(f"{shared.url}/live?run=page-quiet")
    for _title, _path, label, _render in [*VIEWS[1:], VIEWS[0]]:
        home.get_by_test_id("stSidebarNav").get_by_role("link", name=label, exact=True).click()
        home.wait_for_function(
            "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
            " && !document.querySelector('.babysit-chart[data-state=loading]')",
            polling=50,
        )
        assert home.get_by_text("This cannot be shown").count() == 0, label
    assert (direct.noise, home.noise) == ([], [])


def test_charts_follow_the_theme(shared, shared_runs, train, visit):
    train(shared_runs / "page-theme").steps(30)
    page = visit(f"{shared.url}/?run=page-theme", color_scheme="light")
    colours = "JSON.stringify(chart()._fullData.map((trace) => trace.line?.color)).toLowerCase()"
    for scheme, here, gone in (
        ("light", theme.LIGHT, theme.DARK),
        ("dark", theme.DARK, theme.LIGHT),
        ("light", theme.LIGHT, theme.DARK),
    ):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(f"{colours}.includes('{here.train}')", polling=50)
        assert gone.train not in page.evaluate(colours)
        assert page.evaluate("chart()._fullLayout.font.color").lower() in (here.text, here.muted)
    assert page.noise == []


def test_names_are_text_wherever_they_are_shown(shared, shared_runs, train, visit):
    name = "<img src=x onerror=window.hacked=1>"
    train(shared_runs / name, name).steps(20)
    train(shared_runs / "page-plain").steps(20)
    page = visit(f"{shared.url}/?run={quote(name)}")
    page.get_by_text(name).first.wait_for()
    for view in ("Diagnosis", "Runs", "Compare"):
        page.get_by_test_id("stSidebarNav").get_by_role("link", name=view, exact=True).click()
        page.wait_for_function(
            "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
            " && !document.querySelector('.babysit-chart[data-state=loading]')",
            polling=50,
        )
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("window.hacked") is None
    shutil.rmtree(shared_runs / name, ignore_errors=True)


def test_a_broken_run_says_why_and_the_others_work(shared, shared_runs, train, visit):
    broken = shared_runs / "page-broken"
    broken.mkdir()
    (broken / "run.json").write_text('{"format": "babysit-run", "version": 99}')
    train(shared_runs / "page-fine").steps(15)
    page = visit(f"{shared.url}/?run=page-broken", drawn=0)
    page.get_by_text("This cannot be shown").wait_for()
    assert page.get_by_text(str(broken)).count() >= 1
    for chosen in ("../../etc", "no-such-run"):
        page.goto(f"{shared.url}/?run={quote(chosen, safe='')}")
        page.get_by_text("This cannot be shown").wait_for()
        assert page.get_by_test_id("stException").count() == 0
        # What is not about this one run can still be had.
        page.get_by_test_id("stSidebarNav").get_by_role("link", name="Runs", exact=True).click()
        page.get_by_text("This cannot be shown").wait_for(state="hidden")
    fine = visit(f"{shared.url}/?run=page-fine", page.context)
    reaches(fine, 15)
    shutil.rmtree(broken)


@pytest.mark.parametrize("exists", [True, False])
def test_the_first_run_appears_by_itself(tmp_path, start, train, visit, exists):
    runs = tmp_path / "runs"
    if exists:
        runs.mkdir()
    page = visit(start(runs).url, drawn=0)
    page.get_by_text("Waiting for the first run").wait_for()
    assert page.get_by_text("has no run in it yet" if exists else "does not exist yet").count() == 1
    training = train(runs / "first")
    training.steps(5)
    page.wait_for_function("newest() >= 5", polling=100)
    training.steps(5)
    reaches(page, 10)
    assert page.noise == []


def test_a_page_survives_its_server(tmp_path, start, train, visit):
    training = train(tmp_path / "runs" / "a")
    training.steps(10)
    server = start(tmp_path / "runs")
    page = visit(server.url, drawn=4)
    reaches(page, 10)
    page.evaluate(WATCH)
    mark = page.locator(".babysit-offline").first
    assert not mark.is_visible()
    server.process.kill()
    server.process.wait(timeout=20)
    mark.wait_for(state="visible")
    said = page.get_by_text("Disconnected from babysit")
    said.wait_for(state="visible")
    # What was drawn stays to be looked at: nothing lies over it.
    page.wait_for_function("!document.querySelector('[data-testid=stDialog]')")
    assert page.evaluate("points()") > 0
    training.steps(10)
    again = start(tmp_path / "runs", port=server.port)
    mark.wait_for(state="hidden")
    said.wait_for(state="hidden")
    reaches(page, 20)
    for _ in itertools.repeat(None, 3):
        reaches(page, training.steps(5))
    assert page.evaluate("[replaced, empty]") == [0, 0]
    assert again.process.poll() is None
