"""Reports of finished runs."""

from spar_lightning.report.command import report
from spar_lightning.report.short_table import summarize

__all__ = ["report", "summarize"]
