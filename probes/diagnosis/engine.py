"""Runs the rules over one run and makes a report of what they say."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from probes.diagnosis.causes import link, order
from probes.diagnosis.descent import Descent, descent
from probes.diagnosis.finding import Finding
from probes.diagnosis.options import checked_thresholds, choose
from probes.diagnosis.registry import RULES
from probes.diagnosis.report import NotJudgedRule, Report
from probes.diagnosis.rule import Rule
from probes.diagnosis.view import NotJudged, RunView, Steps
from probes.errors import BabysitError, InvalidArgumentError

if TYPE_CHECKING:
    from probes.runlog import Run


def diagnose(
    run: Run | str | os.PathLike[str],
    rules: Iterable[str] | None = None,
    *,
    at_step: int | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> Report:
    """Say what is wrong with a run.

    Args:
        run: a `Run`, judged by what it holds (see `Run.refresh`), or the path of a run directory.
        rules: slugs of the rules to ask; None asks all of them.
        at_step: judge as if the run had only come this far; None takes all of it.
        thresholds: ``{"rule.threshold": value}``, in place of the defaults that `babysit explain RULE` lists.

    Returns:
        Report: findings with causes before their symptoms, and the rules that could not judge, with the
            reason.

    Raises:
        RunDirectoryError: the path is not a run directory, or cannot be read.
        UnknownNameError: a rule or threshold that does not exist.
        InvalidArgumentError: a step or threshold that cannot be meant.
    """
    if at_step is not None and (isinstance(at_step, bool) or not isinstance(at_step, int) or at_step < 0):
        raise InvalidArgumentError(f"at_step must be a step of the run (0 or more), got {at_step!r}")
    chosen = choose(rules, RULES)
    settings = checked_thresholds(thresholds, RULES)
    if isinstance(run, (str, os.PathLike)):
        from probes.runlog import open_run  # here: a view of plain arrays needs no run log

        run = open_run(Path(run))
    return judge(RunView.of_run(run, at_step), chosen, settings)


def judge(view: RunView, rules: Iterable[Rule], thresholds: Mapping[str, Mapping[str, float]] | None = None) -> Report:
    """The report of ``rules`` on ``view``; ``thresholds`` is rule -> threshold -> value."""
    findings: list[Finding] = []
    not_judged: list[NotJudgedRule] = []
    clear: list[str] = []
    for rule in rules:
        outcome = _ask(rule, view, (thresholds or {}).get(rule.slug, {}))
        if isinstance(outcome, str):
            not_judged.append(NotJudgedRule(rule.slug, outcome))
        elif outcome:
            findings.extend(outcome)
        else:
            clear.append(rule.slug)
    return Report(
        run=view.name,
        status=view.status,
        step=view.last_step,
        findings=order(link(findings, _frames(view))),
        not_judged=not_judged,
        clear=clear,
        descent=_descent(view),
    )


def _descent(view: RunView) -> Descent | None:
    with np.errstate(all="ignore"):
        return descent(view)


def _ask(rule: Rule, view: RunView, thresholds: Mapping[str, float]) -> list[Finding] | str:
    """The findings of one rule, or the reason why it could not judge."""
    try:
        # NaN and Inf are data here: comparing and reducing them is meant, and no reason to warn.
        with np.errstate(all="ignore"):
            return list(rule.judge(view, **rule.thresholds | dict(thresholds)))
    except NotJudged as reason:
        return str(reason)
    except BabysitError:
        raise  # the run itself cannot be read: that concerns all rules, and the caller
    except Exception as error:  # noqa: BLE001 - one broken rule must not cost the verdict of the others; it is reported
        return f"the rule failed on this run: {type(error).__name__}: {error}"


def _frames(view: RunView) -> Steps:
    """The steps at which frames were taken."""
    table = view.layers("grad_norm")
    return table.steps if table is not None else np.empty(0, dtype=np.int64)
