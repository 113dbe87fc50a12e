"""The manifest ``run.json``: what the run is, as one JSON object, replaced atomically."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from probes.errors import RunDirectoryError
from probes.runlog.layout import FORMAT, FORMAT_VERSION, MANIFEST, temporary_name

Manifest = dict[str, Any]

# What every reader relies on; anything else in its place is passed over.
_SHAPES: dict[str, type] = {"config": dict, "model": dict, "environment": dict, "sessions": list}


def encode_json(value: object) -> bytes:
    """JSON of ``value``; NumPy arrays and scalars are written as numbers, anything unknown as its ``str``."""
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS | orjson.OPT_INDENT_2
    return orjson.dumps(value, default=str, option=options)


def replace_file(path: Path, content: bytes) -> None:
    """Write ``content`` so that a reader (or a power cut) finds the old file or the new one, never half of
    one.

    Raises:
        OSError: nothing was replaced.
    """
    temporary = path.with_name(temporary_name(path.name))
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def write_manifest(run_dir: Path, manifest: Mapping[str, Any]) -> None:
    """Replace ``run.json``. Raises OSError."""
    replace_file(run_dir / MANIFEST, encode_json(manifest))


def read_manifest(run_dir: Path) -> Manifest:
    """The manifest of the run in ``run_dir``.

    Raises:
        RunDirectoryError: there is none, it cannot be read, it is not ours, or its format is newer than this
            reader.
    """
    path = run_dir / MANIFEST
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if not run_dir.exists():
            raise RunDirectoryError(f"{run_dir}: no such run directory") from None
        raise RunDirectoryError(f"{run_dir}: not a run directory (it holds no {MANIFEST})") from None
    except NotADirectoryError:
        raise RunDirectoryError(f"{run_dir}: not a run directory but a file") from None
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be read: {error.strerror or error}") from error
    return parse_manifest(content, path)


def parse_manifest(content: bytes, path: Path) -> Manifest:
    """``content`` of the manifest at ``path``. Raises RunDirectoryError as `read_manifest` does."""
    try:
        manifest = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise RunDirectoryError(f"{path}: damaged: not valid JSON ({error})") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise RunDirectoryError(f"{path}: not a babysit manifest (its `format` is not {FORMAT!r})")
    version = manifest.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise RunDirectoryError(f"{path}: damaged: `version` is {version!r}, expected a whole number")
    if version > FORMAT_VERSION:
        raise RunDirectoryError(
            f"{path}: written in format version {version}, this babysit reads up to {FORMAT_VERSION}: "
            "install a newer babysit"
        )
    for key, kind in _SHAPES.items():
        if not isinstance(manifest.get(key), kind):
            manifest[key] = kind()
    manifest["sessions"] = [session for session in manifest["sessions"] if isinstance(session, dict)]
    return manifest
