"""From a data set to the parts that a run trains on and validates with: checked, chosen, split, rewards transformed."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from torch import Tensor

from spar_lightning.datasets.dataset import FloatArray, OfflineDataset
from spar_lightning.datasets.selection import Selection, chosen_episodes
from spar_lightning.replay.quality import Quality, Sound, action_bounds, sound_transitions
from spar_lightning.replay.rewards import (
    RewardScale,
    check_reward_settings,
    reward_factor,
    terminate_at_goals,
    transform_rewards,
)
from spar_lightning.replay.statistics import compute_statistics, share_outside
from spar_lightning.replay.storage.choice import Storage, read_transitions
from spar_lightning.replay.storage.transitions import Transitions
from spar_lightning.telling import tell, warn
from spar_lightning.types import DataError, DatasetStatistics

_SPLIT_SEED = 0  # not the run's, so that all runs hold out the same episodes


@dataclass(frozen=True)
class Preparation:
    """What a run makes of a data set; `OfflineDataModule` says what each setting means."""

    selection: Selection
    storage: Storage
    validation_fraction: float
    drop_reset_rows: bool
    goal_terminations: bool
    reward_scale: RewardScale
    reward_shift: float
    normalize_observations: bool

    def check(self) -> None:
        """Refuse what makes no sense, whatever the data.

        Raises:
            DataError: a setting is out of its range.
        """
        if not 0 <= self.validation_fraction < 1:
            raise DataError(
                f"`validation_fraction` is {self.validation_fraction}, expected at least 0 and less than 1."
            )
        check_reward_settings(self.reward_scale, self.reward_shift)
        self.selection.check()


class Limits(NamedTuple):
    """What steps in an environment keep to."""

    action_low: FloatArray  # (A,)
    action_high: FloatArray  # (A,)
    episode_steps: int | None  # None where no time limit is known


class Parts(NamedTuple):
    """A data set, read."""

    training: Transitions  # in time order
    held_out: Transitions | None  # likewise, None where nothing is held out
    statistics: DatasetStatistics  # of the training part
    episodes: int  # of both parts
    held_out_episodes: int


def limits(dataset: OfflineDataset, environment: gym.Env[Any, Any] | None) -> Limits:
    """The bounds that the actions should keep, and the environment's time limit where one is known.

    Args:
        dataset: that states bounds, or not.
        environment: that counts in the place of the one that the data name, if any does.
    """
    spec = dataset.environment_spec if environment is None else environment.spec
    return Limits(*action_bounds(dataset, environment), None if spec is None else spec.max_episode_steps)


def read_parts(name: str, dataset: OfflineDataset, bounds: Limits, preparation: Preparation) -> Parts:
    """Read all transitions, see that they are sound, and part them.

    Args:
        name: by which messages speak of the data.
        dataset: opened.
        bounds: that its actions and episodes should keep.
        preparation: what the run makes of it.

    Raises:
        DataError: if they cannot be trained on, or a setting does not go with them.
    """
    checks = functools.partial(
        Quality,
        bounds.action_low,
        bounds.action_high,
        dataset.observation_dim,
        bounds.episode_steps,
        dataset.ends_flagged_twice,
        dataset.ends_are_successes,
    )
    sound = sound_transitions(name, read_transitions(dataset, preparation.storage), checks, preparation.drop_reset_rows)
    transitions = _selected(sound, name, dataset, preparation.selection)
    episodes = transitions.num_episodes
    numbers = _held_out_episodes(episodes, preparation.validation_fraction)
    training, held_out = transitions.split(numbers)
    parts = [training] if held_out is None else [training, held_out]
    if preparation.goal_terminations:
        for part in parts:
            terminate_at_goals(part)
    factor = reward_factor(training, preparation.reward_scale)  # of the training part alone
    for part in parts:
        transform_rewards(part, factor, preparation.reward_shift)
    normalizes = preparation.normalize_observations
    statistics = compute_statistics(training, bounds.action_low, bounds.action_high, normalizes)
    return Parts(training, held_out, statistics, episodes, len(numbers))


def _selected(sound: Sound, name: str, dataset: OfflineDataset, selection: Selection) -> Transitions:
    """The chosen episodes: now, since what is wrong with the data is seen best in all of them."""
    if selection.keeps_all:
        return sound.transitions
    chosen = chosen_episodes(dataset, selection, sound.lost)
    tell(f"{name}: {chosen.episodes.sum():,} of {len(chosen.episodes):,} episodes are chosen")
    return sound.transitions.only_episodes(chosen.numbers)


def _held_out_episodes(num_episodes: int, fraction: float) -> list[int]:
    """Numbers of the held-out episodes, ascending: a rounded share of them, never all."""
    count = min(int(num_episodes * fraction + 0.5), num_episodes - 1)
    order = np.random.default_rng(_SPLIT_SEED).permutation(num_episodes)
    return sorted(order[:count].tolist())


def tell_parts(name: str, parts: Parts, goal_terminations: bool) -> None:
    """Say what is trained on, and what is held out; warn of actions outside of their bounds."""
    rows = len(parts.training)
    where = ", on disk" if parts.training.on_disk else ""
    if parts.held_out is None:
        tell(f"{name}: {rows:,} transitions in {parts.episodes} episodes{where}; none are held out")
    else:
        others = len(parts.held_out)
        tell(
            f"{name}: {rows:,} of {rows + others:,} transitions are trained on,"
            f" {parts.episodes - parts.held_out_episodes} of {parts.episodes} episodes{where}; the other {others:,} are"
            " held out for validation losses and the offline check (`data.validation_fraction`)"
        )
    low, high = parts.statistics.action_low, parts.statistics.action_high
    if goal_terminations:
        reached = parts.training.column("terminations").mean().item()
        tell(f"{reached:.2%} of the transitions of {name} now end an episode: at a goal, or anyway")
    outside = share_outside(parts.training, low, high)
    if outside > 0:
        warn(
            f"{outside:.2%} of the action values of {name} are outside the environment's bounds "
            f"{_shortest(low)} to {_shortest(high)}; they are clipped where a policy needs it."
        )


def _shortest(bounds: Tensor) -> str:
    values = sorted(set(bounds.tolist()))
    return f"{values[0]:g}" if len(values) == 1 else str([round(value, 4) for value in bounds.tolist()])
