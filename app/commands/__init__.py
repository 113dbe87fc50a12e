"""The commands of `babysit` that need the dashboard's packages; `probes.cli` finds and runs them."""
