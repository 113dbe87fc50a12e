"""What explains what: one table, and the ordering of findings that follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from probes.diagnosis.finding import Finding, Severity, rank
from probes.diagnosis.view import Steps

CAUSES: Mapping[str, tuple[str, ...]] = {
    "poor-initialization": ("unnormalized-inputs",),
    "nonfinite-values": (
        "exploding-gradients",
        "learning-rate-too-high",
        "loss-diverging",
        "gradients-not-cleared",
        "unexpected-initial-loss",
        "loss-output-mismatch",
        "weights-growing",
        "unnormalized-inputs",
        "poor-initialization",
        "noisy-loss",
        "oscillating-loss",
        "underfitting",
    ),
    "exploding-gradients": (
        "learning-rate-too-high",
        "gradients-not-cleared",
        "poor-initialization",
        "unnormalized-inputs",
        "unexpected-initial-loss",
        "loss-output-mismatch",
        "underfitting",
    ),
    "learning-rate-too-high": (
        "gradients-not-cleared",
        "unnormalized-inputs",
        "poor-initialization",
        "noisy-loss",
        "weight-decay-too-strong",
        "loss-output-mismatch",
        "parameters-not-updated",
        "underfitting",
    ),
    "validation-anomaly": ("loss-output-mismatch",),
    "loss-diverging": (
        "exploding-gradients",
        "learning-rate-too-high",
        "gradients-not-cleared",
        "unnormalized-inputs",
        "poor-initialization",
        "loss-output-mismatch",
        "weight-decay-too-strong",
        "noisy-loss",
        "oscillating-loss",
        "underfitting",
    ),
    "learning-rate-too-low": (
        "poor-initialization",
        "vanishing-gradients",
        "dead-units",
        "saturated-activations",
        "missing-gradients",
        "symmetric-initialization",
        "collapsed-activations",
        "unnormalized-inputs",
        "loss-output-mismatch",
    ),
    # Not loss-not-decreasing: where validation stays at guessing, a training loss that fell by little is a sign of the
    # same labels, by which no rule can be found.
    "no-generalization": (
        "unnormalized-inputs",
        "poor-initialization",
        "learning-rate-too-high",
        "class-imbalance",
        "noisy-loss",
        "oscillating-loss",
    ),
    "overfitting": (
        "no-generalization",
        "class-imbalance",
        "gradients-not-cleared",
        "learning-rate-too-high",
        "weights-growing",
        "exploding-gradients",
        "noisy-loss",
        "oscillating-loss",
    ),
    "weight-decay-too-strong": (
        "nonfinite-values",
        "learning-rate-too-high",
        "unnormalized-inputs",
        "missing-gradients",
        "symmetric-initialization",
        "loss-output-mismatch",
        "poor-initialization",
    ),
    "weights-growing": (
        "learning-rate-too-high",
        "exploding-gradients",
        "gradients-not-cleared",
        "loss-output-mismatch",
        "loss-diverging",
    ),
    "vanishing-gradients": ("saturated-activations", "dead-units", "poor-initialization", "weight-decay-too-strong"),
    "saturated-activations": (
        "learning-rate-too-high",
        "exploding-gradients",
        "poor-initialization",
        "unnormalized-inputs",
    ),
    "dead-units": (
        "symmetric-initialization",
        "learning-rate-too-high",
        "exploding-gradients",
        "gradients-not-cleared",
        "poor-initialization",
        "unnormalized-inputs",
        "weight-decay-too-strong",
        "noisy-loss",
        "oscillating-loss",
        "underfitting",
    ),
    "collapsed-activations": (
        "dead-units",
        "saturated-activations",
        "learning-rate-too-high",
        "weights-growing",
        "poor-initialization",
        "symmetric-initialization",
        "vanishing-gradients",
        "weight-decay-too-strong",
        "loss-output-mismatch",
        "unnormalized-inputs",
        "gradients-not-cleared",
        "underfitting",
        "unexpected-initial-loss",
    ),
    "missing-gradients": (
        "dead-units",
        "saturated-activations",
        "symmetric-initialization",
        "poor-initialization",
        "unnormalized-inputs",
        "loss-output-mismatch",
        "weight-decay-too-strong",
    ),
    "parameters-not-updated": ("missing-gradients", "vanishing-gradients"),
    "unexpected-initial-loss": ("poor-initialization", "unnormalized-inputs", "loss-output-mismatch"),
    "loss-not-decreasing": (
        "nonfinite-values",
        "loss-diverging",
        "learning-rate-too-high",
        "vanishing-gradients",
        "dead-units",
        "missing-gradients",
        "parameters-not-updated",
        "symmetric-initialization",
        "saturated-activations",
        "collapsed-activations",
        "loss-output-mismatch",
        "gradients-not-cleared",
        "weight-decay-too-strong",
        "learning-rate-too-low",
        "poor-initialization",
        "unnormalized-inputs",
        "exploding-gradients",
        "unexpected-initial-loss",
        "underfitting",
        "noisy-loss",
        "oscillating-loss",
        "slow-convergence",
        "no-generalization",
        "validation-anomaly",
    ),
    "slow-convergence": (
        "learning-rate-too-low",
        "vanishing-gradients",
        "dead-units",
        "unnormalized-inputs",
        "saturated-activations",
        "missing-gradients",
        "parameters-not-updated",
        "poor-initialization",
        "symmetric-initialization",
        "weight-decay-too-strong",
        "loss-output-mismatch",
        "underfitting",
    ),
    "oscillating-loss": (
        "learning-rate-too-high",
        "gradients-not-cleared",
        "noisy-loss",
        "loss-spikes",
        "exploding-gradients",
    ),
    "loss-spikes": (
        "learning-rate-too-high",
        "exploding-gradients",
        "noisy-loss",
        "gradients-not-cleared",
    ),
    "constant-predictions": (
        "dead-units",
        "collapsed-activations",
        "saturated-activations",
        "symmetric-initialization",
        "vanishing-gradients",
        "class-imbalance",
        "learning-rate-too-high",
        "gradients-not-cleared",
        "poor-initialization",
        "unnormalized-inputs",
        "nonfinite-values",
        "exploding-gradients",
        "loss-diverging",
        "loss-not-decreasing",
        "weight-decay-too-strong",
        "loss-output-mismatch",
        "underfitting",
        "noisy-loss",
        "oscillating-loss",
        "unexpected-initial-loss",
    ),
    "noisy-filters": (
        "loss-output-mismatch",
        "no-generalization",
        "learning-rate-too-low",
        "vanishing-gradients",
        "training-too-short",
        "loss-not-decreasing",
        "slow-convergence",
        "learning-rate-too-high",
        "dead-units",
        "parameters-not-updated",
        "missing-gradients",
        "symmetric-initialization",
        "poor-initialization",
        "unnormalized-inputs",
        "loss-diverging",
        "weight-decay-too-strong",
        "underfitting",
    ),
    "underfitting": (
        "weight-decay-too-strong",
        "vanishing-gradients",
        "dead-units",
        "loss-output-mismatch",
        "learning-rate-too-low",
        "learning-rate-too-high",
        "saturated-activations",
        "parameters-not-updated",
        "missing-gradients",
        "noisy-loss",
        "oscillating-loss",
        "validation-anomaly",
    ),
    "training-too-short": (
        "slow-convergence",
        "learning-rate-too-low",
        "vanishing-gradients",
        "dead-units",
        "unnormalized-inputs",
        "saturated-activations",
        "missing-gradients",
        "parameters-not-updated",
        "poor-initialization",
        "symmetric-initialization",
        "weight-decay-too-strong",
        "loss-output-mismatch",
        "noisy-loss",
        "oscillating-loss",
        "learning-rate-too-high",
        "no-generalization",
        "overfitting",
        "class-imbalance",
        "gradients-not-cleared",
        "underfitting",
    ),
    "noisy-loss": ("gradients-not-cleared",),
    "stalled-run": ("input-bottleneck",),
}
"""Effect -> its possible causes, the nearest explanation first."""

ONLY_CRITICAL = frozenset(
    (slug, "underfitting")
    for slug in ("nonfinite-values", "exploding-gradients", "learning-rate-too-high", "loss-diverging")
)
"""(effect, cause) where only a critical finding is a cause: dropout of nearly all units, which scales up the rest, can
blow a training up; a layer that is too narrow cannot."""

LAST_RESORTS = frozenset({"training-too-short"})
"""What explains a run only where nothing else does: information beside any cause of it."""


WHOLE_RUN = frozenset(
    {"learning-rate-too-low", "loss-not-decreasing", "slow-convergence", "underfitting", "training-too-short"}
)
"""What is said of a run as a whole: its first step is none at which anything happened."""

SINCE_ITS_BEST = frozenset({"overfitting"})
"""What is dated from the best level before it: what spoils that may begin at any time after."""

EARLY = 0.1
"""Share of the run within which a cause of these may begin."""


def link(findings: Iterable[Finding], frames: Steps) -> list[Finding]:
    """``findings`` with `caused_by` set: the nearest cause in the table that began before its effect, or
    with it. Those of `LAST_RESORTS` become information when there is one.

    Args:
        frames: steps at which per-layer frames were taken, ascending. An effect that is logged at every step
            shows
            at once, its cause perhaps only at the next frame: that still counts as together.
    """
    listed = list(findings)
    linked = []
    for finding in listed:
        cause = next(
            (
                slug
                for slug in CAUSES.get(finding.rule, ())
                for other in listed
                if other.rule == slug
                and rank(other.severity) >= _least_cause(finding, slug)
                and other.first_step <= _latest_cause(finding, frames)
            ),
            None,
        )
        linked.append(replace(finding, caused_by=cause))
    return [_at_most_information(finding) for finding in _without_cycles(linked)]


def _least_cause(finding: Finding, slug: str) -> int:
    """Rank of the severity from which a finding of ``slug`` explains ``finding``."""
    if (finding.rule, slug) in ONLY_CRITICAL:
        return rank("critical")
    return min(rank(finding.severity), rank("warning"))


def _at_most_information(finding: Finding) -> Finding:
    explained = finding.rule in LAST_RESORTS and finding.caused_by is not None
    return replace(finding, severity="info") if explained else finding


def _latest_cause(finding: Finding, frames: Steps) -> int:
    """The last step at which a cause of ``finding`` may have begun."""
    if finding.rule in SINCE_ITS_BEST:
        return finding.last_step
    seen = _seen_by(finding.first_step, frames)
    return max(seen, int(EARLY * finding.last_step)) if finding.rule in WHOLE_RUN else seen


def _seen_by(step: int, frames: Steps) -> int:
    """The first frame at or after ``step``; ``step`` itself when there is none."""
    index = int(np.searchsorted(frames, step))
    return int(frames[index]) if index < len(frames) else step


def _without_cycles(findings: list[Finding]) -> list[Finding]:
    """Cut a loop of causes at its earliest finding, of these the most severe, which then is the root."""
    parent = {finding.rule: finding.caused_by for finding in findings}
    onset = {finding.rule: finding.first_step for finding in findings}
    weight = {finding.rule: rank(finding.severity) for finding in findings}
    for slug in parent:
        path: list[str] = []
        current: str | None = slug
        while current is not None and current not in path:
            path.append(current)
            current = parent.get(current)
        if current is not None:
            loop = path[path.index(current) :]
            parent[min(loop, key=lambda member: (onset[member], -weight[member]))] = None
    return [replace(finding, caused_by=parent[finding.rule]) for finding in findings]


def order(findings: Iterable[Finding]) -> list[Finding]:
    """Root causes by the worst of their story, then by onset; each followed by what it explains."""
    listed = list(findings)
    effects: dict[str | None, list[Finding]] = {}
    for finding in listed:
        effects.setdefault(finding.caused_by, []).append(finding)

    def story(root: Finding) -> list[Finding]:
        below = [story(effect) for effect in effects.get(root.rule, [])]
        return [root, *(finding for told in sorted(below, key=urgency) for finding in told)]

    def urgency(told: list[Finding]) -> tuple[int, int, int, str]:
        worst: Severity = max((finding.severity for finding in told), key=rank)
        head = told[0]
        return (-rank(worst), -rank(head.severity), head.first_step, head.rule)

    stories = sorted((story(root) for root in effects.get(None, [])), key=urgency)
    return [finding for told in stories for finding in told]
