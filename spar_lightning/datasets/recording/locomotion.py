"""The recordings of walking robots: which environment, which checkpoints of a behaviour, in which shares."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from gymnasium.envs.registration import EnvSpec

from spar_lightning.datasets.recording.behavior import Behavior, BehaviorPolicy, load_behavior
from spar_lightning.datasets.recording.rollout import RecordedEpisode, roll_out
from spar_lightning.simulators.environments import make_environment
from spar_lightning.simulators.reference_scores import REFERENCE_SCORES

ENVIRONMENTS = ("walker2d", "hopper", "halfcheetah")
KINDS = ("medium", "medium-replay", "medium-expert", "expert")


@dataclass(frozen=True)
class Locomotion:
    """Checkpoints of one training run, rolled out one after another."""

    dataset_id: str
    environment: str  # one of ENVIRONMENTS
    kind: str  # one of KINDS
    algorithm = "PPO"

    @property
    def reference(self) -> tuple[float, float]:
        """D4RL's."""
        return REFERENCE_SCORES[self.environment]

    @property
    def row_size(self) -> int:
        """Observation, action, reward and ends."""
        policy, _ = self.segments(1)[0]
        return len(policy.observation_mean) + policy.action_dim + 2

    def segments(self, steps: int) -> list[tuple[BehaviorPolicy, int]]:
        """The policies to roll out one after another, each with its number of transitions; they add up to `steps`."""
        behavior = load_behavior(self.environment)
        indices = self._checkpoint_indices(behavior)
        share, remainder = divmod(steps, len(indices))
        counts = [share + (position < remainder) for position in range(len(indices))]
        return [(behavior.checkpoints[index], count) for index, count in zip(indices, counts, strict=True) if count]

    def record(
        self, steps: int, seed: int, num_envs: int, report: Callable[[int], object]
    ) -> tuple[list[RecordedEpisode], EnvSpec]:
        """Play `num_envs` episodes at once."""
        environment_id = load_behavior(self.environment).environment_id
        environments = [make_environment(environment_id) for _ in range(num_envs)]
        spec = environments[0].spec
        assert spec is not None  # every environment that is made from an id has one
        episodes: list[RecordedEpisode] = []
        with contextlib.ExitStack() as closing:
            for environment in environments:
                closing.callback(environment.close)
            for policy, share in self.segments(steps):
                done, first = sum(map(len, episodes)), len(episodes)
                episodes += roll_out(
                    policy,
                    environments,
                    steps=share,
                    seed=seed,
                    first_episode=first,
                    report=lambda recorded, done=done: report(done + recorded),  # type: ignore[misc]
                )
        return episodes, spec

    def description(self, steps: int, seed: int) -> str:
        """Which behaviour, after how much training."""
        behavior = load_behavior(self.environment)
        trained = ", ".join(f"{policy.training_steps:,}" for policy, _ in self.segments(steps))
        return (
            f"{steps:,} transitions of {behavior.environment_id}, collected by spar-lightning with seed "
            f"{seed} from stochastic PPO policies (stable-baselines3, one training run with seed "
            f"{behavior.seed}, observations normalized inside the policy) after {trained} steps of training, in equal "
            "shares and in this order. The reference scores are D4RL's, defined for the -v2 environments."
        )

    def _checkpoint_indices(self, behavior: Behavior) -> tuple[int, ...]:
        return {
            "medium": (behavior.medium,),
            "medium-replay": behavior.replay,
            "medium-expert": (behavior.medium, behavior.expert),
            "expert": (behavior.expert,),
        }[self.kind]
