"""What the recipes reach when they are trained to the end: measured, kept in a file, shown as a table.

A measurement belongs to what the recipe said at that time; a recipe that was changed since is measured anew.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from trainer.errors import RecipeError
from trainer.loop import train
from trainer.recipe import find_recipe, load_recipe, read_toml, recipe_names

FILE = Path(__file__).parent / "recipes" / "results.json"
NOT_TRAINED = ("title", "expect")  # what a recipe says without any effect on the training


@dataclass(frozen=True)
class Measurement:
    """What one recipe reached.

    Attributes:
        digest: of the recipe as it was.
        metric: what the scores are, "accuracy".
        scores: on the validation examples after the last epoch, of the seeds 0, 1, ...
        seconds: of one CPU core for one training, the median.
    """

    digest: str
    metric: str
    scores: tuple[float, ...]
    seconds: float


def digest(name: str) -> str:
    """Of everything in the recipe's file that the training depends on."""
    document = {key: value for key, value in read_toml(find_recipe(name)).items() if key not in NOT_TRAINED}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


def measure(name: str, seeds: int) -> Measurement:
    """Trains the recipe with the seeds 0, 1, ..., each on one core, unwatched."""
    scores, seconds, metric = [], [], ""
    for seed in range(seeds):
        recipe = load_recipe(name, [f"training.seed={seed}", "training.threads=1"])
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            outcome = train(recipe, Path(folder) / "run", watched=False)
            seconds.append(time.process_time() - start)
        if outcome.interrupted_by is not None:
            raise KeyboardInterrupt
        scores.append(round(outcome.score, 4))
        metric = outcome.metric
    return Measurement(digest(name), metric, tuple(scores), round(statistics.median(seconds), 1))


def measure_all(names: Sequence[str], seeds: int, file: Path = FILE) -> None:
    """Measures the named recipes (none: those without a valid measurement) and keeps each result at once."""
    torch.set_num_threads(1)
    for name in names:
        find_recipe(name)  # an unknown name is an error before the first training, not after an hour
    for name in names or stale(load(file)):
        print(f"{name} ...", end=" ", flush=True)
        measured = measure(name, seeds)
        save({**load(file), name: measured}, file)
        print(f"{measured.metric} {', '.join(f'{s:.3f}' for s in measured.scores)}, {measured.seconds} s", flush=True)


def stale(results: Mapping[str, Measurement]) -> list[str]:
    """Recipes that were never measured, or not as they are now."""
    return [name for name in recipe_names() if name not in results or results[name].digest != digest(name)]


def load(file: Path = FILE) -> dict[str, Measurement]:
    if not file.exists():
        return {}
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        return {n: Measurement(**{**m, "scores": tuple(m["scores"])}) for n, m in document.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RecipeError(f"{file}: not a file of results: {error}; delete it and measure again") from None


def save(results: Mapping[str, Measurement], file: Path = FILE) -> None:
    document = {name: asdict(results[name]) for name in sorted(results) if name in recipe_names()}
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def table(results: Mapping[str, Measurement]) -> str:
    """One row a recipe: what it promises, what it reached, what it cost."""
    rows = [_row(name, results.get(name)) for name in recipe_names()]
    head = "| recipe | | promised at least | reached, median | from, to | seeds | seconds |"
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows, ""])


def _row(name: str, found: Measurement | None) -> str:
    recipe = load_recipe(name)
    promised = "" if recipe.expect.at_least is None else _shown(recipe.expect.at_least)
    title = recipe.title.replace("|", "\\|")
    if found is None:
        return f"| `{name}` | {title} | {promised} | not measured | | | |"
    median = f"{_shown(statistics.median(found.scores))} ({found.metric.replace('_', ' ')})"
    spread = f"{_shown(min(found.scores))}, {_shown(max(found.scores))}"
    return f"| `{name}` | {title} | {promised} | {median} | {spread} | {len(found.scores)} | {found.seconds:g} |"


def _shown(score: float) -> str:
    return f"{100 * score:.1f}%"
