"""What the joints of a simulator are called."""

from __future__ import annotations

import contextlib

import gymnasium as gym
import pytest

from spar_lightning.simulators.dimension_names import dimension_names
from spar_lightning.simulators.environments import make_environment


@pytest.mark.parametrize(
    ("environment_id", "actions"),
    [
        ("Walker2d-v5", ["thigh", "leg", "foot", "thigh left", "leg left", "foot left"]),
        ("Ant-v5", ["hip 4", "ankle 4", "hip 1", "ankle 1", "hip 2", "ankle 2", "hip 3", "ankle 3"]),
        ("Pendulum-v1", None),
    ],
)
def test_actions_are_named_after_joints(environment_id: str, actions: list[str] | None) -> None:
    with contextlib.closing(make_environment(environment_id)) as environment:
        assert dimension_names(environment).actions == actions


def test_observations_are_named_where_they_are_joints_alone() -> None:
    with contextlib.closing(make_environment("Hopper-v5")) as environment:
        names = dimension_names(environment).observations
    assert names is not None
    assert len(names) == 11
    assert (names[0], names[-1]) == ("rootz position", "foot velocity")
    with contextlib.closing(gym.make("Ant-v5")) as environment:
        assert dimension_names(environment).observations is None
