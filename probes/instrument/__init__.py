"""The instruments: hooks -> statistics -> records. `watch` attaches a `Probe` to a training."""

from probes.instrument.probe import Probe
from probes.instrument.watch import watch

__all__ = ["Probe", "watch"]
