"""Fixtures shared by all tests: a real browser, and where it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Without these Chromium talks to the outside world at start-up; --no-sandbox because CI runs as root.
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium_path() -> str | None:
    """The installed Chromium or Chrome, or None."""
    return next((path for path in map(shutil.which, CHROMIUM_NAMES) if path), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Where a browser is promised (CI), its absence must fail the tests rather than skip them.
    if chromium_path() is not None or os.environ.get("CI"):
        return
    missing = pytest.mark.skip(reason="no Chromium on PATH: install it to run the browser tests")
    for item in items:
        if "browser" in item.keywords:
            item.add_marker(missing)


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """A headless Chromium (playwright.sync_api.Browser), one for the whole test session."""
    from playwright.sync_api import sync_playwright

    path = chromium_path()
    assert path is not None, "no Chromium on PATH; install it (Debian: apt-get install chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGUMENTS))
        yield browser
        browser.close()
