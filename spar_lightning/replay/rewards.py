"""What a run makes of the recorded rewards and goals; the stored data stay as they are."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from spar_lightning.replay.storage.transitions import Transitions
from spar_lightning.types import DataError

RETURN_RANGE = 1000.0
"""What `return_range` scales the distance between the worst and the best episode to."""

RewardScale = float | Literal["return_range"]


def check_reward_settings(scale: RewardScale, shift: float) -> None:
    """Refuse what would make the rewards meaningless.

    Raises:
        DataError: the scale is not a positive number or `return_range`, or the shift is not finite.
    """
    if scale != "return_range" and not (isinstance(scale, float | int) and 0 < scale < math.inf):
        raise DataError(f"`reward_scale` is {scale!r}, expected a positive number or `return_range`.")
    if not math.isfinite(shift):
        raise DataError(f"`reward_shift` is {shift}, expected a finite number.")


def episode_returns(transitions: Transitions) -> Tensor:
    """Undiscounted returns (E,) float64 of the episodes."""
    ends = torch.where(transitions.episode_ends)[0].cpu().numpy()
    rewards = transitions.rewards.cpu().double().numpy()
    return torch.from_numpy(np.add.reduceat(rewards, np.concatenate([[0], ends[:-1] + 1])))


def reward_factor(transitions: Transitions, scale: RewardScale) -> float:
    """The factor that a scale stands for.

    `return_range` is 1000 / (largest - smallest return of an episode), as IQL scales the rewards of D4RL's locomotion
    tasks (Kostrikov et al., 2021, appendix B); here over the training part of the data.

    Raises:
        DataError: all episodes have the same return.
    """
    if scale != "return_range":
        return float(scale)
    returns = episode_returns(transitions)
    spread = float(returns.max() - returns.min())
    if not spread > 0:
        raise DataError(
            f"`reward_scale` is return_range, but all {len(returns)} episodes have the return {returns[0]:g}: expected "
            "returns that differ. Give a number."
        )
    return RETURN_RANGE / spread


def transform_rewards(transitions: Transitions, factor: float, shift: float) -> None:
    """Replace the rewards by `factor * rewards + shift`.

    Raises:
        DataError: one of them would be too large for float32.
    """
    if factor == 1.0 and shift == 0.0:
        return
    rewards = transitions.rewards * factor + shift
    if not rewards.isfinite().all():
        raise DataError(
            f"Rewards up to {float(transitions.rewards.abs().max()):g}, times {factor:g} plus {shift:g}, are too large "
            "for float32: give a smaller `reward_scale` or `reward_shift`."
        )
    transitions.set_column("rewards", rewards)


def terminate_at_goals(transitions: Transitions) -> None:
    """Make every transition with a positive reward a termination, and the end of an episode.

    So do the flags in D4RL's AntMaze files. Minari's recordings of the same task never terminate: there the
    ant collects a reward in every step that it stays at the goal.
    """
    reached = transitions.rewards > 0
    transitions.set_column("terminations", torch.maximum(transitions.terminations, reached.float()))
    transitions.episode_ends |= reached.to(transitions.episode_ends.device)
