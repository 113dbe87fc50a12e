"""Independent training programs, healthy and faulty, on which the diagnosis is tried as a stranger would.

Each is a loop of its own around `probes.watch`, not a recipe of the trainer. They were written without looking at a
rule's thresholds. Half of them, by a hash of the name, are locked: their verdicts are counted, and nobody looks into
them. Further sets came later, each by authors who
had not read the rules and named after its modules: `fresh_*`, written when the rules stood, `second_*` while rules were
mended for the fresh ones, `third_*`, `fourth_*` (what is met most often), `fifth_*`, `sixth_*` and `seventh_*` (again
what is met most often), `eighth_*` (common mistakes in uncommon nets, and health that looks ill) and `ninth_*` (an
ordinary day). What was said of each program at first sight is kept.
"""

from __future__ import annotations

from benchmarks.diagnosis.programs import (  # noqa: F401 - importing them registers their programs
    eighth_bugs_one,
    eighth_bugs_two,
    eighth_odd_health,
    eighth_ports_one,
    eighth_ports_two,
    eighth_textbook,
    faulty_heads,
    faulty_settings,
    faulty_wiring,
    fifth_bugs_data,
    fifth_bugs_fields,
    fifth_bugs_loops,
    fifth_bugs_losses,
    fifth_bugs_nets,
    fifth_bugs_rates,
    fifth_classic,
    fifth_makers,
    fifth_numbers,
    fifth_odd,
    fifth_players,
    fifth_strangers,
    fourth_bugs_layers,
    fourth_bugs_rates,
    fourth_bugs_targets,
    fourth_classes,
    fourth_rows,
    fourth_values,
    fresh_bugs_data,
    fresh_bugs_heads,
    fresh_bugs_loops,
    fresh_objectives,
    fresh_optimizers,
    fresh_regimes,
    healthy_generative,
    healthy_images,
    healthy_sequences,
    healthy_tables,
    ninth_bugs,
    ninth_everyday,
    second_bugs,
    second_papers,
    second_ports,
    second_textbook,
    second_traps,
    seventh_bugs_four,
    seventh_bugs_one,
    seventh_bugs_three,
    seventh_bugs_two,
    seventh_plain,
    seventh_strange,
    sixth_bugs_four,
    sixth_bugs_one,
    sixth_bugs_three,
    sixth_bugs_two,
    sixth_classes,
    sixth_unusual,
    sixth_values,
    third_bugs_data,
    third_bugs_games,
    third_bugs_heads,
    third_bugs_modes,
    third_bugs_optimizers,
    third_bugs_quiet,
    third_bugs_rates,
    third_bugs_starts,
    third_bugs_wiring,
    third_generators,
    third_images,
    third_language,
    third_optimizers,
    third_regimes,
    third_scripts,
    third_series,
    third_structures,
    third_tables,
)
from benchmarks.diagnosis.programs.program import PROGRAMS, Program

__all__ = ["PROGRAMS", "Program"]
