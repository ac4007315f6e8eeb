"""What the dimensions of observations and actions are called, where the simulator knows."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from spar_lightning.types import DimensionNames

_BY_JOINT = 0
"""MuJoCo's kind of an actuator that drives a joint."""


def dimension_names(environment: gym.Env[Any, Any]) -> DimensionNames:
    """Names of the observations and actions of a MuJoCo model: its joints.

    Actions are named where every actuator drives a joint of its own, observations where they are positions and
    velocities of joints, as in Gymnasium's locomotion tasks.
    """
    simulator = environment.unwrapped
    model: Any = getattr(simulator, "model", None)
    if not all(hasattr(model, name) for name in ("joint", "njnt", "nq", "nu", "actuator_trnid", "actuator_trntype")):
        return DimensionNames(None, None)
    joints = [_plain(model.joint(number).name) for number in range(model.njnt)]
    return DimensionNames(_observations(environment, model, joints), _actions(model, joints))


def _actions(model: Any, joints: list[str]) -> list[str] | None:
    if any(kind != _BY_JOINT for kind in model.actuator_trntype):
        return None
    names = [joints[joint] for joint in model.actuator_trnid[:, 0]]
    return names if all(names) and len(set(names)) == len(names) else None


def _observations(environment: gym.Env[Any, Any], model: Any, joints: list[str]) -> list[str] | None:
    layout = getattr(environment.unwrapped, "observation_structure", None)
    if not isinstance(layout, dict) or model.njnt != model.nq or not all(joints):
        return None
    positions = joints[layout.get("skipped_qpos", 0) :]
    names = [f"{joint} position" for joint in positions] + [f"{joint} velocity" for joint in joints]
    return names if environment.observation_space.shape == (len(names),) else None


def _plain(name: str) -> str:
    return name.removesuffix("_joint").replace("_", " ")
