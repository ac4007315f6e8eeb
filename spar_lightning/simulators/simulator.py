"""Where the policies of some data are tried: small enough for a checkpoint, and for another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from spar_lightning.simulators.environments import make_fitting_environment
from spar_lightning.simulators.reference_scores import ScoreScale, score_scale
from spar_lightning.types import CheckpointError


@dataclass(frozen=True)
class Simulator:
    """An environment with its time limit, and what policies see of it; `make` gives one.

    Args:
        spec: of the environment; only what `trusted_spec` lets through is made.
        observation_keys: parts of dict observations, in their order in the vectors; None for vectors.
        observation_dim: O, of the policies.
        action_dim: A, of the policies.
        module: that registers the environment, where the user named one.
        stated: scale of the data's scores; by default that of the environment.
    """

    spec: EnvSpec
    observation_keys: tuple[str, ...] | None
    observation_dim: int
    action_dim: int
    module: str = ""
    stated: ScoreScale | None = None

    def make(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """A fresh environment; for `render_mode` see Gymnasium. Raises as `make_fitting_environment`."""
        dimensions = self.observation_dim, self.action_dim
        return make_fitting_environment(self.spec, self.observation_keys, *dimensions, self.module, render_mode)

    @property
    def scale(self) -> ScoreScale:
        """How returns become scores, if they do."""
        return score_scale(self.spec) if self.stated is None else self.stated

    def entry(self) -> dict[str, Any] | None:
        """What a checkpoint keeps, primitives; None where the spec has arguments that are none."""
        try:
            spec = self.spec.to_json()
        except (TypeError, ValueError):
            return None
        keys = None if self.observation_keys is None else list(self.observation_keys)
        dimensions = {"observation_dim": self.observation_dim, "action_dim": self.action_dim}
        scale = self.scale._asdict()
        return {"spec": spec, "observation_keys": keys, **dimensions, "module": self.module, "scale": scale}

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Simulator:
        """Of a checkpoint.

        Raises:
            CheckpointError: if it is none.
        """
        try:
            spec = EnvSpec.from_json(entry["spec"])
            sound = isinstance(spec.kwargs, dict) and isinstance(spec.max_episode_steps, int | None)
        except (AttributeError, gym.error.Error, LookupError, TypeError, ValueError) as error:
            raise CheckpointError(f"`simulator.spec` cannot be read ({' '.join(str(error).split())[:80]})") from error
        if not sound:
            raise CheckpointError("`simulator.spec` has arguments or a time limit that are none")
        keys = entry["observation_keys"]
        return cls(
            spec,
            None if keys is None else tuple(keys),
            entry["observation_dim"],
            entry["action_dim"],
            entry["module"],
            _scale(entry["scale"]) if "scale" in entry else None,
        )


def _scale(entry: Mapping[str, Any]) -> ScoreScale:
    if (reference := entry["reference"]) is None:
        return ScoreScale(None, entry["note"])
    if len(reference) != 2 or not -1e300 < reference[0] < reference[1] < 1e300:
        raise CheckpointError(
            f"`simulator.scale.reference` is {reference}, expected two finite returns, the first below the second"
        )
    return ScoreScale((reference[0], reference[1]), entry["note"])
