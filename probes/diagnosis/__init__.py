"""Diagnosis: a run goes in, findings come out. One rule, one module (`probes.diagnosis.rules`); NumPy
only.
"""

from probes.diagnosis.engine import diagnose
from probes.diagnosis.finding import Evidence, Finding, Severity
from probes.diagnosis.registry import RULES
from probes.diagnosis.report import NotJudgedRule, Report
from probes.diagnosis.rule import Rule

__all__ = ["RULES", "Evidence", "Finding", "NotJudgedRule", "Report", "Rule", "Severity", "diagnose"]
