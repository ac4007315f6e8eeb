"""What a run makes of recorded rewards, goals and observations, against numbers computed by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from minari.data_collector import EpisodeBuffer

from spar_lightning.datasets import Episode
from spar_lightning.replay import OfflineDataModule, PackedTransitions
from spar_lightning.replay.rewards import (
    check_reward_settings,
    episode_returns,
    reward_factor,
    terminate_at_goals,
    transform_rewards,
)
from spar_lightning.types import DataError

MakeMinari = Callable[..., str]


def episode(rewards: list[float], termination: bool = False) -> Episode:
    times = np.arange(len(rewards) + 1, dtype=np.float32)[:, None]
    actions = np.zeros((len(rewards), 2), dtype=np.float32)
    return Episode(times[:-1], actions, np.array(rewards, dtype=np.float32), times[1:], termination)


def test_who_stays_at_the_goal_begins_no_episode() -> None:
    """Walks that reach the goal, stay, and leave it once; one ends elsewhere; one begins where another was cut off."""
    walks = [[0, 0, 1, 1, 1, 0, 0], [0, 0], [0, 1, 1]]
    transitions = PackedTransitions.from_episodes([episode(rewards) for rewards in walks])
    assert transitions.walks().tolist() == [0] * 7 + [1] * 2 + [2] * 3
    terminate_at_goals(transitions)
    assert transitions.num_episodes == 4 + 1 + 2
    assert transitions.walks().tolist() == [0] * 7 + [1] * 2 + [2] * 3


def test_an_end_that_leads_to_the_next_start_is_one_all_the_same() -> None:
    """Some recordings state the next episode's first observation as the last one's next."""
    transitions = PackedTransitions.from_episodes([episode([0, 1], True), episode([0, 0], True)])
    transitions.next_observations[1] = transitions.observations[2]
    assert transitions.walks().tolist() == [0, 0, 1, 1]


@pytest.fixture
def transitions() -> PackedTransitions:
    """Returns 3, 6 and -2."""
    return PackedTransitions.from_episodes([episode([1, 2]), episode([6], True), episode([-1, 0, -1])])


def test_returns_of_episodes(transitions: PackedTransitions) -> None:
    assert episode_returns(transitions).tolist() == [3, 6, -2]


def test_scale_comes_before_shift(transitions: PackedTransitions) -> None:
    transform_rewards(transitions, 2.0, -1.0)
    assert transitions.rewards.tolist() == [1, 3, 11, -3, -1, -3]


def test_the_return_range_becomes_a_thousand(transitions: PackedTransitions) -> None:
    factor = reward_factor(transitions, "return_range")
    assert factor == 1000 / 8
    transform_rewards(transitions, factor, 0.0)
    returns = episode_returns(transitions)
    assert returns.max() - returns.min() == 1000


def test_equal_returns_have_no_range() -> None:
    with pytest.raises(DataError, match="all 2 episodes have the return 1: expected returns that differ"):
        reward_factor(PackedTransitions.from_episodes([episode([1]), episode([0, 1])]), "return_range")


@pytest.mark.parametrize("scale", [0, -1.0, float("nan"), float("inf"), "range"])
def test_scales_that_make_no_sense_are_refused(scale: object) -> None:
    with pytest.raises(DataError, match=r"`reward_scale` is .*, expected a positive number or `return_range`"):
        check_reward_settings(scale, 0.0)  # type: ignore[arg-type]


def test_a_shift_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(DataError, match="`reward_shift` is nan"):
        OfflineDataModule(reward_shift=float("nan"))


def test_rewards_that_become_too_large_are_refused(transitions: PackedTransitions) -> None:
    with pytest.raises(DataError, match=r"Rewards up to 6, times 1e\+38 plus 0, are too large"):
        transform_rewards(transitions, 1e38, 0.0)


def test_a_goal_ends_the_episode_each_time_that_it_is_reached() -> None:
    """As in D4RL's AntMaze files: each step at the goal is a termination, so an episode of its own."""
    transitions = PackedTransitions.from_episodes([episode([0, 0, 1, 1, 0]), episode([0, 0])])
    terminate_at_goals(transitions)
    assert transitions.terminations.tolist() == [0, 0, 1, 1, 0, 0, 0]
    assert transitions.episode_ends.tolist() == [False, False, True, True, True, False, True]
    assert transitions.num_episodes == 4


def recordings(reaching: int) -> list[EpisodeBuffer]:
    """Twenty of 6 steps that never terminate; so many have a reward of 1 from the fourth step on."""
    ends = np.arange(6) == 5
    return [
        EpisodeBuffer(
            observations=np.random.default_rng(seed).normal(3.0, 2.0, size=(7, 5)),
            actions=np.full((6, 2), 0.5),
            rewards=((np.arange(6) >= 3) & (seed < reaching)).astype(float),
            terminations=np.zeros(6, dtype=bool),
            truncations=ends,
        )
        for seed in range(20)
    ]


@pytest.fixture
def maze(make_minari: MakeMinari) -> str:
    return make_minari(recordings(20))


@pytest.mark.parametrize("storage", ["memory", "map"])
def test_antmaze_settings_through_the_data_module(
    maze: str, storage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("SPAR_LIGHTNING_CACHE", str(tmp_path))
    data = OfflineDataModule(maze, reward_shift=-1.0, goal_terminations=True, storage=storage)  # type: ignore[arg-type]
    data.setup("fit")
    for part, episodes in ((data.transitions, 19), (data.validation_transitions, 1)):
        assert part is not None
        assert part.rewards.tolist() == [-1, -1, -1, 0, 0, 0] * episodes
        assert part.terminations.tolist() == [0, 0, 0, 1, 1, 1] * episodes
        assert part.num_episodes == 3 * episodes
        assert part.batch(slice(3, 4)).rewards.tolist() == [0]


def test_observations_can_be_left_as_they_are(maze: str) -> None:
    raw, normalized = (OfflineDataModule(maze, normalize_observations=flag) for flag in (False, True))
    for data in (raw, normalized):
        data.setup("fit")
    assert torch.equal(raw.statistics.observation_mean, torch.zeros(5))
    assert torch.equal(raw.statistics.observation_std, torch.ones(5))
    assert (normalized.statistics.observation_mean > 2).all()


def test_the_return_range_is_that_of_the_episodes_that_are_trained_on(make_minari: MakeMinari) -> None:
    """After goals have cut them: returns of 1 at the goal and 0 elsewhere, not 3 for a recording that reaches it."""
    data = OfflineDataModule(make_minari(recordings(10)), reward_scale="return_range", goal_terminations=True)
    data.setup("fit")
    assert data.transitions.rewards.unique().tolist() == [0, 1000]
