"""Option types that tasks share."""

from __future__ import annotations

from typing import Annotated

from trainer.tasks.preprocessing import STEPS
from trainer.typed import OneOf, Within

Steps = tuple[Annotated[str, OneOf(lambda: STEPS)], ...]
ValidationFraction = Annotated[float, Within(0.01, 0.9)]
