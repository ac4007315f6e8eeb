"""Some of many rows."""

from __future__ import annotations

import torch
from torch import Tensor


def spread_rows(count: int, most: int) -> Tensor:
    """At most `most` of `count` rows, evenly spaced from the first to the last, int64.

    >>> spread_rows(5, 3).tolist(), spread_rows(2, 3).tolist(), spread_rows(2**24 + 4, 2)[-1].item() - 2**24
    ([0, 2, 4], [0, 1], 3)
    """
    return torch.linspace(0, count - 1, min(most, count), dtype=torch.float64).long()
