"""`babysit train`: train a recipe, watched by the probes."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from probes.errors import BabysitError, InvalidArgumentError
from trainer.cross_validation import CrossValidation, cross_validate, planned
from trainer.distributed import Processes, joined
from trainer.errors import RecipeError
from trainer.faults import FAULTS
from trainer.loop import Outcome, train
from trainer.recipe import KEPT, load_recipe, recipe_names
from trainer.sections import Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="a recipe's name, or a file ending in .toml")
    parser.add_argument("--list", action="store_true", help="list the recipes and stop")
    parser.add_argument("--list-faults", action="store_true", help="list the mistakes that --fault injects and stop")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--run-dir", type=Path, metavar="DIR", help="write the run here")
    place.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        metavar="DIR",
        help="make a new run in here (default: runs)",
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override a value of the recipe, such as optimizer.lr=0.01; may be repeated",
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="short for --set training.epochs=N")
    parser.add_argument("--seed", type=int, metavar="N", help="short for --set training.seed=N")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="NAME", help="inject a mistake; may be repeated"
    )
    parser.add_argument(
        "--folds", type=int, metavar="K", help="k-fold cross-validation: one run for each fold, in one folder"
    )
    parser.add_argument("--repeats", type=int, metavar="N", help="with --folds: so many times, on other folds")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --run-dir")
    parser.add_argument("--no-probes", action="store_true", help="train unwatched (checkpoints are still written)")
    parser.add_argument(
        "--every",
        type=_cadence,
        default="auto",
        metavar="N",
        help="steps between per-layer frames (default: auto)",
    )


def run(args: argparse.Namespace) -> int:
    if args.list:
        print(list_recipes())
        return 0
    if args.list_faults:
        print(list_faults())
        return 0
    with joined() as processes:
        try:
            return _train(args, processes)
        except BabysitError:
            if processes.leads:
                raise
            return 2  # the first process says it


def _train(args: argparse.Namespace, processes: Processes) -> int:
    recipe = _recipe(args)
    run_dir = processes.first(lambda: _run_dir(args, recipe))
    folds = processes.first(lambda: _folds(args, run_dir))
    if folds is None:
        outcome = train(recipe, run_dir, watched=not args.no_probes, every=args.every, resume=args.resume)
        if processes.leads:
            print(summary(recipe, outcome, run_dir))
        return _exit_code(outcome.interrupted_by)

    def report(name: str, fold_dir: Path, outcome: Outcome) -> None:
        if processes.leads and outcome.interrupted_by is None:
            print(f"{name}: {_result(outcome)}; run: {fold_dir}", flush=True)

    done = cross_validate(
        recipe, run_dir, *folds, watched=not args.no_probes, every=args.every, resume=args.resume, report=report
    )
    if processes.leads:
        print(folds_summary(recipe, done, run_dir))
    return _exit_code(done.interrupted_by)


def list_recipes() -> str:
    """One line a recipe: its name and title."""
    names = recipe_names()
    width = max(map(len, names))
    return "\n".join(f"{name:<{width}}  {load_recipe(name).title}" for name in names)


def list_faults() -> str:
    """One line a fault: its name and what is wrong."""
    width = max(map(len, FAULTS))
    return "\n".join(f"{fault.name:<{width}}  {fault.summary}" for fault in FAULTS.values())


def new_run_dir(runs: Path, name: str) -> Path:
    """A directory that does not exist yet: ``<runs>/<name>-<date>-<time>``."""
    base = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    candidates = (runs / (base if n == 1 else f"{base}-{n}") for n in range(1, 1_000_000))
    return next(path for path in candidates if not path.exists())


def summary(recipe: Recipe, outcome: Outcome, run_dir: Path) -> str:
    """What a training ends with: one line, and one for each average of the last checkpoints."""
    what = f"{recipe.name}: {_result(outcome)}"
    how_far = f"after {outcome.epochs} epochs ({outcome.steps} steps)"
    if outcome.interrupted_by is not None:
        return f"{what} {how_far}; interrupted, continue with: babysit train --resume --run-dir {run_dir}"
    averages = [
        f"average of the {name} of the last {min(recipe.training.average_last, outcome.epochs)} epochs: "
        f"{outcome.metric} {score:.4f}, {outcome.criterion} {loss:.4f}\n"
        for name, (loss, score) in outcome.averages.items()
    ]
    return f"{''.join(averages)}{what} {how_far}; run: {run_dir}"


def folds_summary(recipe: Recipe, done: CrossValidation, folder: Path) -> str:
    """The one line a cross-validation ends with."""
    total = done.folds * done.repeats
    if done.interrupted_by is not None:
        return (
            f"{recipe.name}: {len(done.results)} of {total} folds; interrupted, continue with: "
            f"babysit train --resume --run-dir {folder}"
        )
    result = next(iter(done.results.values()))
    (score, score_std), (loss, loss_std) = done.score, done.loss
    plan = f"{done.folds} folds" + (f" x {done.repeats} repeats" if done.repeats > 1 else "")
    return (
        f"{recipe.name}, {plan}: validation {result.metric} {score:.4f} +- {score_std:.4f}, {result.criterion} "
        f"{loss:.4f} +- {loss_std:.4f} (mean and standard deviation of {total} folds); runs: {folder}"
    )


def _result(outcome: Outcome) -> str:
    return f"validation {outcome.metric} {outcome.score:.4f}, {outcome.criterion} {outcome.loss:.4f}"


def _exit_code(interrupted_by: int | None) -> int:
    return 0 if interrupted_by is None else 128 + interrupted_by


def _run_dir(args: argparse.Namespace, recipe: Recipe) -> Path:
    """Where the run goes: named, or a new one."""
    run_dir = args.run_dir or new_run_dir(args.runs, recipe.name)
    if run_dir.exists() and not run_dir.is_dir():
        raise InvalidArgumentError(f"--run-dir {run_dir} is a file; name a directory")
    if not args.resume and (run_dir / KEPT).exists():
        raise InvalidArgumentError(f"{run_dir} holds a run already; add --resume to continue it, or name another")
    return run_dir


def _folds(args: argparse.Namespace, run_dir: Path) -> tuple[int, int] | None:
    """(folds, repeats) that are asked for, or that are to be resumed; None: an ordinary training."""
    for option, value, least in (("--folds", args.folds, 2), ("--repeats", args.repeats, 1)):
        if value is not None and value < least:
            raise InvalidArgumentError(f"{option} {value}; allowed: a whole number from {least}")
    if args.folds is not None:
        return args.folds, args.repeats or 1
    if args.repeats is not None:
        raise InvalidArgumentError("--repeats repeats the folds; say how many with --folds")
    return planned(run_dir) if args.resume else None


def _recipe(args: argparse.Namespace) -> Recipe:
    overrides = list(args.overrides)
    if args.epochs is not None:
        overrides.append(f"training.epochs={args.epochs}")
    if args.seed is not None:
        overrides.append(f"training.seed={args.seed}")
    if args.fault:
        overrides.append(f"faults.names={json.dumps(args.fault)}")
    if args.resume and args.run_dir is None:
        raise InvalidArgumentError("--resume needs --run-dir: the directory of the run to continue")
    if args.recipe is not None:
        return load_recipe(args.recipe, overrides)
    if args.resume:
        kept = load_recipe(str(args.run_dir / KEPT), overrides)
        return replace(kept, name=args.run_dir.resolve().name)
    raise RecipeError(f"no recipe named; allowed: {', '.join(recipe_names())}, or a file ending in .toml")


def _cadence(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        every = int(text)
    except ValueError:
        every = 0
    if every < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, allowed: auto, or a whole number of steps from 1")
    return every
