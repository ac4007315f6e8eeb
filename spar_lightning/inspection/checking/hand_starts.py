"""Putting the Adroit hands into the state with which a logged episode began.

Their observations lack velocities, so only a reset, where nothing moves, can be rebuilt: from the joints, and from
where the first observation says that the object and its goal are.

Source of the layouts: `_get_obs` and `reset_model` of `gymnasium_robotics/envs/adroit_hand` 1.4.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
HandStart = Callable[[Any, Vector], Vector]
"""Takes the simulator and the first observation (O,), rests the hand there, and returns its observation (O,)."""


def _rest(simulator: Any, joints: Vector, first: int) -> None:
    """Give the joints from number `first` on these positions, all others their initial ones, and stop everything."""
    positions = simulator.init_qpos.copy()
    positions[first : first + len(joints)] = joints
    _settle(simulator, positions)


def _settle(simulator: Any, positions: Vector) -> None:
    simulator.set_state(positions, np.zeros(simulator.model.nv))


def _move(place: Vector, shown: Vector, wanted: Vector) -> None:
    """Shift a body or site by what its shown position is off the wanted one; its parent is not turned."""
    place += wanted - shown


def start_door(simulator: Any, observation: Vector) -> Vector:
    """Joints 1 to 27, latch (27), hinge (28), palm (29 to 31) and handle (32 to 34)."""
    model, data = simulator.model, simulator.data
    _rest(simulator, observation[:27], first=1)
    positions = data.qpos.copy()
    positions[-2:] = observation[28], observation[27]
    # The arm's height, joint 0, is not observed, but the palm is: it moves along a line.
    palm = data.site("S_grasp").xpos.copy()
    raised = positions.copy()
    raised[0] += 1e-3
    _settle(simulator, raised)
    slope = (data.site("S_grasp").xpos - palm) / 1e-3
    positions[0] += slope @ (observation[29:32] - palm) / (slope @ slope)
    _settle(simulator, positions)
    _move(model.body("frame").pos, data.site("S_handle").xpos, observation[32:35])
    _settle(simulator, positions)
    return _observation(simulator)


def start_hammer(simulator: Any, observation: Vector) -> Vector:
    """Joints 0 to 26, the hammer where it always lies, and the nail (42 to 44)."""
    _rest(simulator, observation[:27], first=0)
    _move(simulator.model.body("nail_board").pos, simulator.data.site("S_target").xpos, observation[42:45])
    _settle(simulator, simulator.data.qpos.copy())
    return _observation(simulator)


def start_pen(simulator: Any, observation: Vector) -> Vector:
    """Joints 0 to 23, the pen where it always lies, and the wanted direction (36 to 38)."""
    model, data = simulator.model, simulator.data
    model.body("target").quat[:] = 1.0, 0.0, 0.0, 0.0
    _rest(simulator, observation[:24], first=0)
    unturned = data.site("target_top").xpos - data.site("target_bottom").xpos
    unturned /= np.linalg.norm(unturned)
    # The shortest turn from one direction to the other; a turn about the pen's own axis is not seen.
    turn = np.array([1 + unturned @ observation[36:39], *np.cross(unturned, observation[36:39])])
    model.body("target").quat[:] = turn / np.linalg.norm(turn)
    _settle(simulator, data.qpos.copy())
    return _observation(simulator)


def start_relocate(simulator: Any, observation: Vector) -> Vector:
    """Joints 0 to 29, palm to ball (30 to 32) and palm to goal (33 to 35)."""
    model, data = simulator.model, simulator.data
    _rest(simulator, observation[:30], first=0)
    palm = data.site("S_grasp").xpos.copy()
    _move(model.body("Object").pos, data.body("Object").xpos, palm - observation[30:33])
    _move(model.site("target").pos, data.site("target").xpos, palm - observation[33:36])
    _settle(simulator, data.qpos.copy())
    return _observation(simulator)


def _observation(simulator: Any) -> Vector:
    observation: Vector = simulator._get_obs()
    return observation


HAND_STARTS: dict[str, HandStart] = {
    "AdroitHandDoor": start_door,
    "AdroitHandHammer": start_hammer,
    "AdroitHandPen": start_pen,
    "AdroitHandRelocate": start_relocate,
}
"""Id of the environment without its version -> how its episodes start."""
