"""Takes the pictures of the README from a real run: `python docs/screenshots.py` (about three minutes).

Starts `babysit demo`, waits until the training is well under way, and photographs each view in Chromium; the Diagnosis
view is that of a second training, made ill on purpose.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

import probes

IMAGES = Path(__file__).resolve().parent / "images"
CHROMIUM = "/usr/bin/chromium"
BABYSIT = [sys.executable, "-m", "probes"]
STEPS_FIRST = 4500
VIEWS = {"live": "", "layers": "layers", "distributions": "distributions", "filters": "filters"}


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        ill = ["train", "digits-mlp", "--fault", "learning-rate-too-high", "--run-dir", str(runs / "digits-too-fast")]
        subprocess.run([*BABYSIT, *ill], check=True)
        demo = subprocess.Popen(
            [*BABYSIT, "demo", "--runs", str(runs), "--port", "0", "--no-browser"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert demo.stdout is not None
            address = next(found.group() for line in demo.stdout if (found := re.search(r"http://\S+:\d+", line)))
            run = _first(runs, "demo-*")
            while run.last_step is None or run.last_step < STEPS_FIRST:
                time.sleep(1)
                run.refresh()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
                page = browser.new_page(viewport={"width": 1360, "height": 860}, device_scale_factor=1)
                for name, path in VIEWS.items():
                    _shoot(page, f"{address}/{path}", name)
                _shoot(page, f"{address}/diagnosis?run=digits-too-fast", "diagnosis")
                browser.close()
        finally:
            demo.terminate()
            demo.wait(timeout=60)


def _first(runs: Path, pattern: str) -> probes.Run:
    while True:
        for found in runs.glob(f"{pattern}/run.json"):
            return probes.open_run(found.parent)
        time.sleep(0.5)


def _shoot(page: Page, url: str, name: str) -> None:
    page.goto(url)
    page.wait_for_selector(".js-plotly-plot .main-svg", timeout=60_000)
    page.wait_for_timeout(3000)  # for the eye only: all charts of the view are drawn
    page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
