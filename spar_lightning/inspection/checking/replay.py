"""Playing logged actions again, in the installed simulator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import EnvSpec

from spar_lightning.datasets.dataset import Episode
from spar_lightning.inspection.checking.hand_starts import HAND_STARTS
from spar_lightning.inspection.checking.state_layout import state_layout
from spar_lightning.simulators.environments import make_environment
from spar_lightning.simulators.observations import default_keys
from spar_lightning.types import DataError

FloatArray = npt.NDArray[np.float32]

_START_TOLERANCE = 1e-3  # largest difference of a rebuilt first observation from the logged one, in its own units


class Outcome(NamedTuple):
    """What one action led to."""

    next_observation: FloatArray  # (O,)
    reward: float
    terminated: bool


class Replay(ABC):
    """An environment that is put into logged states, and takes the actions that were logged there.

    Args:
        environment: made for the data, with vectors as observations, and reset once.
    """

    method: str  # what is replayed, in words
    horizon: int | None = None  # steps from the start of an episode that can be replayed, None for any
    tells_rewards = True  # whether the observations hold all that rewards and terminations depend on

    def __init__(self, environment: gym.Env[Any, Any]) -> None:
        self.environment = environment

    @abstractmethod
    def outcomes(self, episode: Episode, steps: Sequence[int]) -> Iterator[tuple[int, Outcome | str]]:
        """Replay some steps of an episode, in ascending order: what each led to, or why it cannot be replayed."""

    def check_dimensions(self, name: str, observation_dim: int, action_dim: int) -> None:
        """Refuse a data set of other sizes.

        Raises:
            DataError: observations or actions of the data set have other numbers of dimensions.
        """
        spaces = (self.environment.observation_space, self.environment.action_space)
        found, expected = (observation_dim, action_dim), tuple((space.shape or (0,))[0] for space in spaces)
        if found != expected:
            assert self.environment.spec is not None  # made from a spec
            raise DataError(
                f"`{name}` has {found[0]} observation and {found[1]} action dimensions, `{self.environment.spec.id}` "
                f"has {expected[0]} and {expected[1]}: name the environment that the data come from."
            )

    def _step(self, action: FloatArray) -> Outcome:
        found, reward, terminated, _, _ = self.environment.step(action)
        return Outcome(np.asarray(found, dtype=np.float32), float(reward), bool(terminated))

    def close(self) -> None:
        """Free the simulator."""
        self.environment.close()


class StateReplay(Replay):
    """Any step, from the state that its observation describes.

    What the observation does not tell is lost: digits beyond float32, and the solver's last solution, from which
    MuJoCo starts the next one.
    """

    method = "single steps, each from the state in its observation"

    def __init__(self, environment: gym.Env[Any, Any], observation_keys: Sequence[str] | None) -> None:
        super().__init__(environment)
        self._layout = state_layout(environment, observation_keys)
        self.tells_rewards = self._layout.tells_rewards

    def outcomes(self, episode: Episode, steps: Sequence[int]) -> Iterator[tuple[int, Outcome | str]]:
        """Replay each step for itself."""
        for step in steps:
            if self._layout.is_clipped(episode.observations[step]):
                yield step, "a velocity is clipped in the observation"
                continue
            # Where the reward lags behind the observation, the step before tells the rest.
            first = step - (self._layout.lags and step > 0 and self._is_known(episode, step - 1))
            self._layout.restore(episode.observations[first])
            for action in episode.actions[first:step]:
                self._step(action)
            yield step, self._step(episode.actions[step])

    def _is_known(self, episode: Episode, step: int) -> bool:
        numbers = np.concatenate([episode.observations[step], episode.actions[step]])
        return bool(np.isfinite(numbers).all()) and not self._layout.is_clipped(episode.observations[step])


class StartReplay(Replay):
    """The first steps of episodes, from the state after a reset; errors add up from step to step."""

    method = "the first steps of episodes, from the state after a reset"
    horizon = 10

    def outcomes(self, episode: Episode, steps: Sequence[int]) -> Iterator[tuple[int, Outcome | str]]:
        """Replay from the start to the last of the steps."""
        assert self.environment.spec is not None  # made from a spec
        simulator: Any = self.environment.unwrapped
        rebuilt = HAND_STARTS[_stem(self.environment)](simulator, episode.observations[0].astype(np.float64))
        if np.abs(rebuilt - episode.observations[0]).max() > _START_TOLERANCE:
            yield from ((step, "the episode does not start at a reset") for step in steps)
            return
        for step in range(max(steps, default=-1) + 1):
            outcome = self._step(episode.actions[step])
            if step in steps:
                yield step, outcome


def open_replay(spec: EnvSpec, observation_keys: Sequence[str] | None) -> Replay:
    """The way to replay data of an environment.

    Args:
        spec: of the environment.
        observation_keys: parts of dict observations that make up the vectors of the data; by default those that the
            environment's family needs.

    Raises:
        DataError: the state cannot be rebuilt from the observations of this environment.
        EnvironmentUnavailableError: the environment cannot be made here.
    """
    environment = make_environment(spec)
    if isinstance(environment.observation_space, gym.spaces.Dict):
        observation_keys = observation_keys or default_keys(environment.observation_space, spec.id)
        environment.close()
        environment = make_environment(spec, observation_keys)
    environment.reset(seed=0)
    if _stem(environment) in HAND_STARTS:
        return StartReplay(environment)
    return StateReplay(environment, observation_keys)


def _stem(environment: gym.Env[Any, Any]) -> str:
    assert environment.spec is not None  # made from a spec
    return environment.spec.id.rpartition("/")[2].rpartition("-v")[0]
