"""No check fails on a healthy set-up, and each fault is noticed by the check that is meant to notice it.

The set-ups are in benchmarks/checks/, which also runs every check on every one of them and writes the table in docs/.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from probes.checks import SanityReport, check, slugs

sys.path.insert(0, str(Path(__file__).parents[3]))

from benchmarks.checks import corpus
from benchmarks.checks.cases import all_cases
from benchmarks.checks.faulty import FAULTY
from benchmarks.checks.fresh import PROGRAMS
from benchmarks.checks.fresh_again import PROGRAMS as AGAIN
from benchmarks.checks.healthy import HEALTHY, WARNS
from benchmarks.checks.last import LAST
from benchmarks.checks.measure import Case, Record, Said, caught_by, measure, read
from benchmarks.checks.tables import page
from benchmarks.checks.unseen import UNSEEN

SLOW = ("learning-rate-range", "overfit-small-batch", "input-dependence")
QUICK = [slug for slug in slugs() if slug not in SLOW]
WHOLE = (
    "mlp gelu, layer norm, dropout, adamw",
    "cnn, digits",
    "diabetes, mse",
    "multi-label",
    "variational autoencoder",
    "rnn on waves",
    "dict inputs with a mask",
)


# A loss of one's own that falls without end may be meant so: likelihoods, policy gradients and critics do.
MISSED = ("boxes and classes",)
SLOW_PROGRAMS = ("u-net segmentation, borders ignored", "speech toy, ctc", "language model, tied weights, padding")


def report(make: Any, **options: Any) -> SanityReport:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # No time limit: what a loaded machine does not get done must not decide a test.
        return check(**make(), budget=3600.0, **options)


def test_there_are_enough_of_them() -> None:
    assert len(HEALTHY) >= 30 and len(FAULTY) >= 25
    assert {fault.check for fault in FAULTY.values()} == set(slugs()), "each check has a fault to catch"


@pytest.mark.parametrize("name", [*HEALTHY, *UNSEEN, *LAST])
def test_healthy(name: str) -> None:
    found = report({**HEALTHY, **UNSEEN, **LAST}[name], checks=None if name in WHOLE else QUICK)
    said = {r.check: f"{r.status}: {r.message}" for r in found.results if r.status in ("warn", "fail")}
    assert set(said) <= set(WARNS.get(name, {})), said
    assert found.ok
    assert not [r.message for r in found.results if "broke" in r.message]


def said(found: SanityReport) -> Record:
    return Record({r.check: Said(r.status, r.message, tuple(r.suggestions), r.seconds) for r in found.results}, 0.0)


@pytest.mark.parametrize("name", FAULTY)
def test_fault(name: str) -> None:
    fault = FAULTY[name]
    found = report(fault.make, checks=[fault.check])
    case = Case("", name, fault.make, (fault.check,), fault.word, fault.least)
    assert caught_by(case, said(found)) == fault.check, found[fault.check]
    assert found[fault.check].suggestions, "it says what to do"


@pytest.mark.parametrize("name", [*PROGRAMS, *AGAIN])
def test_program(name: str) -> None:
    """Programs written without a look at the checks: nothing speaks on the healthy one, the right check on the bug."""
    program = {**PROGRAMS, **AGAIN}[name]
    healthy = report(lambda: program.make(False), checks=list(program.right) if name in SLOW_PROGRAMS else QUICK)
    assert healthy.clean, [(r.check, r.status, r.message) for r in healthy.results if r.status in ("warn", "fail")]
    assert not [r.message for r in healthy.results if "broke" in r.message]
    ill = report(lambda: program.make(True), checks=list(program.right))
    caught = any(result.status in ("warn", "fail") for result in ill.results)
    assert caught == (name not in MISSED), str(ill)


def test_the_cases_of_the_measurement() -> None:
    cases = list(all_cases())
    assert len({(case.group, case.name) for case in cases}) == len(cases)
    assert all(set(case.right) <= set(slugs()) for case in cases)
    of_the_corpus = [case for case in cases if case.group == corpus.HEALTHY]
    assert len(of_the_corpus) >= 150
    ill = [case for case in cases if case.group == corpus.FAULTY]
    assert {case.fault for case in ill} == {*corpus.VISIBLE, *corpus.INJECTED}


@pytest.mark.parametrize("name", ["wine-mlp.as-it-is.0", "recall-gru.as-it-is.0"])
def test_a_configuration_of_the_corpus(name: str) -> None:
    case = next(case for case in corpus.healthy_cases() if case.name == name)
    found = report(case.make, checks=QUICK)
    assert found.clean, str(found)


@pytest.mark.parametrize("name", ["digits-mlp.nan-in-data.0", "recall-gru.exploding-rnn.0", "digits-rnn.batch-mixing"])
def test_a_fault_of_the_corpus(name: str) -> None:
    case = next(case for case in corpus.faulty_cases() if case.name == name)
    assert caught_by(case, said(report(case.make, checks=list(case.right)))), name


def test_a_measurement_is_continued_and_counted(tmp_path: Path) -> None:
    """Two cases, one of them ill, measured in two goes: the table has what the checks said, and nothing twice."""
    calls: list[str] = []

    def make(name: str, inputs: float) -> Any:
        calls.append(name)
        x = inputs * torch.randn(32, 4)
        return {"model": torch.nn.Linear(4, 2), "loss_fn": torch.nn.CrossEntropyLoss(), "data": (x, x[:, :2].argmax(1))}

    healthy = Case("set-ups", "good", lambda: make("good", 1.0))
    ill = Case("set-ups, faulty", "large", lambda: make("large", 1e4), ("input-normalization",), "large", "fail")
    path = tmp_path / "records.jsonl"
    only = ["input-normalization"]
    measure([healthy], path, only)
    measure([healthy, ill], path)
    assert calls == ["good", "large"], "what is measured is not measured again"
    measure([ill], path, only)
    records = read(path)
    assert set(records["set-ups, faulty", "large"].said) == set(slugs()), "checks measured alone join the others"
    text, right = page([healthy, ill], records)
    assert right
    assert "| set-ups | 1 | **0** | 0 | – |" in text and "| set-ups, faulty | 1 | **1** | – |" in text
    missed, right = page([healthy, replace(ill, word="tiny")], records)
    assert not right and "**missed** (fail)" in missed
    half, right = page([healthy, ill, replace(healthy, name="never")], records)
    assert not right and "| set-ups | 1 of 2 |" in half
