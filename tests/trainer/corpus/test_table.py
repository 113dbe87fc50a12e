"""The labels: what counts as healthy, and what as harmed."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
import torch

from trainer.corpus import planned
from trainer.corpus.outcome import RunOutcome, settings_of
from trainer.corpus.table import COLUMNS, harmed, rows, write_table
from trainer.corpus.work import score_of_constant
from trainer.recipe import load_recipe
from trainer.tasks import TASKS, Examples

HEALTHY = RunOutcome(("x",), loss=0.1, score=0.95, guess=0.15, steps=100, seconds=2.0)


@pytest.mark.parametrize(
    ("changed", "harm", "expected"),
    [
        ({"score": 0.88}, "score", False),  # the bar is 0.95 - 0.1 * 0.8 = 0.87
        ({"score": 0.86}, "score", True),
        ({"score": float("nan")}, "score", True),
        ({"loss": float("nan")}, "score", True),
        ({"loss": float("inf")}, "score", True),
        ({"score": 0.974}, "flattery", False),  # half of the error of 0.05 is left at 0.975
        ({"score": 0.976}, "flattery", True),
        ({"score": 0.5}, "flattery", False),
        ({"score": 0.95}, "always", True),
    ],
)
def test_harmed(changed, harm, expected):
    assert harmed(replace(HEALTHY, **changed), HEALTHY, harm) is expected


def outcome(run, **values) -> RunOutcome:
    return replace(HEALTHY, settings=settings_of(run), **values)


def test_rows(tmp_path):
    reference, ill = planned(only="wine-mlp.as-it-is.0") + planned(only="wine-mlp.shuffled-labels.0")
    late = planned(only="wine-mlp.sgd.0")[0]
    outcomes = {
        ill.name: outcome(ill, score=0.3),
        reference.name: outcome(reference),
        late.name: outcome(late, note="took longer than 1 s"),
    }
    write_table(rows([reference, ill, late, planned(only="wine-mlp.adam.0")[0]], outcomes), tmp_path / "corpus.csv")
    with open(tmp_path / "corpus.csv", newline="") as file:
        found = {row["name"]: row for row in csv.DictReader(file)}
    assert list(found) == [reference.name, ill.name, late.name]
    assert all(tuple(row) == COLUMNS for row in found.values())
    good, bad, slow = found.values()
    assert (good["healthy"], good["fault"], good["expected"], good["harmed"]) == ("1", "", "", "")
    assert (bad["healthy"], bad["fault"], bad["harmed"]) == ("0", "shuffled-labels", "1")
    assert "no-generalization" in bad["expected"].split(";")
    assert (bad["score"], bad["reference"], bad["steps"]) == ("0.3000", "0.9500", "100")
    assert (slow["healthy"], slow["score"], slow["note"]) == ("0", "", "took longer than 1 s")


def test_a_run_without_a_fault_that_does_not_learn_is_not_called_healthy():
    run = planned(only="wine-mlp.as-it-is.0")[0]
    (row,) = rows([run], {run.name: outcome(run, score=0.5)})
    assert row["healthy"] == "0" and row["note"].startswith("no healthy run")


def test_a_fault_without_its_reference_is_neither_harmed_nor_unharmed():
    run = planned(only="wine-mlp.shuffled-labels.0")[0]
    (row,) = rows([run], {run.name: outcome(run)})
    assert row["harmed"] == row["reference"] == ""


@pytest.mark.parametrize("recipe", ["digits-softmax", "breast-cancer-mlp", "diabetes-mlp", "text-lstm"])
def test_the_best_constant_answer(recipe):
    """By trying every constant answer (classes) or a grid of them (numbers)."""
    from trainer.losses import PROBLEMS

    choice = load_recipe(recipe, ["task.characters=4000"] if recipe == "text-lstm" else []).task
    task = TASKS[choice.name].make(**choice.options)
    targets = task.validation.targets
    score = PROBLEMS[task.problem].score
    if task.problem == "multi-class":
        every = [torch.full_like(targets, c) for c in range(task.outputs)]
        best = max((guess == targets).float().mean().item() for guess in every)
        assert score_of_constant(task) == pytest.approx(best)
    else:
        best = max(score(torch.full_like(targets, c / 50), targets).item() for c in range(-100, 101))
        assert score_of_constant(task) == pytest.approx(best, abs=0.06)  # the training mean is not the validation's


def test_the_best_constant_number_within_zero_and_one():
    targets = torch.tensor([[0.0], [0.2], [1.0]])
    choice = load_recipe("diabetes-mlp").task
    task = replace(
        TASKS[choice.name].make(**choice.options), problem="unit-regression", validation=Examples(targets, targets)
    )
    best = max(1 - (targets - c / 100).abs().mean().item() for c in range(101))
    assert score_of_constant(task) == pytest.approx(best, abs=1e-6)
