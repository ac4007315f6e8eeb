"""Transitions from the beginnings of episodes."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class BeginningSampler:
    """Draws transitions near the start of episodes: an episode uniformly, then its step `t` with weight `decay ** t`.

    Args:
        episodes: (N,) int64 number of the episode of each transition, from 0, in order of time.
        decay: in (0, 1).

    >>> BeginningSampler(torch.tensor([0, 0, 0, 1]), decay=0.5).draw(1000).unique().tolist()
    [0, 1, 2, 3]
    """

    def __init__(self, episodes: Tensor, decay: float) -> None:
        self._lengths = torch.bincount(episodes)
        self._starts = self._lengths.cumsum(0) - self._lengths
        self._log_decay = math.log(decay)

    def draw(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Indices (count,) int64 on the CPU, by a generator's random numbers or torch's own."""
        episodes = torch.randint(len(self._starts), (count,), generator=generator)
        # A geometric number; one past the end of its episode begins anew, which keeps the weights' proportions.
        steps = (torch.rand(count, generator=generator).clamp(min=1e-30).log() / self._log_decay).long()
        return self._starts[episodes] + steps % self._lengths[episodes]
