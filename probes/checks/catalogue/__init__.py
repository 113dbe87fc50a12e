"""The sanity checks: one check, one module, named by its slug; `probes.checks.registry` lists them.

A module has ``TITLE`` (the question it answers), ``FAMILY``, ``SHARE`` (weight in the time budget) and
``run(context) -> Outcome``; its docstring is its page in the documentation.
"""
