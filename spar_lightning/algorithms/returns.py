"""The column of lambda-returns that a value-based module regresses on, recomputed as its value network improves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from spar_lightning.algorithms.algorithm import TrainingData
from spar_lightning.functional import lambda_returns

CHUNK = 8192
"""Rows a forward pass; fixed, so that a resumed run computes the same bits."""


class ReturnSweep:
    """Computes lambda-returns of a whole data set with the current value network.

    Args:
        data: in order of time.
        discount: per step.
        trace_decay: lambda in [0, 1].
    """

    def __init__(self, data: TrainingData, discount: float, trace_decay: float) -> None:
        self._data = data
        self.discount = discount
        self.trace_decay = trace_decay
        self._rewards = data.column("rewards").cpu().double().numpy()
        self._terminations = data.column("terminations").cpu().numpy() > 0.5
        self._episode_ends = data.episode_ends.cpu().numpy()
        cut_offs = self._episode_ends & ~self._terminations
        # Monte Carlo returns look at V only where an episode was cut off: a few rows of the whole data set.
        needed = cut_offs if trace_decay == 1.0 else ~self._terminations
        self._rows = torch.from_numpy(np.flatnonzero(needed)).to(data.device)

    @property
    def constant_value(self) -> float:
        """The value of every state before a value network exists: the mean reward for ever."""
        if self.discount == 1.0:
            return 0.0
        return float(self._rewards.mean() / (1.0 - self.discount))

    def constant(self) -> Tensor:
        """Returns (N,) float32 with the constant value at cut-offs."""
        return self._sweep(np.full(len(self._rewards), self.constant_value))

    @torch.no_grad()
    def bootstrapped(self, value: Callable[[Tensor], Tensor]) -> Tensor:
        """Returns (N,) float32; `value` maps normalized observations (B, O) to values (B,) in the reward's scale."""
        next_values = np.zeros(len(self._rewards))
        for rows in torch.split(self._rows, CHUNK):
            estimates = value(self._data.at(rows).next_observations)
            next_values[rows.cpu().numpy()] = estimates.double().cpu().numpy()
        return self._sweep(next_values)

    def _sweep(self, next_values: np.ndarray) -> Tensor:
        returns = lambda_returns(
            self._rewards, self._terminations, next_values, self._episode_ends, self.discount, self.trace_decay
        )
        return torch.from_numpy(returns.astype(np.float32))
