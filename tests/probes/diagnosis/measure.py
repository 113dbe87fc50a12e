"""Measures detection and false alarms over the zoo: ``python tests/probes/diagnosis/measure.py [--seeds N]
[NAME...]``.

Not a test: it trains a few hundred nets. Views are kept in a folder, so that a changed rule is measured in
seconds.
"""

# ruff: noqa: E402 - the folder must be importable first
from __future__ import annotations

import argparse
import collections
import pickle
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[3])]

import numpy as np
import torch
import trainings
from odd_and_ill import ODD_ILL
from odd_but_healthy import ODD
from zoo import HEALTHY, ILL

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.finding import rank
from probes.diagnosis.view import RunView

KINDS = (
    "weight_norm", "grad_norm", "update_norm", "update_ratio", "weight_std",
    "weight_nonfinite", "weight_min", "weight_max", "grad_zero_fraction",
    "activation_mean", "activation_std", "zero_fraction", "dead_fraction", "saturated_fraction",
    "activation_nonfinite", "batch_variation", "activation_grad_std",
    "activation_grad_norm", "input_mean", "input_std",
)  # fmt: skip


def recorded(folder: Path, name: str, seed: int, maker) -> RunView:
    path = folder / f"{name}-{seed}.pickle"
    if not path.exists():
        view = maker(seed)
        tables = {k: view._read_layers(k) for k in KINDS if view._read_layers(k) is not None}
        curves = {n: view._read_series(n) for n in view.series_names}
        path.write_bytes(pickle.dumps((curves, tables, view.manifest, view.last_step)))
    curves, tables, manifest, last = pickle.loads(path.read_bytes())
    return RunView(
        name=name, status="finished", last_step=last, series_names=tuple(curves), read_series=curves.get,
        read_layers=tables.get, manifest=manifest,
    )  # fmt: skip


def thinned(view: RunView) -> RunView:
    """The view with frames as `every="auto"` takes them of a fast net: at steps 1, 2, 5, 10, 20, 50, ..."""
    steps = np.unique(np.outer(10 ** np.arange(7), [1, 2, 5]))
    read = view._read_layers
    view._read_layers = lambda kind: table.at(steps) if (table := read(kind)) is not None else None
    return view


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--probes", action="store_true", help="recorded by the real probes, at their own cadence")
    parser.add_argument("--odd", action="store_true", help="the uncommon healthy trainings instead")
    parser.add_argument("--at", type=float, default=1.0, help="judge at this share of each run")
    parser.add_argument("--sparse", action="store_true", help="frames at steps 1, 2, 5, 10, 20, 50, ... only")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "babysit-zoo")
    args = parser.parse_args()
    if args.probes:
        trainings.RECORDER = trainings.ProbeRecorder
        args.folder = args.folder.with_name(args.folder.name + "-probes")
    args.folder.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    alarms, detected, first, missed = [], 0, 0, []
    runs = collections.Counter()
    took = 0.0
    for kind, zoo in (("healthy", ODD if args.odd else HEALTHY), ("ill", ODD_ILL if args.odd else ILL)):
        for name, entry in zoo.items():
            if args.names and not any(part in name for part in args.names):
                continue
            for seed in range(args.seeds):
                expected, maker = (frozenset(), entry) if kind == "healthy" else entry
                view = recorded(args.folder, name, seed, maker)
                view = thinned(view) if args.sparse else view
                view.last_step = int(view.last_step * args.at)
                view.status = "finished" if args.at >= 1 else "running"
                started = time.perf_counter()
                report = judge(view, RULES.values())
                took += time.perf_counter() - started
                runs[kind] += 1
                loud = [f for f in report.findings if rank(f.severity) >= 1]
                said = [f"{f.rule}@{f.first_step}{'!' if f.severity == 'critical' else ''}" for f in loud]
                failed = [r for r in report.not_judged if "failed" in r.reason]
                if failed:
                    print("FAILED", name, failed)
                if kind == "healthy" and loud:
                    alarms.append(f"{name}/{seed}: {said} {loud[0].message}")
                if kind == "ill":
                    hit = any(f.rule in expected for f in loud)
                    detected += hit
                    first += bool(loud) and loud[0].rule in expected
                    if not hit or args.names:
                        losses = view.series("train/loss").values
                        shown = f"{losses[0]:.3g} -> {losses[-10:].mean():.3g}"
                        missed.append(f"{name}/{seed}: {said} wanted {sorted(expected)}, loss {shown}")
    print(*("ALARM " + a for a in alarms), sep="\n")
    print(*("MISSED " + m for m in missed), sep="\n")
    print(f"healthy: {len(alarms)} of {runs['healthy']} runs with an alarm")
    print(f"ill: {detected} of {runs['ill']} detected, {first} with a right finding first; {took:.2f} s judging")


if __name__ == "__main__":
    main()
