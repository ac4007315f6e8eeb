"""The bundled behaviour policies, from which the `spar/...` data sets are collected.

Where they come from and what they score is told in `behaviors/README.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from spar_lightning.types import DataError

BehaviorEnvironment = Literal["walker2d", "hopper", "halfcheetah"]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BehaviorPolicy:
    """One checkpoint: a Gaussian policy with a tanh MLP for its mean.

    Computed in float64 and rounded to float32 at the very end, so that a batch of another size, or another BLAS,
    almost never changes an action's bits.
    """

    weights: tuple[FloatArray, FloatArray, FloatArray]  # (H, O), (H, H), (A, H)
    biases: tuple[FloatArray, FloatArray, FloatArray]  # (H,), (H,), (A,)
    action_std: FloatArray  # (A,)
    observation_mean: FloatArray  # (O,)
    observation_std: FloatArray  # (O,)
    observation_clip: float
    training_steps: int

    @property
    def action_dim(self) -> int:
        """Number of action dimensions, A."""
        return len(self.action_std)

    def sample(self, observations: FloatArray, noise: FloatArray) -> npt.NDArray[np.float32]:
        """Actions (B, A) in [-1, 1] at observations (B, O), given standard normal noise (B, A)."""
        scaled = (observations - self.observation_mean) / self.observation_std
        hidden = np.clip(scaled, -self.observation_clip, self.observation_clip)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = np.tanh(hidden @ weight.T + bias)
        mean = hidden @ self.weights[-1].T + self.biases[-1]
        return np.clip(mean + self.action_std * noise, -1.0, 1.0).astype(np.float32)


@dataclass(frozen=True)
class Behavior:
    """The checkpoints of one training run, in order of training."""

    environment_id: str
    checkpoints: tuple[BehaviorPolicy, ...]
    medium: int  # index into `checkpoints`
    expert: int  # index into `checkpoints`
    replay: tuple[int, ...]  # indices into `checkpoints`, in order of training
    seed: int


def load_behavior(env: BehaviorEnvironment | str) -> Behavior:
    """Read the bundled checkpoints of `walker2d`, `hopper` or `halfcheetah`.

    Raises:
        DataError: no policies are bundled for `env`.
    """
    file = resources.files("spar_lightning.datasets.recording") / "behaviors" / f"{env}.npz"
    if not file.is_file():
        raise DataError(f"No behaviour policies are bundled for `{env}`; expected walker2d, hopper or halfcheetah.")
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        table = {name: arrays[name] for name in arrays.files}
    return Behavior(
        environment_id=str(table["env_id"]),
        checkpoints=tuple(_checkpoint(table, index) for index in range(len(table["steps"]))),
        medium=int(table["medium"]),
        expert=int(table["expert"]),
        replay=tuple(int(index) for index in np.flatnonzero(table["replay"])),
        seed=int(table["seed"]),
    )


def _checkpoint(table: dict[str, npt.NDArray[Any]], index: int) -> BehaviorPolicy:
    def array(name: str) -> FloatArray:
        return np.asarray(table[name][index], dtype=np.float64)

    return BehaviorPolicy(
        weights=(array("w0"), array("w1"), array("w2")),
        biases=(array("b0"), array("b1"), array("b2")),
        action_std=np.exp(array("log_std")),
        observation_mean=array("obs_mean"),
        observation_std=array("obs_std"),
        observation_clip=float(table["obs_clip"].item()),
        training_steps=int(table["steps"][index]),
    )
