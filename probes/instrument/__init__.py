"""The instruments: hooks -> statistics -> records. `watch` attaches a `Probe` to a training."""

from probes.instrument.attach import watch
from probes.instrument.probe import Probe

__all__ = ["Probe", "watch"]
