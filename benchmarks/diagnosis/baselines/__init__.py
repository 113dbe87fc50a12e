"""Published detectors of training problems, written down from their descriptions and judged on the same run logs.

They see what our own rules see. Where a criterion needs something that a run log does not hold, its docstring says what
stands for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from benchmarks.diagnosis.baselines import autotrainer, deepdiagnosis, sagemaker_debugger, umlaut
from benchmarks.diagnosis.baselines.flag import Flag
from probes.diagnosis.view import RunView

BASELINES: Mapping[str, Callable[[RunView], list[Flag]]] = MappingProxyType(
    {
        "SageMaker Debugger": sagemaker_debugger.judge,
        "AutoTrainer": autotrainer.judge,
        "DeepDiagnosis": deepdiagnosis.judge,
        "UMLAUT": umlaut.judge,
    }
)
"""Name -> judge."""

__all__ = ["BASELINES", "Flag"]
