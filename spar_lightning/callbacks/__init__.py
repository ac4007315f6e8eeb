"""Lightning callbacks: evaluation, monitoring, checkpoints and reports, for any policy and any base."""

from spar_lightning.callbacks.checkpoints.resumable_checkpoint import ResumableCheckpoint
from spar_lightning.callbacks.finite_loss_guard import FiniteLossGuard
from spar_lightning.callbacks.offline_check import OfflineCheck
from spar_lightning.callbacks.residual_monitor import ResidualMonitor
from spar_lightning.callbacks.rollouts.rollout_evaluation import RolloutEvaluation
from spar_lightning.callbacks.run_summary import RunSummary
from spar_lightning.callbacks.tensorboard_page import TensorBoardPage
from spar_lightning.training.progress import StageProgressBar

__all__ = [
    "FiniteLossGuard",
    "OfflineCheck",
    "ResidualMonitor",
    "ResumableCheckpoint",
    "RolloutEvaluation",
    "RunSummary",
    "StageProgressBar",
    "TensorBoardPage",
]
