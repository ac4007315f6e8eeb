"""Halves of the episodes: who learned from which, so that critics are asked about others than those."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from spar_lightning.types import DataError

_BLOCK = 64  # batches drawn at once


class Folds:
    """Random halves: a split puts half of the episodes into the fold `2 s` and the others into `2 s + 1`.

    Args:
        episodes: (N,) int64 number of the episode of each transition, from 0, in order of time.
        splits: S; there are twice as many folds.
        seed: of the halves and of the batches.

    Raises:
        DataError: if there are fewer than two episodes.
    """

    def __init__(self, episodes: Tensor, splits: int, seed: int = 0) -> None:
        self._episode = episodes
        self.episodes = int(episodes[-1]) + 1
        if self.episodes < 2:
            raise DataError(
                f"there are {self.episodes} episodes to learn from, expected at least 2: critics judge episodes that"
                " they did not see"
            )
        self._generator = torch.Generator().manual_seed(seed)
        first = torch.zeros(splits, self.episodes, dtype=torch.bool)
        for split in first:
            split[torch.randperm(self.episodes, generator=self._generator)[: self.episodes // 2]] = True
        self.members = torch.stack([first, ~first], dim=1).flatten(0, 1)
        """(2 S, E) bool: which episodes each fold holds."""

    @property
    def starts(self) -> Tensor:
        """(E,) int64: the first transition of each episode."""
        return torch.searchsorted(self._episode, torch.arange(self.episodes))

    def batches(self, size: int) -> Iterator[Tensor]:
        """Without end: indices (2 S * size,) int64, `size` of each fold after the other."""
        rows = [held[self._episode].nonzero().squeeze(1) for held in self.members]
        while True:
            drawn = [
                one[torch.randint(len(one), (_BLOCK, size), generator=self._generator)] for one in rows
            ]  # 2 S times (block, size)
            yield from torch.cat(drawn, dim=1)

    def unseen(self, values: Tensor, episodes: Tensor) -> Tensor:
        """Values (2 S, P, B) by the critics of each fold, NaN where its critics learned from the episode.

        Args:
            values: likewise.
            episodes: (B,) int64, the episode that each is about.
        """
        seen = self.members[:, episodes].unsqueeze(1).to(values.device)
        return torch.where(seen, torch.nan, values)

    def episodes_of(self, rows: Tensor) -> Tensor:
        """The episodes (B,) int64 of transitions (B,) int64."""
        return self._episode[rows]
