"""Ctrl-C between two steps, at the same step in all processes."""

from __future__ import annotations

import signal

import pytest

from trainer.interrupt import interruptible


def alone(number: int) -> int:
    return number


def test_a_signal_counts_from_where_the_processes_agree() -> None:
    with interruptible() as interrupt:
        assert not interrupt.agree(alone)
        signal.raise_signal(signal.SIGINT)
        assert interrupt.signum is None  # the loop of this process goes on, as that of the others does
        assert interrupt.agree(alone)
        assert interrupt.signum == signal.SIGINT


def test_a_signal_that_comes_while_they_agree_is_not_lost() -> None:
    def slow(number: int) -> int:
        signal.raise_signal(signal.SIGTERM)
        return number

    with interruptible() as interrupt:
        assert not interrupt.agree(slow)
        assert interrupt.agree(alone)
        assert interrupt.signum == signal.SIGTERM


def test_a_signal_to_another_process_stops_this_one() -> None:
    with interruptible() as interrupt:
        assert interrupt.agree(lambda mine: max(mine, signal.SIGINT))
        assert interrupt.signum == signal.SIGINT


def test_the_second_signal_ends_at_once_and_the_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
