"""D4RL's reference returns, by which a return becomes a normalized score."""

from __future__ import annotations

from typing import NamedTuple

from gymnasium.envs.registration import EnvSpec


class ScoreScale(NamedTuple):
    """How the returns of a data set's policies become normalized scores, if they do."""

    reference: tuple[float, float] | None  # returns that score 0 and 100; None where none are defined
    note: str  # where they come from and for what they were defined, or why there are none


REFERENCE_SCORES: dict[str, tuple[float, float]] = {
    "hopper": (-20.272305, 3234.3),
    "halfcheetah": (-280.178953, 12135.0),
    "walker2d": (1.629008, 4592.3),
    "ant": (-325.6, 3879.7),
    "pen": (96.262799, 3076.8331),
    "hammer": (-274.856578, 12794.134825),
    "door": (-56.512833, 2880.5693),
    "relocate": (-6.425911, 4233.8771),
}
"""Task -> (return of a random policy, return of D4RL's expert), undiscounted sums of rewards.

Source: `d4rl/infos.py` of Farama-Foundation/D4RL. `normalized score = 100 * (return - low) / (high - low)`.
They were defined for the environments of 2020, which Gymnasium's `-v4` ids reproduce; on `-v5` a score is on the same
scale, but it is not the same benchmark. The table is versioned with this package: a change of it changes scores.
"""

_ENVIRONMENT_TASKS = {
    "Hopper": "hopper",
    "HalfCheetah": "halfcheetah",
    "Walker2d": "walker2d",
    "Ant": "ant",
    "AdroitHandPen": "pen",
    "AdroitHandHammer": "hammer",
    "AdroitHandDoor": "door",
    "AdroitHandRelocate": "relocate",
}


def score_scale(spec: EnvSpec | None) -> ScoreScale:
    """The scale for an environment with its time limit.

    >>> score_scale(EnvSpec("Walker2d-v5", max_episode_steps=1000)).reference
    (1.629008, 4592.3)
    """
    if spec is None:
        return ScoreScale(None, "no environment is known")
    stem = spec.id.rpartition("/")[2].rpartition("-v")[0]
    task = _ENVIRONMENT_TASKS.get(stem)
    if task is None:
        return ScoreScale(None, f"no reference scores are known for {spec.id}")
    return ScoreScale(REFERENCE_SCORES[task], "D4RL's")
