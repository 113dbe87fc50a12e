"""The errors babysit raises on purpose: one line that says what is wrong, where, and what to do about it.

Every command turns a `BabysitError` into that one line on stderr and exit code 2, without a traceback.
"""


class BabysitError(Exception):
    """Base of all errors meant for the user."""


class RunDirectoryError(BabysitError):
    """A path is not a run directory, holds a newer format, or cannot be read."""


class RunInUseError(RunDirectoryError):
    """Another live process (or probe) is writing to this run directory."""


class UnknownNameError(BabysitError, LookupError):
    """A series, layer, kind, rule, check or recipe that does not exist was asked for."""


class InvalidArgumentError(BabysitError, ValueError):
    """An argument has a value that cannot be meant."""


class MetricError(BabysitError, TypeError):
    """A metric given to `Probe.log` is not one real number, or its name cannot be used."""


class MissingDependencyError(BabysitError, ImportError):
    """An optional part was asked for and its packages are not installed."""


class StopTraining(BabysitError):
    """The run ends itself: a finding that `watch(..., stop_on=...)` names is there. Raised at the end of a step.

    ``with probes.watch(...)`` ends by it and goes on behind the block; elsewhere it is the loop's to catch.
    """


class SanityCheckError(BabysitError):
    """A check that `watch(..., check_first=...)` asked for failed: the training has not begun."""
