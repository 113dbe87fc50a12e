"""Verdicts counted, as Markdown."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.diagnosis import first_sight
from benchmarks.diagnosis.baselines import BASELINES
from benchmarks.diagnosis.cases import PARTS
from benchmarks.diagnosis.verdicts import Verdict

NEAR = 20
"""Steps after its onset within which a disaster is to be reported."""


def report(verdicts: Sequence[Verdict]) -> str:
    """All tables; the parts of the corpus apart."""
    pieces = ["## In short", summary(verdicts)]
    if any(v.case.part == "crossed" for v in verdicts):
        pieces.append(at_first_sight([v for v in verdicts if v.case.part == "crossed"]))
    for part in PARTS:
        mine = [v for v in verdicts if v.case.part == part]
        if mine:
            pieces += [f"## By fault, {part} part", by_fault(mine)]
    pieces += ["## Published criteria on the same runs", baselines(verdicts)]
    pieces += ["## First finding by fault, harmed runs of all parts", confusion(verdicts)]
    return "\n\n".join(pieces) + "\n"


def summary(verdicts: Sequence[Verdict]) -> str:
    """The numbers that the project is held to, by part."""
    rows: list[tuple[str, Callable[[Sequence[Verdict]], str]]] = [
        ("healthy runs", lambda vs: str(len(_healthy(vs)))),
        ("... with a warning or worse at the end (goal: at most 2%)", lambda vs: _share(_healthy(vs), _alarmed)),
        (
            "... with a warning or worse at the end or at any of 16 moments on the way",
            lambda vs: _share(_healthy(vs), lambda v: bool(v.found or v.midway)),
        ),
        ("runs harmed by a fault", lambda vs: str(len(_ill(vs)))),
        ("... an expected finding (goal: at least 92%)", lambda vs: _share(_ill(vs), lambda v: v.detected)),
        ("... and ranked first (goal: at least 80%)", lambda vs: _share(_ill(vs), lambda v: v.first)),
        ("... anything at warning or above", lambda vs: _share(_ill(vs), _alarmed)),
        ("median delay of the detected, share of the run (goal: at most 10%)", _delay),
        (
            f"disasters reported within {NEAR} steps of their onset",
            lambda vs: _share(
                [v for v in _ill(vs) if v.onset is not None],
                lambda v: v.after_onset is not None and v.onset is not None and v.after_onset - v.onset <= NEAR,
            ),
        ),
        ("runs that learned in spite of a fault", lambda vs: str(len(_harmless(vs)))),
        ("... with a warning or worse", lambda vs: _share(_harmless(vs), _alarmed)),
        (
            "... of these, an expected one",
            lambda vs: _share([v for v in _harmless(vs) if v.found], lambda v: v.detected),
        ),
    ]
    lines = ["| | " + " | ".join(PARTS) + " |", "|---|" + "--:|" * len(PARTS)]
    parts = [[v for v in verdicts if v.case.part == part] for part in PARTS]
    return "\n".join([*lines, *(f"| {name} | " + " | ".join(count(vs) for vs in parts) + " |" for name, count in rows)])


def at_first_sight(verdicts: Sequence[Verdict], path: Path = first_sight.CORPUS) -> str:
    """What was said of the crossed runs when they were judged for the first time, as a sentence."""
    sights = first_sight.read(path)
    seen = [(v, sights[v.case.name]) for v in verdicts if v.case.name in sights]
    healthy = [sight for v, sight in seen if v.case.label == "healthy"]
    ill = [(v.case.expected, sight.findings) for v, sight in seen if v.case.label == "ill"]
    return (
        "Of the crossed part *at first sight*, before anybody mended a rule with it in view: "
        f"{sum(bool(s.findings) for s in healthy)} of {len(healthy)} healthy runs with a warning or worse at the end, "
        f"{sum(bool(s.findings or s.midway) for s in healthy)} at any moment; "
        f"{sum(not set(said).isdisjoint(expected) for expected, said in ill)} of {len(ill)} harmed runs with an "
        f"expected finding, {sum(said[:1] != () and said[0] in expected for expected, said in ill)} with it first."
    )


def by_fault(verdicts: Sequence[Verdict]) -> str:
    """One row a fault: how often found and ranked first, and how early."""
    lines = [
        "| fault | harmed | detected | first | anything said | median step of the finding | share of the run | "
        "unharmed | of these warned |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for fault in _faults(verdicts):
        bad = [v for v in _ill(verdicts) if v.case.fault == fault]
        fine = [v for v in _harmless(verdicts) if v.case.fault == fault]
        flagged = [v.flagged for v in bad if v.flagged is not None]
        cells = (
            len(bad), sum(v.detected for v in bad), sum(v.first for v in bad), sum(bool(v.found) for v in bad),
            f"{median(flagged):.0f}" if flagged else "", _delay(bad) if flagged else "",
            len(fine), sum(bool(v.found) for v in fine),
        )  # fmt: skip
        lines.append(f"| `{fault}` | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def baselines(verdicts: Sequence[Verdict]) -> str:
    """Ours and the published tools beside each other, by part."""
    lines = [
        "| criteria | part | healthy runs flagged | harmed runs flagged | by an expected symptom |",
        "|---|---|--:|--:|--:|",
    ]
    for name in ("babysit", *BASELINES):
        for part in PARTS:
            mine = [v for v in verdicts if v.case.part == part]
            if not mine:
                continue
            says: Callable[[Verdict], bool] = _alarmed if name == "babysit" else _says(name)
            right: Callable[[Verdict], bool] = (lambda v: v.detected) if name == "babysit" else _right(name)
            cells = _share(_healthy(mine), says), _share(_ill(mine), says), _share(_ill(mine), right)
            lines.append(f"| {name} | {part} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def confusion(verdicts: Sequence[Verdict]) -> str:
    """Fault x first finding; expected ones are bold."""
    ill = _ill(verdicts)
    lines = ["| fault | runs | first finding |", "|---|--:|---|"]
    for fault in _faults(ill):
        mine = [v for v in ill if v.case.fault == fault]
        firsts = collections.Counter(v.found[0].rule if v.found else "nothing" for v in mine)
        expected = mine[0].case.expected
        cells = (f"**{rule}** {n}" if rule in expected else f"{rule} {n}" for rule, n in firsts.most_common())
        lines.append(f"| `{fault}` | {len(mine)} | {', '.join(cells)} |")
    alarms = collections.Counter(found.rule for v in _healthy(verdicts) for found in v.found)
    if alarms:
        lines.append("| none (healthy) | | " + ", ".join(f"{rule} {n}" for rule, n in alarms.most_common()) + " |")
    return "\n".join(lines)


def details(verdicts: Sequence[Verdict], *, every: bool = False) -> str:
    """One line for each run outside the locked part that was judged wrongly; the locked part is never listed."""
    lines = []
    for v in verdicts:
        if v.case.part == "locked":
            continue
        said = " ".join(f"{f.rule}@{f.first_step}{'!' if f.severity == 'critical' else ''}" for f in v.found) or "-"
        kind = ""
        if v.case.label == "healthy" and (v.found or v.midway):
            kind = "FALSE ALARM" if v.found else "MID-RUN"
            said += " | mid-run: " + (" ".join(f"{rule}@{step}" for step, rule in v.midway) or "-")
        elif v.case.label == "ill" and not v.first:
            kind = "NOT FIRST" if v.detected else ("OTHER" if v.found else "MISSED")
        if kind or every:
            lines.append(f"{kind:12} {v.case.label:8} {v.case.name:60} steps {v.steps:6} {said}")
    return "\n".join(lines)


def _healthy(verdicts: Iterable[Verdict]) -> list[Verdict]:
    return [v for v in verdicts if v.case.label == "healthy"]


def _ill(verdicts: Iterable[Verdict]) -> list[Verdict]:
    return [v for v in verdicts if v.case.label == "ill"]


def _harmless(verdicts: Iterable[Verdict]) -> list[Verdict]:
    return [v for v in verdicts if v.case.label == "harmless"]


def _faults(verdicts: Iterable[Verdict]) -> list[str]:
    return sorted({v.case.fault for v in verdicts if v.case.fault})


def _alarmed(verdict: Verdict) -> bool:
    return bool(verdict.found)


def _says(name: str) -> Callable[[Verdict], bool]:
    return lambda verdict: bool(verdict.baselines[name][0])


def _right(name: str) -> Callable[[Verdict], bool]:
    return lambda verdict: verdict.baselines[name][1]


def _share(verdicts: Sequence[Verdict], holds: Callable[[Verdict], bool]) -> str:
    if not verdicts:
        return ""
    n = sum(holds(v) for v in verdicts)
    return f"{n} of {len(verdicts)} ({100 * n / len(verdicts):.1f}%)"


def _delay(verdicts: Sequence[Verdict]) -> str:
    shares = [v.flagged / v.steps for v in _ill(verdicts) if v.flagged is not None and v.steps]
    return f"{100 * median(shares):.0f}%" if shares else ""
