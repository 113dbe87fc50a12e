"""`babysit report` on real run directories, read back as a file and opened in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from app.commands.report import write
from app.report import page
from probes.cli import main
from probes.cli.siblings import HOME
from probes.errors import BabysitError
from probes.runlog import open_run

EVIL = "<img src=x onerror=alert(1)>"
NOW = 1_700_000_500.0


def healthy(maker):
    rng = np.random.default_rng(0)
    steps = list(range(5, 105, 5))
    maker.scalars("train/loss", list(2 * np.exp(-np.arange(100) / 40) + rng.normal(0, 0.02, 100)))
    maker.scalars("val/loss", [1.0, 0.6, 0.4, 0.3], steps=[25, 50, 75, 100])
    maker.scalars("train/accuracy", list(np.linspace(0.1, 0.95, 100)))
    maker.scalars("optimizer/lr", [0.1] * 100).scalars("system/step_time", [0.02] * 100)
    for kind in ("update_ratio", "grad_norm", "weight_norm", "weight_std"):
        maker.layer(kind, np.full((20, 3), 1e-3) * rng.uniform(0.9, 1.1, (20, 3)), steps)
    maker.filters({0: rng.normal(size=(8, 3, 5, 5)), 100: rng.normal(size=(8, 3, 5, 5))})
    return maker


def ill(maker):
    return maker.scalars("train/loss", [1.0] * 60 + [math.nan] * 40).scalars("optimizer/lr", [0.1] * 100)


class Reader(HTMLParser):
    """Scripts, everything that could make a request, and the words of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict, str]] = []
        self.requests: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self._inside: dict | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attributes)
        self.requests += [f"{tag} {key}={value}" for key, value in given.items() if key in ("src", "href", "srcset")]
        self.requests += [f"{tag} {key}" for key in given if key.startswith("on")]
        self._inside = given if tag == "script" else None

    def handle_endtag(self, tag: str) -> None:
        self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside is not None:
            self.scripts.append((self._inside, data))
        else:
            self.words.append(data)


def test_the_page_holds_verdict_findings_charts_and_tables_and_asks_for_nothing(make_run) -> None:
    run = healthy(make_run("fine", config={"lr": 0.1, "model": {"widths": [8, 4]}})).open()
    read = Reader(page(run, NOW))
    said = " ".join(read.words)
    assert read.requests == [] and not {"img", "link", "iframe"} & set(read.tags)
    assert "No problem found by" in said and "finished" in said and "model.widths" in said and "8, 4" in said
    charts = [json.loads(text) for given, text in read.scripts if given.get("type") == "application/json"]
    titles = [chart["light"]["layout"]["title"]["text"] for chart in charts]
    for title in ("Loss", "Accuracy", "Learning rate", "Update / weight ratio", "Gradient norm through depth",
                  "First-layer filters"):  # fmt: skip
        assert any(f"<b>{title}</b>" in one for one in titles), title
    assert all(chart["dark"]["data"] and chart["light"]["data"] for chart in charts)


def test_only_the_two_scripts_named_by_their_hash_may_run_and_no_request_may_leave(make_run) -> None:
    text = page(healthy(make_run("fine")).open(), NOW)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "default-src 'none'" in policy and "connect-src" not in policy and "script-src 'unsafe" not in policy
    code = [script for given, script in Reader(text).scripts if "type" not in given]
    assert len(code) == 2
    for script in code:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_a_finding_comes_with_its_evidence_and_what_to_try(make_run) -> None:
    run = ill(make_run("ill")).open("crashed", f"ValueError: {EVIL}")
    text = page(run, NOW)
    read = Reader(text)
    said = " ".join(read.words)
    assert "Critical: " in said and "since step 61" in said and "Try, in this order:" in said
    assert EVIL not in text and EVIL in said  # shown as what it is: text
    charts = [json.loads(body) for given, body in read.scripts if given.get("type") == "application/json"]
    assert "train/loss" in charts[0]["light"]["layout"]["title"]["text"]


def test_a_sanity_report_is_part_of_it_and_a_damaged_one_says_so(make_run) -> None:
    run = healthy(make_run("fine")).open()
    results = [{"check": "initial-loss", "status": "fail", "message": f"too high {EVIL}", "suggestions": ["look"]}]
    (run.path / "checks.json").write_text(json.dumps({"results": results}))
    text = page(run, NOW)
    assert "too high &lt;img" in text and EVIL not in text and "1 fail" in text
    (run.path / "checks.json").write_text(json.dumps({"results": [{"no": 1}]}))
    assert "is not a sanity report" in page(run, NOW)


def test_a_run_without_a_step_is_a_page_without_charts(make_run) -> None:
    read = Reader(page(make_run("new").open(), NOW))
    assert [given for given, _ in read.scripts if "type" in given] == []
    assert "ended before its first step" in " ".join(read.words)


def test_the_command_writes_one_file_and_never_over_another(make_run, tmp_path: Path, monkeypatch, capsys) -> None:
    path = healthy(make_run("fine")).close()
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(path)]) == 0
    written = tmp_path / "fine.html"
    assert "fine.html" in capsys.readouterr().out and written.stat().st_size > 1e6
    assert list(tmp_path.glob(".report-*")) == []
    written.write_text("mine")
    assert main(["report", str(path)]) == 2
    error = capsys.readouterr().err
    assert "exists already" in error and "--force" in error and error.count("\n") == 1
    assert written.read_text() == "mine"
    assert main(["report", str(path), "--force"]) == 0 and written.stat().st_size > 1e6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nowhere"], "no such run directory"), (["run", "-o", "missing/x.html"], "is no directory"),
     (["run", "-o", "."], "is a directory")],
)  # fmt: skip
def test_what_cannot_be_is_one_line_and_exit_2(
    arguments: list[str], said: str, make_run, tmp_path: Path, monkeypatch, capsys
) -> None:
    healthy(make_run("run")).close()
    monkeypatch.chdir(tmp_path / "runs")
    assert main(["report", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and error.startswith("babysit report: error: ")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch) -> None:
    target = tmp_path / "x.html"
    target.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BabysitError, match="No space left"):
        write(target, "new")
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_neither_streamlit_nor_torch_is_needed(make_run, tmp_path: Path) -> None:
    path = healthy(make_run("fine")).close()
    code = (
        "import sys\n"
        "for name in ('streamlit', 'torch', 'starlette', 'watchdog'): sys.modules[name] = None\n"
        "from probes.cli import main\n"
        f"sys.exit(main(['report', {str(path)!r}, '-o', {str(tmp_path / 'x.html')!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_draws_it_from_the_file_alone(scheme: str, make_run, tmp_path: Path, chromium) -> None:
    maker = ill(make_run("evil", config={EVIL: EVIL}))
    rng = np.random.default_rng(0)
    maker.layer("grad_norm", rng.uniform(0.1, 1, (5, 3)), range(1, 6))
    maker.filters({0: rng.normal(size=(4, 1, 3, 3))})
    run = maker.open("crashed", f"</script><script>alert(1)</script>{EVIL}")
    manifest = json.loads((run.path / "run.json").read_text())
    manifest["name"] = EVIL + "</title><script>document.title='owned'</script>"
    (run.path / "run.json").write_text(json.dumps(manifest))
    target = tmp_path / "report.html"
    write(target, page(open_run(run.path), NOW))

    context = chromium.new_context(color_scheme=scheme, offline=True)
    shown = context.new_page()
    troubles: list[str] = []
    requests: list[str] = []
    shown.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    shown.on("pageerror", lambda error: troubles.append(str(error)))
    shown.on("dialog", lambda dialog: (troubles.append(f"dialog {dialog.message}"), dialog.dismiss()))
    shown.on("request", lambda request: requests.append(request.url))
    shown.goto(target.as_uri())
    charts = shown.locator(".chart").count()
    shown.wait_for_function(f"document.querySelectorAll('.chart .main-svg .bglayer').length >= {charts}")
    assert charts >= 5
    assert shown.locator(".chart path.js-line").count() > 3
    assert shown.locator("h1").inner_text() == manifest["name"]
    assert shown.locator("img").count() == 0 and shown.title() != "owned"
    assert shown.locator("td", has_text=EVIL).count() >= 1
    background = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    text_colour = shown.evaluate("getComputedStyle(document.querySelector('.gtitle')).fill")
    bright = [sum(map(int, re.findall(r"\d+", colour)[:3])) > 380 for colour in (background, text_colour)]
    assert bright == ([True, False] if scheme == "light" else [False, True])
    assert troubles == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    context.close()
