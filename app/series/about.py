"""What is known of a run before its first step: the model, the optimizer, where it runs and its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.series.numbers import number, plural

if TYPE_CHECKING:
    from probes.runlog import Run

MAX_CONFIG = 12


def about(run: Run) -> list[tuple[str, str]]:
    """(label, value) pairs, only of what the manifest tells."""
    model, place = run.model, run.manifest.get("environment") or {}
    parameters = model.get("parameters") or []
    facts: list[tuple[str, str]] = []
    if model.get("class"):
        count = sum(int(p.get("numel") or 0) for p in parameters)
        facts.append(("Model", f"{model['class']}, {count:,} weights in {plural(len(parameters), 'tensor')}"))
    for optimizer in run.manifest.get("optimizers") or []:
        facts.append(("Optimizer", _optimizer(optimizer)))
    if place.get("host"):
        device = f" on {place['device']}" if place.get("device") else ""
        facts.append(("Runs at", f"{place['host']}{device}, process {place.get('pid', 'unknown')}"))
    flat = _flat(run.config)
    if flat:
        shown = ", ".join(f"{key} = {value}" for key, value in flat[:MAX_CONFIG])
        facts.append(("Configuration", shown + (", …" if len(flat) > MAX_CONFIG else "")))
    return facts


def _optimizer(optimizer: Mapping[str, Any]) -> str:
    groups = optimizer.get("groups") or []
    rates = [group["lr"] for group in groups if isinstance(group.get("lr"), (int, float))]
    told = f", learning rate {', '.join(dict.fromkeys(number(float(rate)) for rate in rates))}" if rates else ""
    return f"{optimizer.get('class', 'unknown')}{told}"


def _flat(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    out: list[tuple[str, str]] = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            out += _flat(value, f"{prefix}{key}.")
        elif value not in (None, "", [], {}):
            out.append((f"{prefix}{key}", str(value)[:60]))
    return out
