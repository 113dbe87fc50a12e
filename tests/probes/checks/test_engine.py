"""The engine: selection, order, isolation, budget, progress, seeds; and the report."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import probes
from probes.checks import CheckResult, SanityReport, all_checks, check, engine, load_report, slugs
from probes.checks.engine import Progress
from probes.errors import RunDirectoryError, UnknownNameError

Data = tuple[Tensor, Tensor]
CE = nn.CrossEntropyLoss()
CATALOGUE = Path(probes.__file__).parent / "checks" / "catalogue"


def test_the_registry_is_the_folder() -> None:
    files = {path.stem.replace("_", "-") for path in CATALOGUE.glob("*.py") if path.stem != "__init__"}
    assert files == set(slugs())
    assert len(set(slugs())) == len(slugs())


@pytest.mark.parametrize("chosen", all_checks(), ids=lambda c: c.slug)
def test_each_check_is_documented(chosen: Any) -> None:
    assert chosen.title.endswith("?") and chosen.doc.startswith(chosen.title)
    for heading in ("What it does", "Why it matters", "Criterion", "When it misleads", "References"):
        assert f"**{heading}.**" in chosen.doc, heading
    assert chosen.share > 0


def test_checks_are_selected_and_keep_their_order(classification: Data) -> None:
    report = check(nn.Linear(8, 3), CE, classification, checks=["gradient-check", "initial-loss"])
    assert [result.check for result in report.results] == ["initial-loss", "gradient-check"]
    with pytest.raises(UnknownNameError, match="initial-loss"):
        check(nn.Linear(8, 3), CE, classification, checks=["initial-lass"])


def test_a_result_does_not_depend_on_the_other_checks(mlp: Any, classification: Data) -> None:
    model = mlp()
    slugs = ["initial-loss", "determinism", "gradient-check", "overfit-small-batch"]
    everything = check(model, CE, classification, checks=slugs)
    for slug in slugs:
        alone = check(model, CE, classification, checks=[slug])[slug]
        assert replace(alone, seconds=0) == replace(everything[slug], seconds=0)


def test_a_broken_check_is_isolated(monkeypatch: pytest.MonkeyPatch, mlp: Any, classification: Data) -> None:
    def broken(context: Any) -> Any:
        raise AssertionError("a bug of ours")

    first, *rest = all_checks()
    monkeypatch.setattr(engine, "all_checks", lambda: (replace(first, run=broken), *rest))
    report = check(mlp(), CE, classification)
    assert report.results[0].status == "skip" and "a bug of ours" in report.results[0].message
    assert report["gradient-check"].status == "pass"


def test_progress_tells_before_and_after_each_check(mlp: Any, classification: Data) -> None:
    events: list[Progress] = []
    report = check(mlp(), CE, classification, progress=events.append)
    assert [event.slug for event in events] == [slug for slug in slugs() for _ in range(2)]
    assert [event.result for event in events[1::2]] == report.results
    assert all(event.result is None and event.total == len(slugs()) for event in events[::2])


def test_the_budget_ends_everything(mlp: Any, classification: Data) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 0.05
        return now[0]

    report = check(mlp(), CE, classification, budget=5.0, clock=clock)
    assert len(report.results) == len(slugs())
    assert report.seconds < 10
    late = [result for result in report.results if "time budget" in result.message or "time ran out" in result.message]
    assert late and all(result.status != "pass" or "cut short" in result.message for result in late)


def test_no_grad_and_inference_mode_around_it(mlp: Any, classification: Data) -> None:
    model = mlp()
    with torch.no_grad():
        assert check(model, CE, classification, checks=["gradient-check"]).results[0].status == "pass"
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        assert check(model, CE, classification, checks=["gradient-check"]).results[0].status == "pass"


def test_a_report_round_trips(tmp_path: Path, mlp: Any, classification: Data) -> None:
    report = check(mlp(), CE, classification, run_dir=tmp_path / "run")
    text = (tmp_path / "run" / "checks.json").read_text()
    assert json.loads(text)["results"][0]["check"] == slugs()[0]
    again = load_report(tmp_path / "run")
    assert again is not None and again.to_dict() == report.to_dict()
    assert list((tmp_path / "run").iterdir()) == [tmp_path / "run" / "checks.json"], "no temporary file is left"


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_report_may_be_read_by_who_may_read_the_run(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        path = SanityReport([CheckResult("x", "pass", "m")]).save(tmp_path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_json_has_no_nan() -> None:
    values = {"a": math.nan, "b": [math.inf, -math.inf], "c": torch.tensor([1.0, math.nan])}
    report = SanityReport([CheckResult("x", "pass", "m", values)])
    text = json.dumps(report.to_dict(), allow_nan=False)
    assert json.loads(text)["results"][0]["evidence"] == {
        "a": "NaN",
        "b": ["Infinity", "-Infinity"],
        "c": [1.0, "NaN"],
    }


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "not a sanity report"),
        ("[]", "not a sanity report"),
        ('{"format": "other"}', "not a sanity report"),
        ('{"format": "babysit-checks", "version": 99, "results": []}', "update babysit"),
    ],
)
def test_foreign_reports_are_refused(tmp_path: Path, content: str, word: str) -> None:
    (tmp_path / "checks.json").write_text(content)
    with pytest.raises(RunDirectoryError, match=word):
        load_report(tmp_path)


def test_no_report_is_none_and_an_unwritable_place_an_error(tmp_path: Path) -> None:
    assert load_report(tmp_path) is None
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="cannot write"):
        SanityReport([]).save(tmp_path / "file")


def test_ok_is_about_failures_only() -> None:
    def report(*statuses: Any) -> SanityReport:
        return SanityReport([CheckResult("x", status, "") for status in statuses])

    assert report("pass", "warn", "skip").ok and not report("pass", "warn").clean
    assert not report("fail", "pass").ok
