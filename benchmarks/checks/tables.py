"""docs/checks/results.md from what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.checks import cases as sets
from benchmarks.checks import corpus
from benchmarks.checks.healthy import WARNS
from benchmarks.checks.measure import Case, Record, caught_by

Records = Mapping[tuple[str, str], Record]
Row = tuple[Case, Record]

# What was said before anything was changed for these sets: history, not measured again. Failed and warned of the
# healthy ones, caught of the faulty ones.
FIRST_SIGHT_HEALTHY = {
    sets.LATER: (4, None),
    sets.FRESH: (2, 5),
    sets.FRESH_AGAIN: (1, 3),
    sets.FRESH_LAST: (0, 0),
    corpus.HEALTHY: (0, 4),
}
FIRST_SIGHT_FAULTY = {sets.FRESH_FAULTY: (19, 20), sets.FRESH_AGAIN_FAULTY: (9, 13), corpus.FAULTY: (113, 127)}

HEAD = """# How often the checks are right

Made by `python -m benchmarks.checks --write`: every check on every set-up of `benchmarks/checks/`, with the optimizer
it is trained with.

- **Set-ups**: small models on real and generated data, written together with the checks.
- **Later set-ups**: written after the checks were finished.
- **Programs**: what somebody writes who knows nothing of the checks (segmentation, contrastive, triplet and CTC losses,
  diffusion, graphs, categories, tied weights, autocast, time-first batches, ...), each once healthy and once with one
  classic bug; written before any of them was checked.
- **Later programs**: of the same kind, written when the first ones had been repaired (detection, translation, GAN,
  actor and critic, quantiles, video, experts, a differential equation, checkpointing, complex weights, ...).
- **Last programs**: healthy ones only, after the others had been repaired (flows, sine activations, sets, masked
  language model, vector quantisation, ...; detached values had just been taught to the gradient check for such).
- **Corpus**: the reference trainer's healthy configurations, each once (those that differ only in what a check never
  sees, such as schedule, length and clipping, are one), and every one of its faults that can be seen before training,
  on two configurations of each part of the corpus, with four faults more that the trainer does not have.

*At first sight* is what the checks said before anything was changed for a set. That is the figure to expect on code
that nobody here has seen; the other one shows that what was found out was repaired.
"""
PROGRAMS_FAULTY = (sets.FRESH_FAULTY, sets.FRESH_AGAIN_FAULTY)


def page(cases: Sequence[Case], records: Records) -> tuple[str, bool]:
    """The page, and whether everything measured is as it should be: no healthy case failed, no fault missed."""
    rows = [(case, records[case.group, case.name]) for case in cases if (case.group, case.name) in records]
    healthy = [row for row in rows if not row[0].right]
    faulty = [row for row in rows if row[0].right]
    lines = [HEAD, *_summary(cases, healthy, faulty), "", *_times(rows), ""]
    lines += ["## Faults of the corpus", "", *_corpus_faults(faulty), ""]
    lines += ["## Programs", "", *_programs(healthy, faulty), ""]
    lines += ["## Set-ups with one fault", "", *_setup_faults(faulty), ""]
    lines += ["## Healthy ones of which a check spoke", "", *_spoke(healthy), ""]
    lines += ["## Healthy set-ups", "", *_setups(healthy)]
    right = not any(record.failed for _, record in healthy) and all(caught_by(*row) for row in faulty)
    return "\n".join(lines) + "\n", right and len(rows) == len(cases)


def _summary(cases: Sequence[Case], healthy: Sequence[Row], faulty: Sequence[Row]) -> list[str]:
    lines = [
        "| healthy | measured | a check failed | a check warned | at first sight failed, warned |",
        "|---|---|---|---|---|",
    ]
    for group in dict.fromkeys(case.group for case in cases if not case.right):
        rows = [row for row in healthy if row[0].group == group]
        failed, warned = sum(r.failed for _, r in rows), sum(r.warned for _, r in rows)
        first = FIRST_SIGHT_HEALTHY.get(group)
        told = "–" if first is None else f"{first[0]}, {'not counted' if first[1] is None else first[1]}"
        lines.append(f"| {group} | {_count(cases, rows, group)} | **{failed}** | {warned} | {told} |")
    lines += ["", "| faulty | measured | caught by the right check | at first sight |", "|---|---|---|---|"]
    for group in dict.fromkeys(case.group for case in cases if case.right):
        rows = [row for row in faulty if row[0].group == group]
        found = sum(caught_by(*row) is not None for row in rows)
        seen = FIRST_SIGHT_FAULTY.get(group)
        told = "–" if seen is None else f"{seen[0]} of {seen[1]}"
        lines.append(f"| {group} | {_count(cases, rows, group)} | **{found}** | {told} |")
    return lines


def _count(cases: Iterable[Case], rows: Sequence[Row], group: str) -> str:
    planned = sum(case.group == group for case in cases)
    return str(planned) if planned == len(rows) else f"{len(rows)} of {planned}"


def _times(rows: Sequence[Row]) -> list[str]:
    seconds = sorted(record.seconds for _, record in rows)
    if not seconds:
        return []
    middle, late = seconds[len(seconds) // 2], seconds[int(0.95 * len(seconds))]
    return [
        f"All checks together took {middle:.1f} s of one core (median), {late:.1f} s (95th percentile), "
        f"{seconds[-1]:.1f} s (longest), within a budget of 30 s."
    ]


def _corpus_faults(faulty: Sequence[Row]) -> list[str]:
    lines = ["| fault | the right check | caught | not caught in |", "|---|---|---|---|"]
    rows = [row for row in faulty if row[0].group == corpus.FAULTY]
    for fault in dict.fromkeys(case.fault for case, _ in rows):
        of_it = [row for row in rows if row[0].fault == fault]
        missed = [case.name for case, record in of_it if caught_by(case, record) is None]
        right = " or ".join(of_it[0][0].right)
        lines.append(f"| {fault} | {right} | {len(of_it) - len(missed)} of {len(of_it)} | {', '.join(missed) or '–'} |")
    return lines


def _programs(healthy: Sequence[Row], faulty: Sequence[Row]) -> list[str]:
    lines = ["| program | healthy, what spoke | bug | caught by |", "|---|---|---|---|"]
    ill = {case.name: (case, record) for case, record in faulty if case.group in PROGRAMS_FAULTY}
    for case, record in healthy:
        if case.group in (sets.FRESH, sets.FRESH_AGAIN) and case.name in ill:
            bug, found = ill[case.name]
            lines.append(f"| {case.name} | {_said(record)} | {bug.fault} | {caught_by(bug, found) or '**missed**'} |")
    return lines


def _setup_faults(faulty: Sequence[Row]) -> list[str]:
    lines = ["| fault | the check that must notice | said | others that spoke |", "|---|---|---|---|"]
    for case, record in faulty:
        if case.group == sets.SETUPS_FAULTY:
            check = case.right[0]
            status = record.said[check].status if check in record.said else "nothing"
            said = status if caught_by(case, record) else f"**missed** ({status})"
            lines.append(f"| {case.name} | {check} | {said} | {_said(record, besides=check)} |")
    return lines


def _spoke(healthy: Sequence[Row]) -> list[str]:
    lines = ["| set | case | what spoke | what it said |", "|---|---|---|---|"]
    for case, record in healthy:
        for slug, said in record.loud.items():
            message = said.message.replace("|", "\\|")
            lines.append(f"| {case.group} | {case.name} | {slug} ({said.status}) | {message} |")
        if record.error:
            lines.append(f"| {case.group} | {case.name} | error | {record.error} |")
    return lines if len(lines) > 2 else ["None."]


def _setups(healthy: Sequence[Row]) -> list[str]:
    lines = ["| set-up | passed | skipped | spoke | why it is right all the same |", "|---|---|---|---|---|"]
    for case, record in healthy:
        if case.group in (sets.SETUPS, sets.LATER):
            counts = [sum(s.status == status for s in record.said.values()) for status in ("pass", "skip")]
            reasons = "; ".join(WARNS.get(case.name, {}).values()) or "–"
            lines.append(f"| {case.name} | {counts[0]} | {counts[1]} | {_said(record)} | {reasons} |")
    return lines


def _said(record: Record, besides: str = "") -> str:
    """The checks that warned or failed."""
    return ", ".join(f"{slug} ({said.status})" for slug, said in record.loud.items() if slug != besides) or "–"
