"""What a simulator does wrong, said in a sentence that names it: many are the user's own."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from typing_extensions import override

from spar_lightning.types import EnvironmentFailedError, UserError, failure

WITHOUT_ROLLOUTS = "turn the rollouts off with 0 for `num_episodes` and `final_episodes` of `callbacks.rollout`"

_REMEDY = f"mend it, or {WITHOUT_ROLLOUTS}"

_MOST_STEPS = 100_000
"""Of an episode of an environment without a time limit: a policy may find a way to stay for ever."""

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]


class Guarded(gym.Wrapper[FloatArray, FloatArray, FloatArray, FloatArray]):
    """The environment itself, whose failures, odd rewards, odd observations and endless episodes are a `UserError`."""

    def __init__(self, env: gym.Env[FloatArray, FloatArray]) -> None:
        super().__init__(env)
        self._steps = 0
        self._is_limited = env.spec is not None and env.spec.max_episode_steps is not None

    @override
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """As the environment's.

        Raises:
            UserError: if it raises, or what it gives is not a finite observation of its space's shape and a dict.
        """
        self._steps = 0
        found = self._called("reset", lambda: self.env.reset(seed=seed, options=options))
        if not isinstance(found, tuple) or len(found) != 2:
            raise self._odd("reset", f"gave {_kind(found)}", "an observation and a dict")
        return self._observation("reset", found[0]), found[1]

    @override
    def step(self, action: FloatArray) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """As the environment's, with the reward as a float.

        Raises:
            UserError: if it raises, or what it gives is not a finite observation of its space's shape, a finite
                reward, two truth values and a dict, or if the episode does not end.
        """
        self._steps += 1
        if self._steps > _MOST_STEPS and not self._is_limited:
            raise UserError(
                f"an episode of the environment `{self._name}` has gone on for {_MOST_STEPS:,} steps without a time"
                " limit: register it with `max_episode_steps`"
            )
        found = self._called("step", lambda: self.env.step(action))
        if not isinstance(found, tuple) or len(found) != 5:
            expected = "observation, reward, terminated, truncated and a dict, as Gymnasium's environments do"
            raise self._odd("step", f"gave {_kind(found)}", expected)
        observation, reward, terminated, truncated, info = found
        try:
            value, is_over, is_cut = float(reward), _truth(terminated), _truth(truncated)
        except (TypeError, ValueError):
            told = f"gave the reward {reward!r}, terminated {terminated!r} and truncated {truncated!r}"
            raise self._odd("step", told, "a number and two truth values") from None
        if not math.isfinite(value):
            raise self._odd("step", f"gave the reward {value}", "a finite number")
        return self._observation("step", observation), value, is_over, is_cut, info

    @override
    def close(self) -> None:
        """As the environment's; where it raises, a warning: what was computed with it is good all the same."""
        try:
            self.env.close()
        except Exception as error:
            warnings.warn(f"the environment `{self._name}` could not be closed ({failure(error)})", stacklevel=2)

    @property
    def _name(self) -> str:
        return self.env.spec.id if self.env.spec else type(self.env.unwrapped).__name__

    def _called(self, call: str, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except (UserError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            raise EnvironmentFailedError(
                f"`{call}` of the environment `{self._name}` failed ({failure(error)}): {_REMEDY}"
            ) from error

    def _observation(self, call: str, observation: Any) -> FloatArray:
        expected = self.observation_space.shape
        found = np.asarray(observation)
        if found.shape != expected:
            raise self._odd(call, f"gave an observation of shape {found.shape}", f"its space's, {expected}")
        if found.dtype.kind not in "fiub" or not np.isfinite(found).all():
            raise self._odd(call, f"gave the observation {found.tolist()}", "finite numbers")
        return found

    def _odd(self, call: str, found: str, expected: str) -> EnvironmentFailedError:
        return EnvironmentFailedError(
            f"`{call}` of the environment `{self._name}` {found}, expected {expected}: {_REMEDY}"
        )


def _truth(value: Any) -> bool:
    """A truth value; text is none, not even "False"."""
    if isinstance(value, str | bytes):
        raise TypeError(value)
    return bool(value)


def _kind(found: Any) -> str:
    return f"{len(found)} values" if isinstance(found, tuple | list) else f"one {type(found).__name__}"
