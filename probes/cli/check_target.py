"""From the TARGET of `babysit check` to the arguments of `probes.check`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from probes.cli import siblings
from probes.errors import BabysitError

EXPECTED = "expected (model, loss_fn, data) or a dict of probes.check's arguments"
TRACEBACK_LINES = 6


class TargetError(BabysitError):
    """TARGET cannot be loaded, or does not return what a check needs."""


def load_target(target: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The keyword arguments for `probes.check` that TARGET stands for.

    A TARGET without ":" that is no .py file is a recipe's name or a .toml file; otherwise it is ``file.py:function`` or
    ``package.module:function``. ``overrides`` are a recipe's, as ``babysit train --set`` takes them.

    Raises:
        BabysitError: one line that names the file, the function, what was found and what is expected.
    """
    if target.endswith(".toml") or (":" not in target and not target.endswith(".py")):
        return _recipe(target, overrides)
    if overrides:
        raise TargetError(f"--set and --fault change a recipe; {target} is code of yours: change it there")
    value, source, function_name = call_target(target)
    return _arguments(value, source, function_name)


def call_target(target: str) -> tuple[Any, str, str]:
    """Calls ``file.py:function`` or ``package.module:function``, without arguments.

    Returns what the function returned, its file or module, and its name. Raises `TargetError`, one line that
    says what cannot be found, or where the user's code failed.
    """
    source, separator, function_name = target.rpartition(":")
    if not separator and target.endswith(".py"):
        raise TargetError(f"{target} is a file: say which function of it, as {target}:FUNCTION")
    if not source or not function_name.isidentifier():
        raise TargetError(f"{target!r} is not a target: expected RECIPE, package.module:function or file.py:function")
    module = _load_file(source) if source.endswith(".py") else _load_module(source)
    return _call(_function(module, source, function_name), source, function_name), source, function_name


def _recipe(name: str, overrides: Sequence[str]) -> dict[str, Any]:
    siblings.load("trainer")
    targets = importlib.import_module("trainer.targets")
    return _arguments(targets.check_target(name, overrides), "the recipe", name)


def _load_file(source: str) -> ModuleType:
    path = Path(source).resolve()
    if not path.is_file():
        raise TargetError(f"there is no file {source}: check the path (it is relative to {Path.cwd()})")
    # As for a script: what lies beside the file can be imported from it.
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{source} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    # Registered, as an import would do: dataclasses, pickling and DataLoader workers look a module up by
    # name. A name that is taken already (the file may be called torch.py) keeps its owner.
    sys.modules.setdefault(path.stem, module)
    _guard(lambda: spec.loader.exec_module(module), f"importing {source}")  # type: ignore[union-attr]
    return module


def _load_module(name: str) -> ModuleType:
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does: the current directory's packages can be found
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError) as error:
        raise TargetError(f"there is no module {name} ({error}); run from the directory that holds it") from error
    if found is None:
        raise TargetError(f"there is no module {name}; run from the directory that holds it, or give file.py:function")
    module: ModuleType = _guard(lambda: importlib.import_module(name), f"importing {name}")
    return module


def _function(module: ModuleType, source: str, name: str) -> Callable[..., Any]:
    function = getattr(module, name, None)
    if function is None:
        there = [key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")]
        known = f"it has {', '.join(there[:8])}" if there else "it has no functions"
        raise TargetError(f"{source} has no function {name!r}: {known}")
    if not callable(function):
        raise TargetError(f"{name} in {source} is a {type(function).__name__}, expected a function")
    return function  # type: ignore[no-any-return]


def _call(function: Callable[..., Any], source: str, name: str) -> Any:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise TargetError(f"{name}() in {source} must be callable without arguments: {error}") from error
    except ValueError:
        pass  # a builtin without a signature: calling it will tell
    return _guard(function, f"calling {name}() in {source}")


def _arguments(value: Any, source: str, name: str) -> dict[str, Any]:
    where = f"{name} in {source}" if source == "the recipe" else f"{name}() in {source}"
    if isinstance(value, Mapping):
        arguments = dict(value)
        from probes.checks.engine import check

        allowed = [key for key in inspect.signature(check).parameters if key not in ("progress", "clock")]
        unknown = sorted(str(key) for key in arguments if key not in allowed)
        missing = [key for key in ("model", "loss_fn", "data") if key not in arguments]
        if missing:
            raise TargetError(f"{where} returned a dict without {', '.join(missing)}; {EXPECTED}")
        if unknown:
            raise TargetError(f"{where} returned unknown arguments {', '.join(unknown)}; allowed: {', '.join(allowed)}")
        return arguments
    if isinstance(value, (tuple, list)) and len(value) == 3:
        return dict(zip(("model", "loss_fn", "data"), value, strict=True))
    what = f"{len(value)} things" if isinstance(value, (tuple, list)) else f"a {type(value).__name__}"
    raise TargetError(f"{where} returned {what if value is not None else 'nothing (None)'}; {EXPECTED}")


def _guard(action: Callable[[], Any], doing: str) -> Any:
    """Run the user's code; an exception in it is reported with the last lines of its own traceback."""
    try:
        return action()
    except BabysitError:
        raise
    except (Exception, SystemExit) as error:
        print(_own_traceback(error), file=sys.stderr)
        raise TargetError(f"{doing} raised {type(error).__name__}: {error} (traceback above)") from error


def _own_traceback(error: BaseException) -> str:
    """The last lines of the traceback, without babysit's own frames and the import machinery."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and "importlib" not in frame.filename
    ]
    return "".join(traceback.format_list(frames[-TRACEBACK_LINES:])).rstrip()
