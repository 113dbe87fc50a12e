"""The benchmark counts what it should: on a corpus of three made runs whose verdicts are known."""

from __future__ import annotations

import csv

import pytest
import torch
from torch import nn

import probes
from benchmarks.diagnosis import first_sight
from benchmarks.diagnosis.cases import read_cases
from benchmarks.diagnosis.first_sight import Sight
from benchmarks.diagnosis.tables import at_first_sight, baselines, by_fault, confusion, details, summary
from benchmarks.diagnosis.verdicts import judge_all
from probes.errors import BabysitError

COLUMNS = ("name", "part", "recipe", "overrides", "fault", "seed", "healthy", "expected", "score", "harmed", "steps")


def record(place, *, nan_at=None):
    """A regression that is learned in 120 steps, or whose loss is NaN from a step on."""
    torch.manual_seed(0)
    x = torch.randn(256, 4)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]])
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with probes.watch(model, optimizer, place, every=5) as probe:
        for step in range(1, 121):
            chosen = torch.randint(256, (32,))
            inputs = torch.full_like(x[chosen], float("nan")) if nan_at and step >= nan_at else x[chosen]
            loss = (model(inputs) - y[chosen]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)


def row(name, part="dev", fault="", healthy=1, expected="", harmed=""):
    values = (name, part, "r", "", fault, 0, healthy, expected, 0.9, harmed, 120)
    return dict(zip(COLUMNS, values, strict=True))


def write(folder, rows):
    with open(folder / "corpus.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    record(folder / "well")
    record(folder / "ill", nan_at=60)
    record(folder / "locked", nan_at=60)
    write(
        folder,
        [
            row("well"),
            row("ill", fault="nan-in-data", healthy=0, expected="nonfinite-values", harmed=1),
            row("locked", "locked", fault="nan-in-data", healthy=0, expected="overfitting;noisy-loss", harmed=1),
            row("no-score", fault="nan-in-data", healthy=0, expected="nonfinite-values"),
            row("learned-nothing", healthy=0),
            row("never-made"),
        ],
    )
    return judge_all(read_cases(folder))


def test_only_runs_that_can_be_judged_are(verdicts):
    assert [(v.case.name, v.case.label) for v in verdicts] == [("well", "healthy"), ("ill", "ill"), ("locked", "ill")]


def test_the_nan_is_found_where_and_when_it_came(verdicts):
    well, ill, locked = verdicts
    assert (well.found, well.midway, well.flagged, well.onset) == ((), (), None, None)
    assert ill.detected
    assert ill.first
    assert ill.onset == 60
    assert ill.after_onset is not None
    assert ill.after_onset - ill.onset <= 20
    # Judged at 1%, 2%, ... 50%, 60% of 120 steps: 60 is the first moment at which there is a NaN.
    assert ill.flagged == 60
    assert not locked.detected
    assert not locked.first
    assert locked.found[0].rule == "nonfinite-values"


def test_the_published_criteria_are_asked_on_the_same_runs(verdicts):
    _well, ill, locked = verdicts
    assert "NaN In Loss" in ill.baselines["UMLAUT"][0]
    assert ill.baselines["UMLAUT"][1]
    assert ill.baselines["AutoTrainer"] == (("gradient explosion",), True)
    assert locked.baselines["AutoTrainer"] == (("gradient explosion",), False)
    lines = {line.split("|")[1].strip() + line.split("|")[2]: line for line in baselines(verdicts).splitlines()[2:]}
    assert lines["AutoTrainer dev "].endswith("| 0 of 1 (0.0%) | 1 of 1 (100.0%) | 1 of 1 (100.0%) |")


def test_the_two_parts_are_counted_apart(verdicts):
    lines = {line.split("|")[1].strip(): line.split("|")[2:5:2] for line in summary(verdicts).splitlines()[2:]}
    cells = {name: tuple(cell.strip() for cell in row) for name, row in lines.items()}
    assert cells["healthy runs"] == ("1", "0")
    assert cells["... an expected finding (goal: at least 92%)"] == ("1 of 1 (100.0%)", "0 of 1 (0.0%)")
    assert cells["... anything at warning or above"] == ("1 of 1 (100.0%)", "1 of 1 (100.0%)")
    assert cells["disasters reported within 20 steps of their onset"] == ("1 of 1 (100.0%)", "")
    assert cells["median delay of the detected, share of the run (goal: at most 10%)"] == ("50%", "")


def test_by_fault_and_confusion(verdicts):
    dev = [v for v in verdicts if v.case.part == "dev"]
    assert "| `nan-in-data` | 1 | 1 | 1 | 1 | 60 | 50% | 0 | 0 |" in by_fault(dev)
    assert "| `nan-in-data` | 2 | **nonfinite-values** 2 |" in confusion(verdicts)


def test_the_crossed_part_at_first_sight_is_what_was_kept_then(verdicts, tmp_path):
    """Not what is said now: of the healthy run a warning on the way, of the ill one a wrong finding first."""
    path = tmp_path / "sight.json"
    first_sight.keep({"well": Sight((), ("noisy-loss",)), "ill": Sight(("overfitting", "nonfinite-values"))}, path)
    text = at_first_sight(verdicts[:2], path)
    assert "0 of 1 healthy runs with a warning or worse at the end, 1 at any moment" in text
    assert "1 of 1 harmed runs with an expected finding, 0 with it first" in text


def test_locked_runs_are_never_listed(verdicts):
    assert details(verdicts) == ""
    assert "locked" not in details(verdicts, every=True)
    assert "ill" in details(verdicts, every=True)


def test_a_missing_table_and_a_missing_column_are_named(tmp_path):
    with pytest.raises(BabysitError, match="does not exist"):
        read_cases(tmp_path)
    (tmp_path / "corpus.csv").write_text("name,part,fault,healthy,expected\n")
    with pytest.raises(BabysitError, match="lacks the column"):
        read_cases(tmp_path)
