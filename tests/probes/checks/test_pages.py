"""The documentation in docs/checks/ is what the docstrings say."""

from __future__ import annotations

from pathlib import Path

from probes.checks import slugs
from probes.checks.pages import pages

FOLDER = Path(__file__).parents[3] / "docs" / "checks"


def test_the_pages_are_up_to_date() -> None:
    for name, content in pages().items():
        assert (FOLDER / name).read_text() == content, f"run: python -m probes.checks.pages ({name} has drifted)"


def test_there_are_no_other_pages() -> None:
    assert {path.name for path in FOLDER.glob("*.md")} == {*pages(), "results.md"}


def test_the_results_name_every_check() -> None:
    results = (FOLDER / "results.md").read_text()
    assert all(slug in results for slug in slugs())
