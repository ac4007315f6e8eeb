"""The words that every other module shares: batches, policies, statistics and errors."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from torch import Tensor

Array = TypeVar("Array", np.ndarray, Tensor)

LARGEST_SEED = 2**32 - 1
"""That NumPy takes."""


class TransitionBatch(NamedTuple):
    """Transitions in the data's own units, but for rewards that are scaled, with the columns that the run added."""

    observations: Tensor  # (B, O) float32
    actions: Tensor  # (B, A) float32
    rewards: Tensor  # (B,) float32
    next_observations: Tensor  # (B, O) float32
    terminations: Tensor  # (B,) float32, 1 where the environment ended the episode; a time-out is 0
    columns: dict[str, Tensor]  # name -> (B,) or (B, K) float32, such as base actions or returns


@dataclass(frozen=True)
class DatasetStatistics:
    """What the networks need to know of the training data, all float32."""

    observation_mean: Tensor  # (O,)
    observation_std: Tensor  # (O,), floored so that it can be divided by
    action_low: Tensor  # (A,)
    action_high: Tensor  # (A,)


@runtime_checkable
class Policy(Protocol):
    """Anything that can be rolled out: normalization and clipping are its own business."""

    def act(self, observations: Array) -> Array:
        """Map observations (O,) or (B, O) to actions (A,) or (B, A) in the environment's units."""
        ...


class DimensionNames(NamedTuple):
    """Names of dimensions, None where they are not known."""

    observations: list[str] | None
    actions: list[str] | None


@runtime_checkable
class HasReferencePolicies(Protocol):
    """A module whose policy is to be compared with fixed ones."""

    def reference_policies(self) -> dict[str, Policy]:
        """The fixed policies that exist by now, by name; `base` is what improvement is measured against."""
        ...


class ResidualProbe(NamedTuple):
    """A policy's residual at some states, in actions scaled to [-1, 1]."""

    base_actions: Tensor  # (B, A)
    actions: Tensor  # (B, A), after clipping
    unclipped_actions: Tensor  # (B, A)
    latents: Tensor  # (B, L)
    latent_bound: float
    jacobians: Tensor  # (B, A, L), of the unclipped action by the latent


@runtime_checkable
class HasResidual(Protocol):
    """A module whose policy is a frozen base plus a residual."""

    def probe_residual(self, observations: Tensor) -> ResidualProbe:
        """Evaluate base and residual at raw observations (B, O), without gradients."""
        ...


@runtime_checkable
class HasExpectedGain(Protocol):
    """A module with critics that take no part in its policy's training."""

    def expected_gain(self, observations: Tensor) -> Tensor | None:
        """What they expect of its actions over the base's, at raw observations (B, O): (B,), None without critics."""
        ...


@runtime_checkable
class HasPolicyVersion(Protocol):
    """A module whose policy stands still during a part of its training."""

    @property
    def policy_version(self) -> int:
        """A number that is another one whenever the policy is."""
        ...


@runtime_checkable
class HasPhases(Protocol):
    """A module whose training has parts, the first of which may only prepare its policy."""

    @property
    def phase_name(self) -> str:
        """The part that the next update belongs to, in words."""
        ...

    @property
    def is_warming_up(self) -> bool:
        """Whether the policy is still being prepared: its scores are none of what the method achieves."""
        ...


@runtime_checkable
class NamesDimensions(Protocol):
    """Data whose simulator may know what observations and actions are called."""

    def dimension_names(self) -> DimensionNames:
        """The names, as far as they are known."""
        ...


class UserError(ValueError):
    """Something that the user can mend; the message states what was found, what was expected, and the remedy."""


class DataError(UserError):
    """A data set that cannot be found, read or trained on."""


class EnvironmentUnavailableError(UserError):
    """The simulator that belongs to a data set cannot be made here."""


class EnvironmentFailedError(UserError):
    """An environment, which may be the user's own, does what none should."""


class CheckpointError(UserError):
    """A checkpoint that does not fit the model or the data."""


class NonFiniteLossError(UserError):
    """A loss became NaN or infinite."""


def failure(error: BaseException) -> str:
    """An error in a line: its kind, where it was raised, and what it says.

    >>> failure(RuntimeError("no licence"))
    'RuntimeError: no licence'
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    said = " ".join(str(error).split()).rstrip(".?")
    return f"{type(error).__name__}{place}" + (f": {said}" if said else "")
