"""`watch(..., check_first=...)`: the sanity checks, before the first step of a run."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.optim import Optimizer

from probes.errors import BabysitError, InvalidArgumentError, SanityCheckError
from probes.instrument.sharding import Meeting
from probes.instrument.wrappers import unwrap
from probes.runlog.writer import RunWriter

if TYPE_CHECKING:
    from probes.checks import SanityReport

_log = logging.getLogger("babysit")

_OWN = ("model", "optimizer", "run_dir")  # arguments of `check` that `watch` fills in
_MARGIN_SECONDS = 120.0  # beyond the budget, that other processes wait for the outcome


def check_arguments(given: object, loss_fn: Callable[..., Any] | None) -> dict[str, Any] | None:
    """What ``check_first`` stands for, as arguments of `probes.check`; None when nothing is to be checked.

    Args:
        given: ``(loss_fn, data)``, or a mapping of `check`'s arguments.
        loss_fn: that of `watch`, for a mapping that names none.

    Raises:
        InvalidArgumentError: it is neither, or it names an argument that `check` does not have.
    """
    if given is None:
        return None
    form = 'check_first must be (loss_fn, data), or a dict such as {"data": loader, "budget": 20}'
    if isinstance(given, Mapping):
        from probes.checks import check

        arguments = {"loss_fn": loss_fn, **given}
        known = [name for name in inspect.signature(check).parameters if name not in _OWN]
        foreign = [str(name) for name in given if name not in known]
        if foreign:
            raise InvalidArgumentError(f"{form}: {foreign[0]!r} is none of {', '.join(known)}")
    elif isinstance(given, tuple) and len(given) == 2 and callable(given[0]):
        arguments = {"loss_fn": given[0], "data": given[1]}
    else:
        raise InvalidArgumentError(f"{form}, not a {type(given).__name__}")
    if arguments.get("data") is None or arguments["loss_fn"] is None:
        missing = "data" if arguments.get("data") is None else "loss_fn"
        raise InvalidArgumentError(f"{form}: {missing} is missing")
    return arguments


def check_first(
    model: nn.Module,
    optimizers: Sequence[Optimizer],
    writer: RunWriter,
    arguments: Mapping[str, Any],
    meeting: Meeting | None,
) -> None:
    """Runs the checks (on rank 0), saves their report with the run, and lets a training begin that passed them.

    A run that is continued is not checked: its model is no longer at its beginning.

    Raises:
        SanityCheckError: a check failed. On every rank.
        BabysitError: the checks cannot run on what was given. On every rank.
    """
    if writer.start_step > 0:
        _log.info("babysit: %s: continued from step %d: not checked again", writer.run_dir, writer.start_step)
        return
    if meeting is not None and meeting.rank != 0:
        seconds = float(arguments.get("budget", 60.0)) + _MARGIN_SECONDS
        verdict = meeting.agree("check_first", None, seconds)
        if verdict is None:
            raise SanityCheckError(f"rank 0 did not end its sanity checks within {seconds:g} s")
        if verdict:
            raise SanityCheckError(verdict)
        return
    problem: str | None = "the sanity checks were interrupted"
    try:
        problem = _problem(_checked(model, optimizers, writer, arguments), writer)
    except BabysitError as error:
        problem = str(error)
        raise
    finally:
        if meeting is not None:
            meeting.agree("check_first", problem or "")
    if problem is not None:
        raise SanityCheckError(problem)


def _checked(
    model: nn.Module, optimizers: Sequence[Optimizer], writer: RunWriter, arguments: Mapping[str, Any]
) -> SanityReport:
    from probes.checks import check

    # Without what is around it: DDP would wait in the backward pass for processes that do not check.
    return check(unwrap(model), **arguments, optimizer=list(optimizers) or None, run_dir=writer.run_dir)


def _problem(report: SanityReport, writer: RunWriter) -> str | None:
    """What failed, in one line; None when nothing did. Warnings are logged."""
    for result in report.results:
        if result.status == "warn":
            _log.warning("babysit: sanity check %s: %s", result.check, " ".join(result.message.split()))
    failures = [result for result in report.results if result.status == "fail"]
    if not failures:
        return None
    said = "; ".join(f"{failure.check}: {' '.join(failure.message.split())}" for failure in failures)
    number = f"{len(failures)} sanity check{'s' if len(failures) > 1 else ''}"
    return f"{number} failed, the training has not begun: {said} (the report is in {writer.run_dir / 'checks.json'})"
