"""`watch`: attaches a probe to a model, after looking whether it was called as it can be meant."""

from __future__ import annotations

import numbers
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from probes.errors import InvalidArgumentError, RunDirectoryError
from probes.instrument import manifest
from probes.instrument.engine import Engine
from probes.instrument.environment import describe_environment
from probes.instrument.exits import describe_exception
from probes.instrument.first_check import check_arguments
from probes.instrument.first_check import check_first as run_checks
from probes.instrument.governor import Every, Governor, LogSpacedThenEvery, Schedule
from probes.instrument.parameters import Watchlist, list_parameters
from probes.instrument.probe import Probe
from probes.instrument.sharding import Meeting, rank_and_size, shard_ranks
from probes.instrument.wrappers import unwrap
from probes.runlog.manifest import read_manifest
from probes.runlog.writer import RunWriter

if TYPE_CHECKING:
    from probes.diagnosis import Finding
    from probes.diagnosis.live.options import LiveOptions
    from probes.instrument.oversight import Oversight

# With shards all processes must take the same frames, whatever time each of them measures.
_SHARDED_CADENCE = 100


def watch(
    model: nn.Module,
    optimizer: Optimizer | Iterable[Optimizer] | None = None,
    run_dir: str | Path | None = None,
    *,
    loss_fn: Callable[..., Any] | None = None,
    config: Mapping[str, Any] | object | None = None,
    every: int | str = "auto",
    budget: float = 0.03,
    name: str | None = None,
    step: int | None = None,
    on_finding: Callable[[Finding], object] | None = None,
    alerts: Iterable[str] = (),
    stop_on: Iterable[str] = (),
    cool_down: float = 600.0,
    check_first: tuple[Callable[..., Any], Any] | Mapping[str, Any] | None = None,
) -> Probe:
    """Attaches a probe to a training.

    Args:
        model: the model as it is trained (also wrapped in DDP, or compiled).
        optimizer: one or several; None follows every optimizer that steps parameters of the model.
        run_dir: where the run is recorded; None makes ``runs/<time>-<name of the model's class>``. A
            directory that holds an ended run is continued.
        loss_fn: the loss, when outputs and targets are to be looked at: a module is watched as it is, any
            other function through ``probe.loss_fn``.
        config: settings worth knowing later, e.g. ``{"lr": 0.1}``, an ``argparse.Namespace`` or a dataclass
            instance.
        every: take per-layer frames at every so many steps, or "auto": as often as ``budget`` allows.
        budget: share of the loop's own time that the probes may take, 0.001 to 1.
        name: of the run, for people; the name of its directory otherwise.
        step: the step a continued run goes on from; what was recorded beyond it is superseded.
        on_finding: called with each `Finding` at warning or above, once when it is first seen and again when it
            comes back after it was over. On a thread of its own: what it raises is said once and goes no further.
        alerts: notification addresses (``"mailto://..."``, ``"slack://..."``, see
            https://github.com/caronc/apprise/wiki) that get the same; needs ``babysit[alerts]``.
        stop_on: slugs of the rules whose finding (at warning or above, and still so) ends the run: `StopTraining` is
            raised at the end of a step, and ``with watch(...)`` ends by it without an error. Off by default.
        cool_down: seconds between two tellings of the same finding.
        check_first: ``(loss_fn, data)``, or a dict of `probes.check`'s arguments (``{"data": loader, "budget": 20}``,
            with the ``loss_fn`` of this call): runs the sanity checks before anything is attached, and saves their
            report with the run. Warnings are logged; a run that is continued is not checked again.

    Raises:
        InvalidArgumentError: an argument cannot be meant, or an address is not understood.
        UnknownNameError: ``stop_on`` names a rule that does not exist.
        MissingDependencyError: alerts are asked for and apprise is not installed.
        SanityCheckError: a check that ``check_first`` asked for failed; the run is recorded as "crashed".
        RunInUseError: another live process (or probe) writes to this directory.
        RunDirectoryError: the directory cannot be written, or holds something else.
    """
    watchlist = _check_model(model)
    optimizers = _check_optimizers(optimizer, watchlist)
    schedule = _schedule(every, budget)
    _check_loss(loss_fn)
    settings = manifest.settings_of(config) if config is not None else {}
    if settings is None:
        raise InvalidArgumentError(f"config must be a mapping such as {{'lr': 0.1}}, not a {type(config).__name__}")
    if name is not None and not isinstance(name, str):
        raise InvalidArgumentError(f"name must be a text, not a {type(name).__name__}")
    if step is not None and (not isinstance(step, numbers.Integral) or isinstance(step, bool) or step < 0):
        raise InvalidArgumentError(f"step must be a whole number from 0, not {step!r}")
    to_check = check_arguments(check_first, loss_fn)
    live = _live_options(on_finding, alerts, stop_on, cool_down)
    given_dir = _check_run_dir(run_dir) if run_dir is not None else None
    rank, size = rank_and_size()
    meeting = Meeting() if size > 1 else None
    folder = given_dir if given_dir is not None else _common_run_dir(model, meeting)
    sharded = size > 1 and any(shard_ranks(t) for t in watchlist.tensors)
    if sharded and to_check is not None:
        raise InvalidArgumentError(
            "check_first cannot look at a model that is spread over processes (FSDP): check it before it is sharded"
        )
    if isinstance(schedule, Governor) and sharded:
        schedule = LogSpacedThenEvery(_SHARDED_CADENCE)
    device = watchlist.tensors[0].device if watchlist.tensors else torch.device("cpu")
    facts: dict[str, object] = {
        "name": manifest.plain(name or folder.resolve().name),
        "config": manifest.plain(settings),
        "model": manifest.describe_model(model, watchlist, [], {}, watchlist.notes),
        "optimizers": manifest.describe_optimizers(optimizers, watchlist),
        "loss": manifest.describe_loss(loss_fn),
        "recognised_loss": None,
        "data": {},
        "environment": manifest.plain(describe_environment(device)),
        "every": manifest.plain(every),
        "budget": float(budget),
    }

    def reopen(start: int) -> RunWriter:
        known = {**facts, **_learned(folder)} if rank == 0 else facts
        return RunWriter(folder, known, rank=rank, start_step=start)

    writer = RunWriter(folder, facts, rank=rank, start_step=None if step is None else int(step))
    if to_check is not None:
        try:
            run_checks(model, optimizers, writer, to_check, meeting)
        except BaseException as error:
            writer.close("crashed", describe_exception(error))
            raise
    try:
        engine = Engine(model, optimizers, writer, schedule, writer.start_step, loss_fn, meeting)
    except BaseException:
        writer.close("crashed", "the probe could not be attached")
        raise
    return Probe(engine, reopen, loss_fn, _oversight(engine, live, float(budget), meeting))


def _live_options(on_finding: object, alerts: object, stop_on: object, cool_down: object) -> LiveOptions | None:
    """What is asked for; the rules are imported only where something is."""
    if on_finding is None and alerts == () and stop_on == () and cool_down == 600.0:
        return None
    from probes.diagnosis.live.options import live_options

    return live_options(on_finding, alerts, stop_on, cool_down)


def _oversight(engine: Engine, options: LiveOptions | None, budget: float, meeting: Meeting | None) -> Oversight | None:
    if options is None:
        return None
    from probes.instrument.oversight import Oversight

    return Oversight(engine, options, budget, meeting)


def _check_model(model: object) -> Watchlist:
    if not isinstance(model, nn.Module):
        raise InvalidArgumentError(f"model must be a torch.nn.Module, not a {type(model).__name__}")
    if next(model.parameters(), None) is None:
        raise InvalidArgumentError(
            f"model {type(model).__name__} has no parameters: there is nothing to train or watch"
        )
    return list_parameters(model)


def _check_optimizers(given: object, watchlist: Watchlist) -> list[Optimizer]:
    if given is None:
        return []
    candidates = [given] if isinstance(given, Optimizer) else given
    if not isinstance(candidates, Iterable):
        raise InvalidArgumentError(
            f"optimizer must be a torch optimizer or several, not a {type(given).__name__}{_remedy(given)}"
        )
    optimizers: list[Optimizer] = []
    for number, candidate in enumerate(candidates):
        if not isinstance(candidate, Optimizer):
            raise InvalidArgumentError(
                f"optimizer {number} must be a torch.optim.Optimizer, "
                f"not a {type(candidate).__name__}{_remedy(candidate)}"
            )
        candidate = _with_hooks(candidate)
        if not any(id(p) in watchlist.numbers for group in candidate.param_groups for p in group["params"]):
            raise InvalidArgumentError(
                f"optimizer {type(candidate).__name__} holds none of the model's parameters: "
                "build it from the parameters of the model that is watched (after moving or wrapping it)"
            )
        optimizers.append(candidate)
    if not optimizers:
        raise InvalidArgumentError("optimizer is empty: give one or several, or None to follow any that steps")
    return optimizers


def _remedy(given: object) -> str:
    steps = callable(getattr(given, "step", None))
    return ": give the torch optimizer inside it, or None to follow any that steps" if steps else ""


def _with_hooks(optimizer: Optimizer) -> Optimizer:
    """The optimizer itself or, where it only wraps one and never was initialised as one, that one."""
    inner: object = optimizer
    for _ in range(10):
        if not isinstance(inner, Optimizer):
            break
        if hasattr(inner, "_optimizer_step_pre_hooks"):
            return inner
        inner = getattr(inner, "optimizer", None) or getattr(inner, "base_optimizer", None)
    raise InvalidArgumentError(
        f"optimizer {type(optimizer).__name__} never called Optimizer.__init__ and cannot be followed: "
        "give the torch optimizer inside it, or None to follow any that steps"
    )


def _check_loss(loss_fn: object) -> None:
    if isinstance(loss_fn, type):
        home = "nn." if getattr(nn, loss_fn.__name__, None) is loss_fn else ""
        raise InvalidArgumentError(
            f"loss_fn is the class {loss_fn.__name__}: give an instance: {home}{loss_fn.__name__}()"
        )
    if loss_fn is not None and not callable(loss_fn):
        raise InvalidArgumentError(f"loss_fn must be a function or a module, not a {type(loss_fn).__name__}")


def _check_run_dir(given: object) -> Path:
    path = os.fspath(given) if isinstance(given, (str, os.PathLike)) else None
    if not isinstance(path, str):
        raise InvalidArgumentError(f"run_dir must be a path, not a {type(given).__name__}")
    if not path.strip():
        raise InvalidArgumentError("run_dir is empty: give a directory, or None for a new one in runs/")
    try:
        usable = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise InvalidArgumentError(f"run_dir {path!r} cannot be a path: it holds a character no file name can have")
    return Path(path)


def _learned(folder: Path) -> dict[str, object]:
    """What the manifest knows by now beyond what was known when the probe was attached."""
    try:
        known = read_manifest(folder)
    except (OSError, RunDirectoryError):
        return {}  # the writer that is opened next meets the same obstacle, and says so
    return {key: known[key] for key in ("model", "optimizers", "data", "loss", "recognised_loss") if key in known}


def _schedule(every: object, budget: object) -> Schedule:
    if isinstance(budget, bool) or not isinstance(budget, numbers.Real) or not 0.001 <= float(budget) <= 1:
        raise InvalidArgumentError(f"budget must be a share of step time from 0.001 to 1, not {budget!r}")
    if isinstance(every, str) and every == "auto":
        return Governor(float(budget))
    if isinstance(every, bool) or not isinstance(every, numbers.Integral) or every < 1:
        raise InvalidArgumentError(f'every must be "auto" or a whole number of steps from 1, not {every!r}')
    return Every(int(every))


def _common_run_dir(model: nn.Module, meeting: Meeting | None) -> Path:
    """A new run directory, the same for all processes that train together."""
    if meeting is None:
        return _new_run_dir(model)
    name = meeting.agree("run_dir", str(_new_run_dir(model).resolve()) if meeting.rank == 0 else None)
    return Path(name) if name is not None else _new_run_dir(model)


def _new_run_dir(model: nn.Module) -> Path:
    """``runs/<time>-<class>``, numbered when it exists already."""
    label = type(unwrap(model)).__name__
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{label}"
    for number in range(1, 10_000):
        folder = Path("runs") / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise InvalidArgumentError(
                f"no run can be made in {Path('runs').resolve()}: {error.strerror}; give run_dir="
            ) from error
        return folder
    raise InvalidArgumentError(f"{Path('runs').resolve()} holds too many runs of this second; give run_dir=")
