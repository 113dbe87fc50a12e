"""`LiveDiagnosis`: judges a run while it goes on, on a thread of its own, and does what was asked for about findings.

The thread reads the run directory as any other reader would: it shares no lock and no object with the training's
step. How often it looks is bounded by what a look costs.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from probes.diagnosis.engine import judge
from probes.diagnosis.finding import Finding, rank
from probes.diagnosis.live import alerts
from probes.diagnosis.live.ledger import Ledger
from probes.diagnosis.live.options import LiveOptions
from probes.diagnosis.live.pace import SHARE, SOONEST_SECONDS, Pace
from probes.diagnosis.registry import RULES
from probes.diagnosis.report import Report
from probes.diagnosis.saved import save
from probes.diagnosis.view import RunView
from probes.runlog import Run, open_run

_log = logging.getLogger("babysit")

CLOSE_PATIENCE = 10.0
"""Seconds that closing waits for the last look, and for what it tells."""


class LiveDiagnosis:
    """Judges one run until `finish`. Nothing here raises into the training or makes a step wait.

    Args:
        run_dir: of the run, whose writer is at work.
        options: what to do about findings.
        on_stop: told the finding that is to end the run, at most once, on the thread.
        on_problem: told a failure of a callback or of the diagnosis itself, one line, once for each kind.
        on_cost: told the processor seconds of each look.
        share: of the time, that looks may take.
        soonest: seconds between two looks, at least.
    """

    def __init__(
        self,
        run_dir: Path,
        options: LiveOptions,
        *,
        on_stop: Callable[[Finding], None],
        on_problem: Callable[[str], None],
        on_cost: Callable[[float], None] = lambda seconds: None,
        share: float = SHARE,
        soonest: float = SOONEST_SECONDS,
    ) -> None:
        self._run_dir = run_dir
        self._options = options
        self._on_stop = on_stop
        self._on_problem = on_problem
        self._on_cost = on_cost
        self._ledger = Ledger(options.cool_down)
        self._pace = Pace(share, soonest, time.monotonic())
        self._run: Run | None = None
        self._seen: tuple[object, ...] = ()
        self._stopped = False
        self._said: set[str] = set()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="babysit-diagnosis", daemon=True)
        self._thread.start()

    def finish(self, patience: float = CLOSE_PATIENCE) -> None:
        """Has a last look at the run, which is closed by now, and ends. May be called again."""
        self._ending.set()
        if threading.current_thread() is self._thread:
            return  # a callback closes the probe: the last look follows when it returns
        self._thread.join(patience)
        if self._thread.is_alive():
            _log.warning("babysit: %s: the last findings are not told yet: that takes too long", self._run_dir)

    # ---- the thread's side ----

    def _work(self) -> None:
        while not self._ending.wait(self._pace.wait(time.monotonic())):
            self._attempt("the live diagnosis", self._look)
        self._attempt("the live diagnosis", self._look, True)
        self._run = None

    def _attempt(self, what: str, action: Callable[..., object], *arguments: object) -> None:
        """Does something that may fail: that is said, and never raised."""
        try:
            action(*arguments)
        except BaseException as error:  # noqa: BLE001  a callback's sys.exit included: nothing may end this thread
            text = " ".join(str(error).split())
            self._complain(f"{what}: {type(error).__name__}", f"{what} failed: {type(error).__name__}: {text}")

    def _complain(self, kind: str, text: str) -> None:
        """Says a failure, once for each kind."""
        if kind not in self._said:
            self._said.add(kind)
            self._on_problem(f"{text}; the training goes on")

    def _look(self, last: bool = False) -> None:
        began = time.thread_time()
        report = None
        try:
            report = self._judge(last)
            if report is not None:
                self._attempt("saving the findings", save, report, self._run_dir)
        finally:
            seconds = time.thread_time() - began
            self._on_cost(seconds)
            self._pace.took(seconds, time.monotonic())
        if report is not None:
            self._act(report)

    def _judge(self, last: bool) -> Report | None:
        """The report on the run as it stands; None when nothing is new since the last one."""
        if self._run is None:
            self._run = open_run(self._run_dir)
        run = self._run
        run.refresh()  # also true after our own findings.json: what was recorded tells whether there is anything new
        seen = (run.status, run.last_step, run.last_time, len(run.events))
        if not last:
            if run.status in ("finished", "crashed"):  # for a moment, while the log is rolled back to a checkpoint
                return None
            if seen == self._seen or run.last_step is None:
                return None
        self._seen = seen
        return judge(RunView.of_run(run), RULES.values())

    def _act(self, report: Report) -> None:
        """Ends the run first where that is asked for, then tells."""
        stopping = [f for f in report.findings if f.rule in self._options.stop_on and f.active and _counts(f)]
        if stopping and not self._stopped:
            self._stopped = True
            self._attempt("stop_on", self._on_stop, stopping[0])
        news = self._ledger.news(report.findings, time.monotonic())
        if self._options.on_finding is not None:
            for finding in news:
                self._attempt("on_finding", self._options.on_finding, finding)
        if news and self._options.alerts:
            self._attempt("sending the alert", self._notify, report.run, news)

    def _notify(self, run: str, news: Sequence[Finding]) -> None:
        for problem in alerts.send(self._options.alerts, *alerts.message(run, news)):
            self._complain(problem, problem)


def _counts(finding: Finding) -> bool:
    return rank(finding.severity) >= rank("warning")
