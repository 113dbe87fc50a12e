"""Run every check on every set-up and print the table; ``--write`` puts it into docs/checks/results.md."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import probes
from benchmarks.checks.faulty import FAULTY, Fault
from benchmarks.checks.healthy import HEALTHY, WARNS
from benchmarks.checks.unseen import UNSEEN

BUDGET = 30.0
FIRST_SIGHT = 4  # of the later ones, before anything was changed for them: history, not measured again
TARGET = Path(__file__).parents[2] / "docs" / "checks" / "results.md"


def run(make: Callable[[], dict[str, Any]]) -> probes.SanityReport:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # broadcasting and the like: the faults are meant
        return probes.check(**make(), budget=BUDGET)


def caught(fault: Fault, report: probes.SanityReport) -> bool:
    """The right check spoke, loudly enough, and named the thing."""
    result = report[fault.check]
    loud = result.status == "fail" or (fault.least == "warn" and result.status == "warn")
    return loud and fault.word in " ".join([result.message, *result.suggestions])


def spoke(report: probes.SanityReport) -> str:
    """The checks that warned or failed."""
    return ", ".join(f"{r.check} ({r.status})" for r in report.results if r.status in ("warn", "fail")) or "–"


def table() -> tuple[list[str], bool]:
    """The Markdown lines, and whether everything is as it should be."""
    healthy = {name: run(make) for name, make in _shown(HEALTHY)}
    later = {name: run(make) for name, make in _shown(UNSEEN)}
    faulty = {name: run(fault.make) for name, fault in _shown(FAULTY)}
    found = [name for name, report in faulty.items() if caught(FAULTY[name], report)]
    alarms = [name for name, report in {**healthy, **later}.items() if not report.ok]
    seconds = sorted(report.seconds for report in (*healthy.values(), *later.values()))
    lines = [
        "# How often the checks are right",
        "",
        "Made by `python -m benchmarks.checks --write`, on the set-ups in `benchmarks/checks/`: small models "
        "on real and",
        "generated data, each checked with all checks and the optimizer it would be trained with.",
        "",
        f"- **{len(healthy)} healthy set-ups: {_alarms(healthy)}.**",
        f"- **{len(later)} healthy set-ups written after the checks were finished: {_alarms(later)}.** At first sight "
        f"{FIRST_SIGHT} of them",
        "  had a failed check; the four reasons were then removed. That first figure is the one to expect on unusual "
        "architectures.",
        f"- **{len(faulty)} set-ups with one fault: {len(found)} caught by the right check.**",
        f"- All {len(next(iter(healthy.values())).results)} checks together took {seconds[len(seconds) // 2]:.1f} s "
        f"(median) and {seconds[-1]:.1f} s (longest) on one core.",
        "",
        "The faulty set-ups were written together with the checks: the figure shows that the checks do what they say, "
        "not how",
        "often they are right on code nobody here has seen.",
        "",
        "## Faults",
        "",
        "| fault | the check that must notice | said | others that spoke |",
        "|---|---|---|---|",
    ]
    for name, report in faulty.items():
        fault = FAULTY[name]
        said = report[fault.check].status if name in found else f"**missed** ({report[fault.check].status})"
        others = ", ".join(
            f"{r.check} ({r.status})" for r in report.results if r.status in ("warn", "fail") and r.check != fault.check
        )
        lines.append(f"| {name} | {fault.check} | {said} | {others or '–'} |")
    lines += [
        "",
        "## Healthy set-ups",
        "",
        "| set-up | passed | skipped | spoke | why it is right all the same |",
        "|---|---|---|---|---|",
    ]
    for name, report in {**healthy, **later}.items():
        counts = [sum(r.status == status for r in report.results) for status in ("pass", "skip")]
        reasons = "; ".join(WARNS.get(name, {}).values()) or "–"
        lines.append(f"| {name} | {counts[0]} | {counts[1]} | {spoke(report)} | {reasons} |")
    return lines, not alarms and len(found) == len(faulty)


def _alarms(reports: dict[str, probes.SanityReport]) -> str:
    failed = sum(not report.ok for report in reports.values())
    warned = sum(report.ok and not report.clean for report in reports.values())
    return f"{failed} with a failed check, {warned} with a warning"


def _shown(setups: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    started = time.monotonic()
    for index, item in enumerate(setups.items()):
        note = f"{index + 1}/{len(setups)} {item[0]} ({time.monotonic() - started:.0f} s)"
        print(f"\r\x1b[K{note}", end="", file=sys.stderr, flush=True)
        yield item
    print("\r\x1b[K", end="", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checks", description=__doc__)
    parser.add_argument("--write", action="store_true", help="also write docs/checks/results.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lines, right = table()
    print("\n".join(lines))
    if arguments.write:
        TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
