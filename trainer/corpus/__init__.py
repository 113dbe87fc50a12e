"""The corpus: hundreds of short trainings, healthy and ill, on which the diagnosis is developed and measured.

``python -m trainer.corpus --out DIR`` trains what is planned in here and writes one table of the runs with their
labels. The plan has two parts, split by configuration: ``dev`` to look at while rules are written, ``locked`` to
measure them on.
"""

from trainer.corpus.plan import PARTS, Planned, planned

__all__ = ["PARTS", "Planned", "planned"]
