"""Statistics of the training data, which the networks keep as buffers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spar_lightning.functional import moments
from spar_lightning.replay.storage.transitions import Transitions
from spar_lightning.types import DataError, DatasetStatistics

STD_FLOOR = 1e-3
_CONSTANT = 1e-9  # deviation up to which a column is constant but for rounding, relative to its mean
_BOUNDS_APART = 1e-6  # least distance of an action's bounds, relative to the larger one
_CHUNK = 16_384  # rows; bounds the float64 copy


def compute_statistics(
    transitions: Transitions,
    action_low: npt.NDArray[np.float32],
    action_high: npt.NDArray[np.float32],
    normalize_observations: bool = True,
) -> DatasetStatistics:
    """Mean and (population) standard deviation of the observations, and the bounds of the actions.

    Sums run in float64: in float32 the mean of a million observations is wrong in its fourth digit.

    Args:
        transitions: the training part of the data.
        action_low: (A,) bounds of the environment; where infinite, or too far from the upper one for a float32, the
            smallest action in the data is taken.
        action_high: (A,) likewise, the largest.
        normalize_observations: False gives mean 0 and deviation 1, whatever the data.

    Returns:
        float32 tensors on the CPU. `observation_std` is at least `STD_FLOOR`, so that an observation that hardly moves
        is not blown up; it is 1 where one never moves, which tells nothing of its scale: D4RL's recordings of the ant
        have contact forces of 0, its simulator today has some up to 1.

    Raises:
        DataError: a lower bound is not clearly below the upper one, as in an action that is constant and has no
            bounds, or their distance is no float32.
    """
    low, high = torch.from_numpy(action_low.copy()), torch.from_numpy(action_high.copy())
    too_far = low.isfinite() & high.isfinite() & ~(high - low).isfinite()  # as ±3e38, another way to say unbounded
    bounded = low.isfinite() & high.isfinite() & ~too_far
    if not bounded.all():
        least, most = _extremes(chunk.actions for chunk in transitions.chunks(_CHUNK))
        low = torch.where(low.isfinite() & ~too_far, low, least)
        high = torch.where(high.isfinite() & ~too_far, high, most)
    _check_bounds(low, high)
    if normalize_observations:
        mean, std = moments(lambda: (chunk.observations for chunk in transitions.chunks(_CHUNK)), len(transitions))
        std = torch.where(std > _CONSTANT * mean.abs(), std, 1.0)
    else:
        mean, std = torch.zeros(transitions.observation_dim), torch.ones(transitions.observation_dim)
    return DatasetStatistics(
        observation_mean=mean.float().cpu(),
        observation_std=std.float().clamp_min(STD_FLOOR).cpu(),
        action_low=low,
        action_high=high,
    )


def _extremes(chunks: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """The smallest and the largest value (K,) of chunks (B, K)."""
    pairs = [(chunk.amin(0).cpu(), chunk.amax(0).cpu()) for chunk in chunks]
    return torch.stack([low for low, _ in pairs]).amin(0), torch.stack([high for _, high in pairs]).amax(0)


def _check_bounds(low: Tensor, high: Tensor) -> None:
    for dimension, (lowest, highest) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        least = _BOUNDS_APART * max(abs(lowest), abs(highest))
        if not least < highest - lowest <= torch.finfo(torch.float32).max:
            raise DataError(
                f"Action dimension {dimension} has the bounds {lowest} and {highest}, expected the first clearly below "
                "the second, at a finite distance. Without bounds of the environment they are the data's: is the "
                "dimension constant? Name the environment whose bounds count, with `data.environment`, or state the "
                "action space's bounds when the data set is made."
            )


def share_outside(transitions: Transitions, low: Tensor, high: Tensor) -> float:
    """Share of the action values that are not within `low` to `high`, (A,) each."""
    chunks = (chunk.actions.cpu() for chunk in transitions.chunks(_CHUNK))
    outside = sum(torch.count_nonzero((actions < low) | (actions > high)).item() for actions in chunks)
    return outside / (len(transitions) * len(low))
