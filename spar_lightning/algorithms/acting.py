"""How modules act: arrays or tensors, one observation or many."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from spar_lightning.types import Array, UserError


class ActsOnArrays:
    """Gives `act` to a class that can map a batch of raw observations to actions in the environment's units."""

    observation_dim: int

    def select_actions(self, observations: Tensor) -> Tensor:
        """Raw observations (B, O) float32 on the policy's device -> actions (B, A)."""
        raise NotImplementedError

    def _policy_device(self) -> torch.device:
        raise NotImplementedError

    def act(self, observations: Array) -> Array:
        """The policy's action, deterministic; normalization and clipping are inside.

        Args:
            observations: (O,) or (B, O), numpy or tensor, in the environment's units.

        Returns:
            Actions (A,) or (B, A) in the environment's units, float32, of the kind of the argument.

        Raises:
            UserError: if the last dimension is not the one that the policy was built for.
        """
        if isinstance(observations, np.ndarray):
            # Rollouts call with arrays, at every step: in inference mode each operation costs less. A caller's tensors
            # may go on into a graph, which inference tensors must not.
            with torch.inference_mode():
                return self._act(torch.from_numpy(_as_floats(observations))).cpu().numpy()
        with torch.no_grad():
            return self._act(observations)

    def _act(self, observations: Tensor) -> Tensor:
        if observations.ndim not in (1, 2) or observations.shape[-1] != self.observation_dim:
            raise UserError(
                f"`observations` has shape {tuple(observations.shape)}, the policy expects (*, {self.observation_dim}):"
                " was it trained on another environment?"
            )
        batch = observations.to(self._policy_device(), torch.float32)
        return self.select_actions(batch) if batch.ndim == 2 else self.select_actions(batch.unsqueeze(0))[0]


def _as_floats(observations: np.ndarray) -> np.ndarray:
    try:
        return np.ascontiguousarray(observations, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f"`observations` has dtype {observations.dtype}, expected numbers") from error
