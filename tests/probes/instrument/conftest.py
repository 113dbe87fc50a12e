"""Small models and loops shared by the tests of the instruments."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

import probes


@pytest.fixture(autouse=True)
def one_thread_and_a_seed() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def no_complaints(caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest) -> Iterator[None]:
    """A measurement that fails is caught and reported; here that fails the test, unless it expects
    complaints.
    """
    yield
    if "expects_complaints" not in request.fixturenames:
        complaints = [r.getMessage() for r in caplog.records if r.name == "babysit" and r.levelno >= logging.WARNING]
        assert complaints == []


@pytest.fixture
def expects_complaints() -> None:
    """Asked for by tests in which something is meant to go wrong."""


@pytest.fixture
def measured() -> Callable[[probes.Run, str, str], dict[int, float]]:
    """Of a run, a kind and a layer: step -> value, where there is one."""

    def values(run: probes.Run, kind: str, layer: str) -> dict[int, float]:
        series = run.layer_series(kind)
        column = series.values[:, series.layers.index(layer)]
        return {int(s): float(v) for s, v in zip(series.steps, column, strict=True) if not np.isnan(v)}

    return values
