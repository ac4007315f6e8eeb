"""Episodes of a policy in a simulator: one environment an episode, one policy call a step for a group of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from spar_lightning.types import Policy, UserError

FloatArray = npt.NDArray[np.floating[Any]]
Environment = gym.Env[FloatArray, FloatArray]

_AT_ONCE = 256  # environments that are open: 2 GB of the largest
_NOISE = 1  # tells the noise of an episode from its start state, which has the same seed


class Rollouts(NamedTuple):
    """What n episodes came to, in the order of their seeds."""

    seeds: list[int]
    returns: npt.NDArray[np.float64]  # (n,), undiscounted
    lengths: npt.NDArray[np.int64]  # (n,), steps
    trajectories: list[tuple[FloatArray, FloatArray]] | None  # an episode: observations (T, O) and actions (T, A)
    rewards: list[npt.NDArray[np.float64]] | None = None  # an episode: (T,), where trajectories are recorded
    terminated: npt.NDArray[np.bool_] | None = None  # (n,), false where a time limit cut the episode


def rollout(
    policy: Policy, make_environment: Callable[[], Environment], seeds: Sequence[int], record: bool = False
) -> Rollouts:
    """Run one episode for each seed in fresh environments, and close them.

    Args:
        policy: called as `act(observations (n, O)) -> actions (n, A)`; it is taken as deterministic.
        make_environment: makes one environment that ends its episodes by itself (a time limit).
        seeds: episode i starts from `reset(seed=seeds[i])`.
        record: keep the observations, actions and rewards of every step.

    Raises:
        UserError: if the policy returns a NaN or an infinite action.
    """
    with EpisodeRunner(make_environment) as runner:
        return runner.run(policy, seeds, record)


class EpisodeRunner:
    """Runs episodes, and keeps its environments open from one call to the next.

    Environments are stepped one by one rather than through `gymnasium.vector`: a vector environment starts the next
    episode of whatever has ended (autoreset), which would cost simulator time and whose rewards would have to be told
    apart from the first episode's. Here an episode that ended costs nothing any more.

    Args:
        make_environment: makes one environment; called when more episodes are asked for than ever before, up to some
            hundred, in which further ones take turns.
    """

    def __init__(self, make_environment: Callable[[], Environment]) -> None:
        self._make_environment = make_environment
        self._environments: list[Environment] = []

    def __enter__(self) -> EpisodeRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every environment; the runner can be used again and makes new ones."""
        while self._environments:
            self._environments.pop().close()

    def open(self, count: int) -> list[Environment]:
        """At least `count` environments, the first `count` of which are returned."""
        while len(self._environments) < count:
            self._environments.append(self._make_environment())
        return self._environments[:count]

    def run(self, policy: Policy, seeds: Sequence[int], record: bool = False, action_noise: float = 0.0) -> Rollouts:
        """Run one episode for each seed; see `rollout` for arguments and errors. No seeds give empty arrays.

        With `action_noise`, Gaussian noise is added to every action: its deviation as a share of half the range of
        actions, the same noise for every policy that meets the seed. Recorded are the actions that were taken.
        """
        noises = [np.random.default_rng((seed, _NOISE)) for seed in seeds]
        returns, lengths = np.zeros(len(seeds)), np.zeros(len(seeds), dtype=np.int64)
        ended = np.zeros(len(seeds), dtype=bool)
        steps: list[list[tuple[FloatArray, FloatArray]]] = [[] for _ in seeds]
        rewards: list[list[float]] = [[] for _ in seeds]
        for first in range(0, len(seeds), _AT_ONCE):
            running = list(range(first, min(first + _AT_ONCE, len(seeds))))
            environments = dict(zip(running, self.open(len(running)), strict=True))
            current = [environments[episode].reset(seed=seeds[episode])[0] for episode in running]
            while running:
                observations = np.stack(current)
                actions = policy.act(observations)
                _require_finite(actions, [seeds[episode] for episode in running], int(lengths[running[0]]))
                still_running, current = [], []
                if action_noise:
                    pairs = zip(actions, running, strict=True)
                    actions = np.stack(
                        [_disturbed(action, environments[i], action_noise, noises[i]) for action, i in pairs]
                    )
                for row, episode in enumerate(running):
                    observation, reward, terminated, truncated, _ = environments[episode].step(actions[row])
                    returns[episode] += float(reward)
                    lengths[episode] += 1
                    if record:
                        steps[episode].append((observations[row], actions[row]))
                        rewards[episode].append(float(reward))
                    ended[episode] = terminated
                    if not (terminated or truncated):
                        still_running.append(episode)
                        current.append(observation)
                running = still_running
        trajectories = [_stack(episode) for episode in steps] if record else None
        recorded = [np.array(episode) for episode in rewards] if record else None
        return Rollouts(list(seeds), returns, lengths, trajectories, recorded, ended)


def _disturbed(
    action: FloatArray, environment: Environment, action_noise: float, generator: np.random.Generator
) -> FloatArray:
    low, high = bounds_for_noise(environment)
    noise = action_noise * (high - low) / 2 * generator.standard_normal(action.shape)
    return np.clip(action + noise, low, high).astype(action.dtype)


def bounds_for_noise(environment: Environment) -> tuple[FloatArray, FloatArray]:
    """Smallest and largest actions (A,).

    Raises:
        UserError: if they are not bounded.
    """
    space = environment.action_space
    assert isinstance(space, gym.spaces.Box)
    if not space.is_bounded():
        raise UserError("`action_noise` is a share of the range of actions, which is not bounded here: leave it out")
    return space.low, space.high


def _stack(steps: list[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    observations, actions = zip(*steps, strict=True)
    return np.stack(observations), np.stack(actions)


def _require_finite(actions: FloatArray, seeds: list[int], step: int) -> None:
    # MuJoCo takes a NaN action without a word, and the episode goes on.
    if np.isfinite(actions).all():
        return
    row = int(np.argmin(np.isfinite(actions).all(axis=-1)))
    raise UserError(
        f"the policy's action at step {step} of the episode with seed {seeds[row]} is {actions[row].tolist()}, "
        "expected finite numbers: its weights or normalization statistics hold a NaN, take an earlier checkpoint"
    )
