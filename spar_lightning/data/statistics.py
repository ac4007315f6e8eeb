"""Statistics of the training data, which the networks keep as buffers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spar_lightning.data.transitions import Transitions
from spar_lightning.types import DataError, DatasetStatistics

STD_FLOOR = 1e-3
_CHUNK = 65_536  # rows; bounds the float64 copy


def compute_statistics(
    transitions: Transitions, action_low: npt.NDArray[np.float32], action_high: npt.NDArray[np.float32]
) -> DatasetStatistics:
    """Mean and (population) standard deviation of the observations, and the bounds of the actions.

    Sums run in float64: in float32 the mean of a million observations is wrong in its fourth digit.

    Args:
        transitions: the training part of the data.
        action_low: (A,) bounds of the environment; where infinite, the smallest action in the data is taken.
        action_high: (A,) likewise, the largest.

    Returns:
        float32 tensors on the CPU; `observation_std` is at least `STD_FLOOR`, so that a constant observation is not
        blown up.

    Raises:
        DataError: a lower bound is not below the upper one, as in an action that is constant and has no bounds.
    """
    mean, std = _moments(transitions.observations)
    actions = transitions.actions
    low, high = torch.from_numpy(action_low.copy()), torch.from_numpy(action_high.copy())
    low = torch.where(low.isfinite(), low, actions.amin(0).cpu())
    high = torch.where(high.isfinite(), high, actions.amax(0).cpu())
    _check_bounds(low, high)
    return DatasetStatistics(
        observation_mean=mean.float().cpu(),
        observation_std=std.float().clamp_min(STD_FLOOR).cpu(),
        action_low=low,
        action_high=high,
    )


def _check_bounds(low: Tensor, high: Tensor) -> None:
    for dimension, (lowest, highest) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        if lowest >= highest:
            raise DataError(
                f"Action dimension {dimension} has the bounds {lowest} and {highest}, expected the first below the "
                "second. Without bounds of the environment they are the data's: is the dimension constant? State the "
                "action space's bounds when the data set is made."
            )


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (K,) in float64; two passes, since a difference of large squares loses digits."""
    chunks = torch.split(values, _CHUNK)
    mean = torch.stack([chunk.double().sum(0) for chunk in chunks]).sum(0) / len(values)
    squares = torch.stack([(chunk.double() - mean).square().sum(0) for chunk in chunks]).sum(0)
    return mean, (squares / len(values)).sqrt()
