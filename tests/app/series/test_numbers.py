"""The examples in the docstrings are the specification; here is what they leave out."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.series import metrics, numbers


@pytest.mark.parametrize("module", [numbers, metrics])
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted and not result.failed


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300))
def test_a_printed_number_reads_back_within_half_a_percent(value: float) -> None:
    if abs(value) < 1e-300:
        return
    assert float(numbers.number(value).replace(",", "")) == pytest.approx(value, rel=0.0051)


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_a_share_that_is_neither_nothing_nor_all_never_reads_so(share: float) -> None:
    assert numbers.percent(share) not in ("0%", "100%")
