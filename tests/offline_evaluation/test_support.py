"""Distances to the data, and what they are compared with."""

from __future__ import annotations

import pytest
from lottery import Constant, lottery, statistics_of

from spar_lightning.offline_evaluation.support import support


def test_distances_are_told_beside_those_of_held_out_data() -> None:
    transitions, held_out = lottery(), lottery(episodes=8, seed=1)
    policies = {"near": Constant(0.1), "far": Constant(0.9), "bound": Constant(1.0)}
    found = support(policies, transitions, held_out, statistics_of(transitions))
    assert (found["references"], found["states"]) == (500, 200)
    near, far, bound = (found["policies"][name] for name in policies)
    assert near["ratio"] == pytest.approx(1.0, abs=0.3)
    assert near["ratio"] == pytest.approx(near["distance"] / found["data"]["distance"])
    assert near["beyond"] < 0.1
    assert far["ratio"] > 3
    assert far["beyond"] > 0.9
    assert (near["clipped"], far["clipped"], bound["clipped"], found["data"]["clipped"]) == (0, 0, 1, 0)
