"""How far a policy's actions are from those in the data, beside how far new data are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from spar_lightning.networks import Normalizer
from spar_lightning.replay import Transitions, spread_rows
from spar_lightning.types import DatasetStatistics, Policy

MOST_REFERENCES, MOST_STATES = 20_000, 1_000
"""Transitions of the data that are searched, and held-out states that are asked about: evenly spaced ones."""

LIMIT = 0.99
"""Size of a scaled action from which it counts as clipped."""

_LEAST_STD = 1e-3  # of an action that hardly moves
FloatArray = npt.NDArray[np.float32]


def support(
    policies: Mapping[str, Policy], transitions: Transitions, held_out: Transitions, statistics: DatasetStatistics
) -> dict[str, Any]:
    """Distances of the policies' actions at held-out states to the nearest transition of the data.

    A distance is the root of the mean squared standardized difference of the observations plus that of the actions.
    The held-out data's own actions are measured likewise: a policy that acts as the data do has their distance.

    Returns:
        `data` and, by name, `policies`: `distance` (the median), `clipped` (share of action values at a bound); of a
        policy also `ratio` (its distance over the data's) and `beyond`, the share of its actions that are further away
        than 95% of the data's; further the numbers of `references` and `states`.
    """
    units = Normalizer(transitions.observation_dim, transitions.action_dim)
    units.fit(statistics)
    known, asked = _spread_out(transitions, MOST_REFERENCES), _spread_out(held_out, MOST_STATES)
    spread = units.scale(known[1]).std(dim=0).clamp(min=_LEAST_STD)

    def features(observations: Tensor, actions: Tensor) -> FloatArray:
        parts = units.normalize(observations), units.scale(actions) / spread
        return torch.cat([part / part.shape[1] ** 0.5 for part in parts], dim=1).numpy()

    tree = cKDTree(features(*known))
    own = np.asarray(tree.query(features(*asked))[0])
    far = float(np.quantile(own, 0.95))
    data = {"distance": float(np.median(own)), "clipped": _clipped(units.scale(asked[1]))}
    found: dict[str, Any] = {}
    for name, policy in policies.items():
        actions = policy.act(asked[0]).cpu()
        distances = np.asarray(tree.query(features(asked[0], actions))[0])
        found[name] = {
            "distance": float(np.median(distances)),
            "ratio": float(np.median(distances) / max(float(np.median(own)), 1e-12)),
            "beyond": float((distances > far).mean()),
            "clipped": _clipped(units.scale(actions)),
        }
    return {"references": len(known[0]), "states": len(own), "data": data, "policies": found}


def _spread_out(transitions: Transitions, most: int) -> tuple[Tensor, Tensor]:
    """Observations and actions of at most so many transitions, on the CPU."""
    rows = spread_rows(len(transitions), most)
    batch = transitions.batch(rows.to(transitions.device))
    return batch.observations.cpu(), batch.actions.cpu()


def _clipped(actions: Tensor) -> float:
    return float((actions.abs() >= LIMIT).float().mean())
