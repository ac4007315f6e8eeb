"""What is told of a data set: numbers worked out by hand, defects, and the text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer

from spar_lightning.datasets import Episode, OfflineDataset, open_dataset
from spar_lightning.inspection.description import Description, describe, describe_as_text
from spar_lightning.inspection.description.episodes import Distribution
from spar_lightning.simulators.reference_scores import ScoreScale
from spar_lightning.types import DataError


def dataset(episodes: list[Episode], **changes: Any) -> OfflineDataset:
    """A data set of episodes in memory, of 3 observations and 2 actions in [-0.02, 0.02]."""
    settings: dict[str, Any] = {
        "name": "toy/set-v0",
        "observation_dim": 3,
        "action_dim": 2,
        "action_low": np.full(2, -0.02, dtype=np.float32),
        "action_high": np.full(2, 0.02, dtype=np.float32),
        "num_episodes": len(episodes),
        "num_transitions": sum(len(episode.rewards) for episode in episodes),
        "read": lambda: iter(episodes),
    }
    return OfflineDataset(**settings | changes)


def sections(description: Description) -> dict[str, str]:
    """The text by label, with the lines below a label joined."""
    found: dict[str, str] = {}
    label = ""
    first, *lines = describe_as_text(description).splitlines()
    assert first == description.name
    for line in lines:
        assert len(line) <= 100, line
        assert line == line.rstrip()
        label = line[2:16].strip() or label
        found[label] = f"{found.get(label, '')} {line[16:].strip()}".strip()
    return found


def test_counts_returns_lengths_and_ends(make_episode: Callable[..., Episode]) -> None:
    episodes = [make_episode(2, True), make_episode(4, False), make_episode(3, True, start=1)]
    found = describe(dataset(episodes))
    assert (found.episodes, found.transitions, found.observation_dim, found.action_dim) == (3, 9, 3, 2)
    # Rewards are ten times the time: 0 + 10, 0 + 10 + 20 + 30, 10 + 20 + 30.
    assert (found.returns.minimum, found.returns.median, found.returns.maximum) == (10, 60, 60)
    assert found.returns.mean == pytest.approx(130 / 3)
    assert found.returns.std == pytest.approx(np.std([10, 60, 60]))
    assert (found.lengths.minimum, found.lengths.median, found.lengths.maximum) == (2, 3, 4)
    assert found.lengths.histogram.counts == [1, 1, 1]
    assert (found.ends.terminated, found.ends.cut, found.ends.at_time_limit) == (2, 1, None)
    assert found.rewards.mean == pytest.approx(130 / 9)
    assert found.rewards.zeros == pytest.approx(2 / 9)
    assert found.defects == []
    assert found.bytes_in_memory == 9 * 4 * (3 + 2 + 1 + 3 + 1 + 2 + 1)


def test_sums_over_chunks_are_those_of_all_rows() -> None:
    random = np.random.default_rng(0)
    observations = (1000 + random.normal(size=(40_001, 3))).astype(np.float32)
    actions = random.uniform(-1, 1, size=(40_000, 2)).astype(np.float32)
    episodes = [
        Episode(*(a[start : start + 100] for a in (observations[:-1], actions, actions[:, 0], observations[1:])), False)
        for start in range(0, 40_000, 100)
    ]
    found = describe(dataset(episodes)).observations
    np.testing.assert_allclose(found.mean, observations[:-1].mean(0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(found.std, observations[:-1].std(0, dtype=np.float64), rtol=1e-9)
    np.testing.assert_array_equal(found.maximum, observations[:-1].max(0))


def test_actions_at_and_beyond_their_bounds() -> None:
    actions = np.array([[1, -1], [0.5, -3], [0.999999, 0], [-0.99, 0.25]], dtype=np.float32)
    zeros = np.zeros((4, 3), dtype=np.float32)
    episode = Episode(zeros, actions, np.zeros(4, dtype=np.float32), zeros, True)
    one = np.ones(2, dtype=np.float32)
    found = describe(dataset([episode], action_low=-one, action_high=one)).action_bounds
    np.testing.assert_array_equal(found.at_high, [0.5, 0])
    np.testing.assert_array_equal(found.at_low, [0, 0.5])
    assert (found.saturation, found.outside) == (0.5, 0.125)


def test_unbounded_actions(make_episode: Callable[..., Episode]) -> None:
    unbounded = np.full(2, np.inf, dtype=np.float32)
    found = describe(dataset([make_episode(4, True)], action_low=-unbounded, action_high=unbounded))
    assert found.as_dict()["action_bounds"] == {
        "low": [None, None],
        "high": [None, None],
        "at_low": [None, None],
        "at_high": [None, None],
        "saturation": None,
        "outside": None,
    }
    assert "no bounds are stated" in sections(found)["Actions"]


def test_values_that_are_not_finite_are_counted_with_the_first_place(make_episode: Callable[..., Episode]) -> None:
    episodes = [make_episode(3, True), make_episode(5, True)]
    episodes[1].observations[2, 1] = np.nan
    episodes[1].observations[4] = np.inf
    episodes[0].rewards[1] = -np.inf
    found = describe(dataset(episodes))
    first = found.observations.first_non_finite
    assert first is not None
    assert (found.observations.non_finite, first.episode, first.step, first.dimension) == (4, 1, 2, 1)
    assert found.observations.maximum.max() == 3.5, "of the values that are finite"
    assert found.returns.maximum == 100, "of the episode whose return is finite"
    assert found.returns.minimum == 100
    rewards = next(defect for defect in found.defects if "`rewards`" in defect)
    assert "has 1 NaN or infinite value(s), the first in dimension 0 at step 1 of episode 0" in rewards
    assert "4 NaN or infinite" in sections(found)["Defects"]
    json.dumps(found.as_dict(), allow_nan=False)


def test_constant_dimensions(make_episode: Callable[..., Episode]) -> None:
    episode = make_episode(6, True)
    episode.observations[:, 2] = 7
    found = describe(dataset([episode]))
    assert found.observations.constant == [2]
    assert sections(found)["Constant"] == "observations: dimension 2"


def test_episodes_that_lack_their_last_next_observation(make_episode: Callable[..., Episode]) -> None:
    episodes = [make_episode(4, False, lacks_last=True), make_episode(3, True, lacks_last=True)]
    for stated in (7, 6):  # with and without the transition that is left out
        found = describe(dataset(episodes, num_transitions=stated))
        assert found.ends.lack_next_observation == 1, "a termination needs none"
        assert found.transitions == 6
        assert found.defects == []


def test_episodes_that_do_not_make_sense_are_left_out_and_told(make_episode: Callable[..., Episode]) -> None:
    good = make_episode(4, True)
    short = good._replace(actions=good.actions[:-1])
    wide = good._replace(observations=np.zeros((4, 5), dtype=np.float32))
    empty = make_episode(0, False)
    found = describe(dataset([good, short, empty, wide, good]))
    assert (found.episodes, found.transitions) == (2, 8)
    assert "2 episode(s) are left out here; episode 1 has arrays of different lengths" in found.defects[0]
    assert "3 actions" in found.defects[0]
    assert found.defects[1] == "1 episode(s) hold no transition."


def test_counts_that_are_not_those_stated(make_episode: Callable[..., Episode]) -> None:
    episodes = [make_episode(4, True)]
    assert describe(dataset(episodes, num_episodes=3)).defects == ["The data set states 3 episodes and holds 1."]
    assert describe(dataset(episodes, num_transitions=9)).defects == ["The data set states 9 transitions and holds 4."]


def test_data_that_break_off_are_described_up_to_there(make_episode: Callable[..., Episode]) -> None:
    def read(whole: int) -> Iterator[Episode]:
        for _ in range(whole):
            yield make_episode(4, True)
        raise DataError("The file is truncated.")

    found = describe(dataset([], num_episodes=9, read=lambda: read(2)))
    assert found.episodes == 2
    assert found.defects == ["Reading stopped after 2 episode(s): The file is truncated."]
    with pytest.raises(DataError, match="truncated"):
        describe(dataset([], read=lambda: read(0)))


def test_a_data_set_without_episodes() -> None:
    found = describe(dataset([]))
    assert (found.episodes, found.transitions) == (0, 0)
    assert found.behavior.verdict == "cannot tell"
    assert sections(found)["Returns"].startswith("mean - ± -")
    json.dumps(found.as_dict(), allow_nan=False)


def test_scores_and_time_limit(make_episode: Callable[..., Episode]) -> None:
    episodes = [make_episode(4, False), make_episode(2, True), make_episode(3, False), make_episode(5, False)]
    spec = EnvSpec("Pendulum-v1", max_episode_steps=4)
    found = describe(dataset(episodes, environment_spec=spec, scale=ScoreScale((10, 60), "a table's")))
    assert (found.scores.low, found.scores.high, found.scores.note) == (10, 60, "a table's")
    assert (found.scores.median, found.scores.maximum) == (70, 180)  # returns are 60, 10, 30 and 100
    ends = found.ends
    # One step before the limit is at the limit, as some of D4RL's files have it.
    assert (ends.terminated, ends.at_time_limit, ends.longer, ends.cut) == (1, 3, 1, 0)
    assert "75.0% cut off at the time limit or later, 0% cut off before it; 1 ep" in sections(found)["Ends"]


def test_time_outs_that_were_stored_as_terminations_are_suspected(make_episode: Callable[..., Episode]) -> None:
    spec = EnvSpec("Pendulum-v1", max_episode_steps=4)
    for lengths, suspected in (((4, 4, 4), True), ((4, 2, 1), False), ((3, 4, 1, 2, 1), False)):
        found = describe(dataset([make_episode(length, True) for length in lengths], environment_spec=spec))
        assert any("just at the time limit: are they time-outs?" in text for text in found.defects) == suspected


def test_an_environment_that_cannot_be_made_is_told(make_episode: Callable[..., Episode]) -> None:
    found = describe(dataset([make_episode(4, True)], environment_spec=EnvSpec("Nowhere-v3", max_episode_steps=10)))
    assert not found.environment.available
    assert found.environment.time_limit == 10
    assert "Nowhere" in found.environment.note
    assert "Nowhere-v3, at most 10 steps: it cannot be made here" in sections(found)["Environment"]


def test_an_environment_of_other_shapes_is_told(make_episode: Callable[..., Episode]) -> None:
    found = describe(dataset([make_episode(4, True)], environment_spec=EnvSpec("Pendulum-v1")))
    assert found.environment.available
    assert found.environment.time_limit == 200, "the registered one"
    assert found.environment.note == "its actions have the shape (1,), those of the data (2,)"


def test_a_bundled_data_set(hopper: str) -> None:
    found = describe(open_dataset(hopper))
    text = sections(found)
    assert text["Size"].startswith("2,000 transitions in ")
    assert found.bytes_on_disk is not None
    assert found.bytes_on_disk > 4 * 2000 * (11 + 3)
    assert text["Environment"] == "Hopper-v5, at most 1,000 steps: it can be made here"
    assert "3,234 scores 100" in text["Scores"]
    assert text["Defects"].startswith("none found")
    assert sum(found.lengths.histogram.counts) == found.episodes
    assert found.ends.terminated + (found.ends.at_time_limit or 0) + found.ends.cut == found.episodes


def test_a_minari_data_set_with_nan(make_minari: Callable[..., str]) -> None:
    observations = np.zeros((4, 5))
    observations[2, 3] = np.nan
    ends = np.array([False, False, True])
    buffer = EpisodeBuffer(
        observations=observations,
        actions=np.zeros((3, 2)),
        rewards=np.array([1.0, 2.0, 3.0]),
        terminations=ends,
        truncations=~ends & False,
    )
    found = describe(open_dataset(make_minari([buffer])))
    assert found.returns.mean == 6
    assert found.observations.non_finite == 1
    assert found.environment.id is None
    assert found.bytes_on_disk


def test_a_file_of_arrays(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    arrays = {"observations": np.eye(6, 3), "actions": np.zeros((6, 2)), "rewards": np.arange(6.0)}
    np.savez(path, terminals=np.array([0, 0, 1, 0, 0, 0]), timeouts=np.array([0, 0, 0, 0, 0, 1]), **arrays)
    found = describe(open_dataset(str(path)))
    assert (found.episodes, found.transitions) == (2, 5)
    assert (found.returns.minimum, found.returns.maximum) == (3, 12)
    assert found.bytes_on_disk == path.stat().st_size


@pytest.mark.parametrize(
    ("values", "edges", "counts"),
    [
        ([0, 1, 1, 1], [-0.5, 0.5, 1.5], [1, 3]),
        ([0.0, 10.0, 1000.0], [100 * n for n in range(11)], [2, *[0] * 8, 1]),
        ([5.0, 5.0], [5, 5], [2]),
        ([], [], []),
    ],
    ids=["whole numbers", "round edges", "one value", "nothing"],
)
def test_histograms(values: list[float], edges: list[float], counts: list[int]) -> None:
    found = Distribution.of(np.array(values, dtype=np.float64)).histogram
    assert found.edges == pytest.approx(edges)
    assert found.counts == counts


@pytest.mark.parametrize("scale", [1e-6, 0.37, 1.0, 3.3e5, 1e30])
def test_a_histogram_counts_every_value(scale: float) -> None:
    for seed in range(20):
        values = np.random.default_rng(seed).normal(seed, 3, size=100) * scale
        counts = Distribution.of(values).histogram.counts
        assert sum(counts) == 100
        assert 3 <= len(counts) <= 13


def test_dict_observations_are_named(make_episode: Callable[..., Episode]) -> None:
    keys = ("observation", "desired_goal")
    found = describe(dataset([make_episode(4, True)], observation_keys=keys))
    assert "observation, desired_goal, side by side" in sections(found)["Observations"]
    assert found.as_dict()["observation_keys"] == list(keys)


def test_many_action_dimensions_show_the_most_saturated(make_minari: Callable[..., str]) -> None:
    actions = np.zeros((3, 20))
    actions[:, 17] = 1
    buffer = EpisodeBuffer(
        observations=np.random.default_rng(0).normal(size=(4, 5)),
        actions=actions,
        rewards=np.zeros(3),
        terminations=np.array([False, False, True]),
        truncations=np.zeros(3, dtype=bool),
    )
    space = gym.spaces.Box(-1, 1, (20,), np.float32)
    text = sections(describe(open_dataset(make_minari([buffer], action_space=space))))["Actions"]
    assert "17" in text
    assert "... and 12 less often at a bound" in text
