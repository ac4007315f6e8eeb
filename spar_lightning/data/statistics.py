"""Statistics of the training data, which the networks keep as buffers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spar_lightning.data.transitions import Transitions
from spar_lightning.types import DataError, DatasetStatistics

STD_FLOOR = 1e-3
_BOUNDS_APART = 1e-6  # least distance of an action's bounds, relative to the larger one
_CHUNK = 65_536  # rows; bounds the float64 copy


def compute_statistics(
    transitions: Transitions, action_low: npt.NDArray[np.float32], action_high: npt.NDArray[np.float32]
) -> DatasetStatistics:
    """Mean and (population) standard deviation of the observations, and the bounds of the actions.

    Sums run in float64: in float32 the mean of a million observations is wrong in its fourth digit.

    Args:
        transitions: the training part of the data.
        action_low: (A,) bounds of the environment; where infinite, or too far from the upper one for a float32, the
            smallest action in the data is taken.
        action_high: (A,) likewise, the largest.

    Returns:
        float32 tensors on the CPU; `observation_std` is at least `STD_FLOOR`, so that a constant observation is not
        blown up.

    Raises:
        DataError: a lower bound is not clearly below the upper one, as in an action that is constant and has no
            bounds, or their distance is no float32.
    """
    mean, std = _moments(transitions.observations)
    actions = transitions.actions
    low, high = torch.from_numpy(action_low.copy()), torch.from_numpy(action_high.copy())
    too_far = low.isfinite() & high.isfinite() & ~(high - low).isfinite()  # as ±3e38, another way to say unbounded
    low = torch.where(low.isfinite() & ~too_far, low, actions.amin(0).cpu())
    high = torch.where(high.isfinite() & ~too_far, high, actions.amax(0).cpu())
    _check_bounds(low, high)
    return DatasetStatistics(
        observation_mean=mean.float().cpu(),
        observation_std=std.float().clamp_min(STD_FLOOR).cpu(),
        action_low=low,
        action_high=high,
    )


def _check_bounds(low: Tensor, high: Tensor) -> None:
    for dimension, (lowest, highest) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        least = _BOUNDS_APART * max(abs(lowest), abs(highest))
        if not least < highest - lowest <= torch.finfo(torch.float32).max:
            raise DataError(
                f"Action dimension {dimension} has the bounds {lowest} and {highest}, expected the first clearly below "
                "the second, at a finite distance. Without bounds of the environment they are the data's: is the "
                "dimension constant? State the action space's bounds when the data set is made."
            )


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (K,) in float64; two passes, since a difference of large squares loses digits."""
    chunks = torch.split(values, _CHUNK)
    # Into one tensor: small results kept between large intermediate ones would fragment the heap.
    sums = values.new_empty(len(chunks), values.shape[1], dtype=torch.float64)
    for place, chunk in zip(sums, chunks, strict=True):
        torch.sum(chunk.double(), 0, out=place)
    mean = sums.sum(0) / len(values)
    for place, chunk in zip(sums, chunks, strict=True):
        torch.sum((chunk.double() - mean).square_(), 0, out=place)
    return mean, (sums.sum(0) / len(values)).sqrt()
