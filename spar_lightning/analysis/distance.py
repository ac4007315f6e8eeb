"""How far actions are from those that the data hold near the same states."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spar_lightning.networks import Normalizer
from spar_lightning.replay.storage.transitions import Transitions

CHUNK = 256  # queries at a time: a matrix of distances to all transitions
PIECE = 8192  # transitions at a time


@torch.no_grad()
def nearest_distances(
    transitions: Transitions, normalizer: Normalizer, rows: Tensor, actions: Tensor
) -> npt.NDArray[np.float32]:
    """Euclidean distance of state-action pairs to the nearest pair of the data that is another transition's.

    States count in standard deviations, actions as scaled to [-1, 1].

    Args:
        transitions: the data.
        normalizer: of units.
        rows: (M,) int64, transitions whose states are meant.
        actions: (P, M, A), scaled, of several policies there.

    Returns:
        (P, M).
    """
    found = []
    for chosen, wanted in zip(torch.split(rows, CHUNK), torch.split(actions, CHUNK, dim=1), strict=True):
        states = normalizer.normalize(transitions.batch(chosen).observations)
        nearest = torch.full(wanted.shape[:2], float("inf"))
        for number, piece in enumerate(transitions.chunks(PIECE)):
            apart = torch.cdist(states, normalizer.normalize(piece.observations)).square()
            own = chosen - number * PIECE
            inside = (own >= 0) & (own < apart.shape[1])
            apart[inside.nonzero()[:, 0], own[inside]] = float("inf")
            pairs = apart + torch.cdist(wanted, normalizer.scale(piece.actions)).square()
            nearest = torch.minimum(nearest, pairs.min(dim=2).values)
        found.append(nearest.sqrt())
    distances: npt.NDArray[np.float32] = torch.cat(found, dim=1).numpy()
    return distances
