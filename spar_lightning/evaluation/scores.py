"""D4RL's scale of scores."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from spar_lightning.types import UserError

Returns = TypeVar("Returns", float, npt.NDArray[np.float64], Tensor)


def normalized_score(returns: Returns, reference: tuple[float, float]) -> Returns:
    """Returns on the scale on which a random policy has 0 and an expert 100 (D4RL, Fu et al., 2020, section 3).

    Args:
        returns: undiscounted returns of episodes, of any shape.
        reference: returns of the random and of the expert policy, `(low, high)`.

    Raises:
        UserError: if `low` is not less than `high`.

    >>> normalized_score(1500.0, (0.0, 3000.0))
    50.0
    >>> normalized_score(np.array([-10.0, 90.0, 190.0]), (-10.0, 90.0)).tolist()
    [0.0, 100.0, 200.0]
    """
    low, high = reference
    if not low < high:
        raise UserError(f"reference scores are {reference}, expected (random, expert) with random < expert: swap them")
    return (returns - low) * (100.0 / (high - low))
