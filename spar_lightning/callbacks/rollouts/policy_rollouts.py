"""Rollouts of a trainer's policy, which leave no trace in its training."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import lightning.pytorch as pl
import torch

from spar_lightning.callbacks.checkpoints.random_state import unchanged_random_state
from spar_lightning.callbacks.clock import RunClock
from spar_lightning.callbacks.rollouts.background_rollouts import Unfinished
from spar_lightning.callbacks.simulator import simulated_data
from spar_lightning.evaluation import Comparison, PolicyEvaluator, bounds_for_noise, evaluate_snapshot
from spar_lightning.stopping import STOP
from spar_lightning.types import HasReferencePolicies, Policy


class PolicyRollouts:
    """The simulator of a trainer's data, open, in which its policy and the references meet the same start states.

    Args:
        trainer: the simulator is that of its data module.
        first_seed: of the first episode.

    Raises:
        EnvironmentUnavailableError: if the simulator cannot be had.
    """

    def __init__(self, trainer: pl.Trainer, first_seed: int) -> None:
        datamodule = simulated_data(trainer)
        self.environment_id = datamodule.environment_id
        self.evaluator = PolicyEvaluator(
            datamodule.make_environment,
            datamodule.reference_scores,
            trainer.global_rank,
            trainer.world_size,
            # Ranks talk to each other on their own devices; alone, double precision is had anywhere on the CPU.
            trainer.strategy.root_device if trainer.world_size > 1 else "cpu",
        )
        (self._environment,) = self.evaluator.runner.open(1)  # now rather than after an hour of training
        self.environment = repr(self._environment.spec)
        """With its time limit, arguments and wrappers: what else an episode depends on."""
        self._first_seed, self._trainer = first_seed, trainer

    def check_noise(self) -> None:
        """See that actions can be disturbed.

        Raises:
            UserError: if they are not bounded.
        """
        bounds_for_noise(self._environment)

    def evaluate(
        self, module: pl.LightningModule, num_episodes: int, clock: RunClock, action_noise: float = 0.0
    ) -> Comparison:
        """Evaluate the module's policy and its references as they are now."""
        assert isinstance(module, Policy)
        references = module.reference_policies() if isinstance(module, HasReferencePolicies) else {}
        # Several processes stop only together, and here they wait for one another.
        at_once = STOP.at_once(allowed=self._trainer.world_size == 1)
        with at_once, clock.evaluation(), unchanged_random_state(), torch.no_grad(), eval_mode(module):
            return self.evaluator.evaluate(module, references, self.seeds(num_episodes), action_noise)

    def evaluate_earlier(self, evaluation: Unfinished, num_episodes: int, clock: RunClock) -> Comparison:
        """Evaluate a policy of the past."""
        with clock.evaluation(), unchanged_random_state():
            return evaluate_snapshot(self.evaluator, evaluation.snapshot, self.seeds(num_episodes))

    def seeds(self, num_episodes: int) -> range:
        """Seeds of so many episodes; one where a training is only tried."""
        count = 1 if getattr(self._trainer, "fast_dev_run", False) else num_episodes
        return range(self._first_seed, self._first_seed + count)

    def close(self) -> None:
        """Close the environments."""
        self.evaluator.close()


@contextmanager
def eval_mode(module: torch.nn.Module) -> Generator[None]:
    """A module in eval mode, each of its parts in its own mode again afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
