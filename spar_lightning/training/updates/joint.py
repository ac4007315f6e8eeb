"""Updates as tensors alone, without Lightning: of seeds together, or of one training."""

from __future__ import annotations

from collections.abc import Sequence

from spar_lightning.algorithms import Batch, Metrics
from spar_lightning.replay import Minibatches
from spar_lightning.training.updates.batched import BatchedExecution
from spar_lightning.training.updates.captured import CapturedExecution
from spar_lightning.training.updates.stack import Training


def joint_execution(seeds: Sequence[Training]) -> BatchedExecution:
    """What makes the updates of seeds together: captured where those of each can be."""
    return CapturedExecution(seeds) if all(seed.captures for seed in seeds) else BatchedExecution(seeds)


class ByItself:
    """The execution of one training's updates, with nobody to wait for.

    Args:
        training: the one.
    """

    def __init__(self, training: Training) -> None:
        self.together = joint_execution([training])

    def run(self, minibatches: Minibatches, update: int) -> tuple[Metrics, Batch]:
        """Make updates."""
        (told,) = self.together.run([minibatches], update)
        return told
