"""Load babysit's own `trainer` and `app` packages by file location.

Both are plain names that a user's project may well use for packages of its own. A bare ``import app`` would find
whichever comes first on sys.path; these functions always find the one that was installed beside `probes`, and leave
sys.path as it is.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

import probes
from probes.errors import BabysitError

HOME = Path(probes.__file__).resolve().parent.parent


def load(package: str) -> ModuleType:
    """Return babysit's top-level package ``package`` ("trainer" or "app"), importing it when needed.

    Afterwards ordinary imports of its submodules work, because Python looks them up through the parent package.

    Raises:
        BabysitError: the package is missing beside `probes`, or another package of that name is imported already.
    """
    loaded = sys.modules.get(package)
    if loaded is not None:
        found = Path(loaded.__file__ or "").resolve()
        if found.parent.parent != HOME:
            raise BabysitError(
                f"a package named {package!r} from {found.parent} is imported already and hides babysit's own; "
                f"run this babysit command in a process of its own"
            )
        return loaded
    spec = PathFinder.find_spec(package, [str(HOME)])
    if spec is None or spec.loader is None:
        raise BabysitError(
            f"babysit's package {package!r} is not in {HOME}; reinstall it: pip install --force-reinstall babysit"
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[package] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(package, None)
        raise
    return module
