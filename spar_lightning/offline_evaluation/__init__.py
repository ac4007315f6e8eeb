"""Decisions without a simulator: fitted Q evaluation, distance to the data, and a verdict in words."""

from spar_lightning.offline_evaluation.evaluate import evaluate_offline
from spar_lightning.offline_evaluation.fitted_q import Settings
from spar_lightning.offline_evaluation.ranking import ranking
from spar_lightning.offline_evaluation.text import evaluation_as_text, ranking_as_text, summary_lines
from spar_lightning.offline_evaluation.verdict import verdict

__all__ = [
    "Settings",
    "evaluate_offline",
    "evaluation_as_text",
    "ranking",
    "ranking_as_text",
    "summary_lines",
    "verdict",
]
