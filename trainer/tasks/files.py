"""Files of the user: found, or refused in a line that says what to do."""

from __future__ import annotations

from pathlib import Path

from trainer.errors import TaskError


def existing_file(path: str, option: str) -> Path:
    """Raises `TaskError` when ``path`` (the value of ``option``) is not a file."""
    found = Path(path).expanduser()
    if found.is_dir():
        raise TaskError(f"{option} = '{path}' is a directory, allowed: a file")
    if not found.is_file():
        raise TaskError(f"{option} = '{path}' does not exist; relative paths start at {Path.cwd()}")
    return found


def existing_folder(path: str, option: str) -> Path:
    """Raises `TaskError` when ``path`` (the value of ``option``) is not a directory."""
    found = Path(path).expanduser()
    if found.is_file():
        hint = f"; unpack it first: tar -xf {path}" if ".tar" in found.name or found.suffix in (".tgz", ".zip") else ""
        raise TaskError(f"{option} = '{path}' is a file, allowed: a directory{hint}")
    if not found.is_dir():
        raise TaskError(f"{option} = '{path}' does not exist; relative paths start at {Path.cwd()}")
    return found


def shown(names: list[str], most: int = 8) -> str:
    """A few of the names, for an error."""
    if not names:
        return "nothing"
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
