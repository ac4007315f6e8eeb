"""Evaluation in simulators: rollouts, scores, paired comparison, and drift from the data's manifold."""

from spar_lightning.evaluation.background import BackgroundEvaluator, Snapshot, evaluate_snapshot
from spar_lightning.evaluation.comparison import Comparison, Improvement, PolicyEvaluator, Scores
from spar_lightning.evaluation.drift import change_by_reach, normal_drift, split_change
from spar_lightning.evaluation.metrics import EpisodeScores, PairedImprovement, ResidualStatistics
from spar_lightning.evaluation.rollout import EpisodeRunner, Rollouts, bounds_for_noise, rollout
from spar_lightning.evaluation.scores import normalized_score

__all__ = [
    "BackgroundEvaluator",
    "Comparison",
    "EpisodeRunner",
    "EpisodeScores",
    "Improvement",
    "PairedImprovement",
    "PolicyEvaluator",
    "ResidualStatistics",
    "Rollouts",
    "Scores",
    "Snapshot",
    "bounds_for_noise",
    "change_by_reach",
    "evaluate_snapshot",
    "normal_drift",
    "normalized_score",
    "rollout",
    "split_change",
]
