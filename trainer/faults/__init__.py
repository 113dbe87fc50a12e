"""Named mistakes that can be injected in any recipe they fit. Importing this package registers them all."""

from trainer.faults import data, numerics, settings, wiring
from trainer.faults.base import FAULTS, Fault, fault_named

__all__ = ["FAULTS", "Fault", "data", "fault_named", "numerics", "settings", "wiring"]
