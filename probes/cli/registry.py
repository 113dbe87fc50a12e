"""The commands of `babysit`, by name. Listing them imports none of them.

A command module has ``add_arguments(parser)`` and ``run(args) -> int`` (the exit code).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType

from probes.cli import siblings
from probes.errors import MissingDependencyError

# What each extra brings, by import name: turns an ImportError into the pip command that mends it.
_EXTRAS = {
    "streamlit": "dashboard",
    "plotly": "dashboard",
    "watchdog": "dashboard",
    "starlette": "dashboard",
    "torch": "train",
    "sklearn": "train",
    "skimage": "train",
    "tqdm": "train",
}


@dataclass(frozen=True)
class Command:
    """One subcommand: its name, its module, and the line that `babysit --help` shows."""

    name: str
    module: str
    help: str

    def load(self) -> ModuleType:
        """Import the command's module. Raises ModuleNotFoundError when an extra is not installed."""
        package = self.module.partition(".")[0]
        if package != "probes":
            siblings.load(package)
        return importlib.import_module(self.module)


def missing_extra(command: str, error: ModuleNotFoundError) -> MissingDependencyError | None:
    """The pip command that mends ``error``; None when the missing module belongs to no extra of ours."""
    missing = (error.name or "").partition(".")[0]
    if missing not in _EXTRAS:
        return None
    return MissingDependencyError(
        f"babysit {command} needs the package {missing!r}, which is not installed; "
        f"run: pip install 'babysit[{_EXTRAS[missing]}]'"
    )


COMMANDS: tuple[Command, ...] = (
    Command("demo", "probes.cli.demo", "train a real network and open the dashboard beside it"),
    Command("train", "trainer.commands.train", "train a recipe of the reference trainer"),
    Command("dashboard", "app.commands.dashboard", "serve the dashboard for a directory of runs"),
    Command("report", "app.commands.report", "write one self-contained HTML page about a run"),
    Command("run", "probes.cli.run", "run a training script as it is, watched"),
    Command("check", "probes.cli.check", "sanity checks before training: model, loss, data, optimizer"),
    Command("diagnose", "probes.cli.diagnose", "say what is wrong with a recorded or running training"),
    Command("rules", "probes.cli.rules", "list the diagnosis rules"),
    Command("explain", "probes.cli.explain", "explain a rule or a check"),
)
