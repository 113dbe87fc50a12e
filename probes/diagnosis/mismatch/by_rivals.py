"""Judge the two losses of a generator and a discriminator beside each other: they cannot both be won."""

from __future__ import annotations

from probes.diagnosis.finding import Evidence
from probes.diagnosis.mismatch.found import Mismatch
from probes.diagnosis.numbers import short
from probes.diagnosis.signs.rivals import WON, both_have_won
from probes.diagnosis.view import RunView

SOON = 50
"""Steps from which two losses that are gone are held against the generator's."""


def on_one_side(view: RunView) -> Mismatch | None:
    """A generator's loss that goes to nothing together with the discriminator's: it is paid for being caught."""
    both = both_have_won(view) if view.last_step >= SOON else None
    if both is None:
        return None
    return Mismatch(
        f"{both.critic} went from {short(both.critic_start)} to {short(both.critic_end)}, and {both.generator} from "
        f"{short(both.generator_start)} to {short(both.generator_end)}: what one gains the other must lose. "
        "The generator seems to be paid for what is told from the real, as the discriminator is.",
        both.since,
        evidence=(
            Evidence(both.critic, both.critic_end, WON * both.critic_start, "<", note="level in the latter half"),
            Evidence(both.generator, both.generator_end, WON * both.generator_start, "<", note="and the generator's"),
        ),
        suggestions=(
            "give the generator's step the label of the real (1): criterion(D(G(z)), ones)",
            "check the signs: the discriminator raises what the generator lowers",
        ),
    )
