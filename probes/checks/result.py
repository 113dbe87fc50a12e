"""What the sanity checks report: plain values, no torch, so that a report can be read anywhere."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from probes.errors import RunDirectoryError
from probes.runlog.layout import temporary_name

Status = Literal["pass", "warn", "fail", "skip"]

FILE_NAME = "checks.json"
FORMAT = "babysit-checks"
VERSION = 1


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check.

    Attributes: check: slug of the check. status: "pass"; "warn" (trains, but probably not well); "fail" (will
        not train, or trains something else than
            is meant); "skip" (does not apply, or could not be judged; the message says why).
        message: what was seen, with numbers.
        evidence: values, limits and curves behind the message; plain Python values only.
        suggestions: what to do, most promising first.
        seconds: wall-clock time the check took.
    """

    check: str
    status: Status
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    suggestions: tuple[str, ...] = ()
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict. NaN and the infinities become the strings "NaN", "Infinity" and "-Infinity"."""
        return {
            "check": self.check,
            "status": self.status,
            "message": self.message,
            "evidence": plain(self.evidence),
            "suggestions": list(self.suggestions),
            "seconds": round(self.seconds, 4),
        }


@dataclass(frozen=True)
class SanityReport:
    """The results of all checks that were asked for, in the order of the catalogue.

    Attributes:
        results: one `CheckResult` per check.
        subject: what was checked (class names of model, loss and optimizer, parameter count, batches read).
        seconds: wall-clock time of everything together.
        created: Unix time, seconds.
    """

    results: list[CheckResult]
    subject: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    created: float = field(default_factory=time.time)

    @property
    def ok(self) -> bool:
        """True when no check failed (warnings and skipped checks do not count)."""
        return all(result.status != "fail" for result in self.results)

    @property
    def clean(self) -> bool:
        """True when no check failed or warned."""
        return all(result.status in ("pass", "skip") for result in self.results)

    def __getitem__(self, slug: str) -> CheckResult:
        for result in self.results:
            if result.check == slug:
                return result
        raise KeyError(slug)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict (see `CheckResult.to_dict` for values that JSON has no number for)."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "created": self.created,
            "ok": self.ok,
            "seconds": round(self.seconds, 4),
            "subject": plain(self.subject),
            "results": [result.to_dict() for result in self.results],
        }

    def save(self, run_dir: str | os.PathLike[str]) -> Path:
        """Write the report to ``<run_dir>/checks.json``, replacing an older one atomically; returns the path.

        Raises:
            RunDirectoryError: the directory cannot be written.
        """
        directory = Path(run_dir)
        target, prepared = directory / FILE_NAME, directory / temporary_name(FILE_NAME)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            try:
                # Opened as the run's other files are, so that who may read the run may read its report.
                prepared.write_text(json.dumps(self.to_dict(), allow_nan=False, indent=1), encoding="utf-8")
                os.replace(prepared, target)
            except BaseException:
                prepared.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise RunDirectoryError(
                f"cannot write {target}: {error.strerror or error}; choose a directory that can be written"
            ) from error
        return target

    def __str__(self) -> str:
        width = max((len(result.check) for result in self.results), default=0)
        return "\n".join(f"{r.status.upper():4}  {r.check:{width}}  {r.message}" for r in self.results)


def load_report(run_dir: str | os.PathLike[str]) -> SanityReport | None:
    """The report saved in a run directory, or None when there is none.

    Raises:
        RunDirectoryError: ``checks.json`` is there but is not a report this version can read.
    """
    path = Path(run_dir) / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise RunDirectoryError(f"cannot read {path}: {error}; delete it to check anew") from error
    try:
        data = json.loads(text)
        if data["format"] != FORMAT:
            raise ValueError(f"format is {data['format']!r}")
        if data["version"] > VERSION:
            raise RunDirectoryError(
                f"{path} has format version {data['version']}, this babysit reads up to {VERSION}: update babysit"
            )
        results = [
            CheckResult(
                check=str(item["check"]),
                status=item["status"],
                message=str(item["message"]),
                evidence=dict(item["evidence"]),
                suggestions=tuple(item["suggestions"]),
                seconds=float(item["seconds"]),
            )
            for item in data["results"]
        ]
        return SanityReport(results, dict(data["subject"]), float(data["seconds"]), float(data["created"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunDirectoryError(f"{path} is not a sanity report ({error}); delete it to check anew") from error


def plain(value: Any) -> Any:
    """`value` with containers made JSON's and numbers JSON can hold; anything else becomes its text."""
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays, torch tensors
        return plain(value.tolist())
    return str(value)
