"""Diagnosis of a run while it goes on: on a thread of its own, at a bounded cost, each finding told once."""

from probes.diagnosis.live.options import LiveOptions, live_options
from probes.diagnosis.live.watcher import LiveDiagnosis

__all__ = ["LiveDiagnosis", "LiveOptions", "live_options"]
