"""Run -> one HTML page: verdict, findings with their evidence, curves, layers, filters, sanity, configuration."""

from __future__ import annotations

import datetime

from app.figures.depth import KINDS
from app.markup import banner, check_row, finding_card, heading, text, verdict_banner
from app.report import tables
from app.report.document import charts, document, folded, section, table
from app.report.figures import draw_all
from app.series.evidence import charts_of, pins_of
from app.series.facts import explanation, facts, words
from app.series.metrics import leading_metric, metric_groups
from app.series.numbers import plural
from app.series.runs import started
from app.series.sanity import card
from app.series.sanity_pictures import picture
from app.series.verdict import verdict
from probes import __version__
from probes.diagnosis import RULES, Finding, Report, diagnose
from probes.errors import BabysitError
from probes.runlog import Run

TALL, MIDDLE, LOW = 340, 300, 240
MAX_METRICS, MAX_FINDINGS_DRAWN = 6, 8


def page(run: Run, now: float) -> str:
    """The report on a run as it stands; `now` is Unix time in seconds.

    Raises:
        BabysitError: the run cannot be judged, or its sanity report cannot be read.
    """
    report = diagnose(run)
    sections = [
        _head(run, report, now),
        section("Findings", _findings(run, report)),
        section("Curves", _curves(run, report)),
        section("Layers", _layers(run)),
        section("First-layer filters", _filters(run)),
        section("Sanity checks before training", _sanity(run)),
        _tables(run),
    ]
    return document(f"{run.name} · babysit", [one for one in sections if one])


def _head(run: Run, report: Report, now: float) -> str:
    found = facts(run, now)
    created = started(float(run.manifest.get("created") or now))
    when = created.strftime("%Y-%m-%d %H:%M") if created else "unknown"
    made = datetime.datetime.fromtimestamp(now).astimezone().strftime("%Y-%m-%d %H:%M %Z")
    note = explanation(found)
    notes = [note, *found.problems[:3]]
    said = "".join(f'<div class="bs-note">{text(one)}</div>' for one in notes if one)
    told = f'<p class="about">Started {text(when)} · reported {text(made)} by babysit {text(__version__)}</p>'
    title = heading(run.name, found, words(found)).replace('<span class="bs-name">', '<h1 class="bs-name">', 1)
    title = title.replace("</span>", "</h1>", 1)
    return f"<header>{title}{said}{verdict_banner(verdict(report))}{told}</header>"


def _findings(run: Run, report: Report) -> str:
    parts = []
    for number, finding in enumerate(report.findings, 1):
        wanted = charts_of(finding) if number <= MAX_FINDINGS_DRAWN else []
        drawn = draw_all(run, [("diagnosis.evidence", params, LOW) for params in wanted])
        words_of = f"<div>{finding_card(number, finding)}{_meaning(finding)}</div>"
        parts.append(f'<div class="finding">{words_of}{charts(drawn)}</div>')
    if report.not_judged:
        rows = table("Not judged", [(one.rule, one.reason) for one in report.not_judged])
        parts.append(folded(f"Not judged: {plural(len(report.not_judged), 'rule')}", rows))
    if report.clear:
        clear = [(slug, RULES[slug].summary if slug in RULES else "") for slug in report.clear]
        parts.append(folded(f"Judged and clear: {plural(len(clear), 'rule')}", table("Judged and clear", clear)))
    return "".join(parts)


def _meaning(finding: Finding) -> str:
    rule = RULES.get(finding.rule)
    return f'<p class="about">{text(finding.rule)}: {text(rule.summary)}</p>' if rule else ""


def _curves(run: Run, report: Report) -> str:
    groups = metric_groups(run.series_names)
    loss = leading_metric(groups)
    metrics = [metric for metric in groups if metric != loss][:MAX_METRICS]
    pins = pins_of(report.findings)
    return charts(
        draw_all(
            run,
            [
                ("live.metric", {"metric": loss, "pins": pins}, TALL),
                *(("live.metric", {"metric": metric}, TALL) for metric in metrics[:1]),
                ("live.lr", {}, LOW),
                ("live.speed", {}, LOW),
                *(("live.metric", {"metric": metric}, LOW) for metric in metrics[1:]),
            ],
        )
    )


def _layers(run: Run) -> str:
    wanted = [
        ("layers.update_ratio", {}, MIDDLE),
        ("layers.gradient_depth", {}, MIDDLE),
        ("layers.units", {}, MIDDLE),
        *(
            ("layers.overview", {"kind": kind}, MIDDLE)
            for kind in ("grad_norm", "activation_std")
            if kind in run.layer_kinds and kind in KINDS
        ),
    ]
    return charts(draw_all(run, wanted))


def _filters(run: Run) -> str:
    return charts(draw_all(run, [("filters.grid", {}, 420), ("filters.moments", {}, 420)]))


def _sanity(run: Run) -> str:
    try:
        report = run.checks()
        found = card(report) if report is not None else None
    except BabysitError as error:
        return banner("unknown", str(error))
    if found is None:
        return ""
    there = [one.check for one in found.results if picture(one.check, one.evidence) is not None]
    drawn = draw_all(run, [("sanity.evidence", {"check": check}, LOW) for check in there])
    return (
        banner(found.tone, found.headline)
        + "".join(map(check_row, found.results))
        + f'<div class="pictures">{charts(drawn)}</div>'
    )


def _tables(run: Run) -> str:
    made = (
        table("Model", tables.model_rows(run))
        + table("Configuration", tables.config_rows(run))
        + table("Environment", tables.environment_rows(run))
    )
    return f'<section class="tables">{made}</section>' if made else ""
