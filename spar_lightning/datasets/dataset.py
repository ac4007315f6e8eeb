"""The one shape that every source of data gives."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import EnvSpec

from spar_lightning.simulators.environments import register_environments
from spar_lightning.simulators.reference_scores import ScoreScale, score_scale
from spar_lightning.types import DataError

FloatArray = npt.NDArray[np.float32]


class Episode(NamedTuple):
    """T consecutive transitions; only a termination ends the task, a truncation merely ends the recording."""

    observations: FloatArray  # (T, O)
    actions: FloatArray  # (T, A)
    rewards: FloatArray  # (T,)
    next_observations: FloatArray  # (T, O), or (T-1, O) where the source lacks the last one
    termination: bool  # whether the last transition ended the task


@dataclass(frozen=True)
class OfflineDataset:
    """What is known of a data set before its transitions are read, and the way to read them."""

    name: str
    observation_dim: int
    action_dim: int
    action_low: FloatArray  # (A,), -inf where the source does not say
    action_high: FloatArray  # (A,), +inf where the source does not say
    num_episodes: int
    num_transitions: int
    read: Callable[[], Iterator[Episode]]
    environment_spec: EnvSpec | None = None  # where its policies are evaluated, with the time limit of the data
    observation_keys: tuple[str, ...] | None = None  # parts of dict observations, in their order in the vectors
    observation_names: tuple[str, ...] | None = None  # of what lies side by side in the vectors, where that has names
    scale: ScoreScale = ScoreScale(None, "the data name no environment")  # noqa: RUF009
    fingerprint: str = ""  # changes with the files; empty where there are none
    environment_named: bool = False  # whether the user named the environment, rather than the data
    environment_module: str = ""  # that registers it, where the user named one
    ends_are_successes: bool = False  # whether the user said where the task was done, by `success_reward`
    ends_flagged_twice: bool = False  # whether every end is flagged as a termination and as a truncation
    notes: tuple[str, ...] = ()  # what its source left out of the files or made up, for users to know
    chosen_from: int | None = None  # number of episodes, where only some of them are left

    def evaluated_in(self, environment: str | None, max_episode_steps: int | None) -> OfflineDataset:
        """The same data, with another environment or time limit for the evaluation; None keeps the data set's own.

        Args:
            environment: a Gymnasium id that the user names, never the data; `module:Id` imports the module, which
                registers it.
            max_episode_steps: time limit, in steps.

        Raises:
            DataError: the environment's id is none, or a time limit is given, but is none or no environment is known.
            EnvironmentUnavailableError: the module cannot be imported.
        """
        check_time_limit(max_episode_steps)
        if environment is None and max_episode_steps is None:
            return self
        module, _, name = (environment or "").rpartition(":")
        register_environments(module)
        spec = self.environment_spec if environment is None else _spec(name)
        if spec is None:
            raise DataError(
                f"`max_episode_steps` is {max_episode_steps}, but `{self.name}` names no environment: name one with "
                "`environment`."
            )
        if max_episode_steps is not None:
            spec = replace(spec, max_episode_steps=max_episode_steps)
        return replace(
            self,
            environment_spec=spec,
            scale=score_scale(spec),
            environment_named=self.environment_named or environment is not None,
            environment_module=module or self.environment_module,
        )

    def episodes(self) -> Iterator[Episode]:
        """Read the episodes, in the order in which they were recorded.

        Raises:
            DataError: the stored data cannot be read, or do not have the shapes that the data set states.
        """
        return self.read()


def check_time_limit(max_episode_steps: int | None) -> None:
    """See that episodes may have at least one step.

    Raises:
        DataError: they may not.
    """
    if max_episode_steps is not None and max_episode_steps < 1:
        raise DataError(f"`max_episode_steps` is {max_episode_steps}, expected at least 1 step.")


def _spec(environment: str) -> EnvSpec:
    try:
        return EnvSpec(environment)
    except gym.error.Error as error:
        raise DataError(
            f"`environment` is `{environment}`, expected the id of a Gymnasium environment, such as `Hopper-v4`."
        ) from error


def fingerprint_of(files: Iterable[Path], *settings: object) -> str:
    """A short text that changes when a file is replaced, or read otherwise.

    Args:
        files: of which names, sizes and times of modification count.
        settings: how they are read, where that is not always the same.
    """
    states = [(path.name, (state := path.stat()).st_size, state.st_mtime_ns) for path in sorted(files)]
    told = [*states, *settings] if any(setting is not None for setting in settings) else states
    return f"{zlib.crc32(repr(told).encode()):08x}"
