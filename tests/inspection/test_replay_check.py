from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from spar_lightning.datasets import Episode, OfflineDataset, load_behavior
from spar_lightning.inspection.checking.check import check_dataset, check_opened
from spar_lightning.inspection.checking.report import OUTLIER, TOLERANCE
from spar_lightning.simulators import make_environment
from spar_lightning.types import DataError, EnvironmentUnavailableError

Act = Callable[[Any, np.random.Generator], Any]


def _episodes(spec: EnvSpec, keys: tuple[str, ...] | None, act: Act, lengths: list[int]) -> list[Episode]:
    environment = make_environment(spec, keys)
    random = np.random.default_rng(0)
    episodes = []
    for number, length in enumerate(lengths):
        observation, _ = environment.reset(seed=number)
        observations, actions, rewards, terminated, truncated = [observation], [], [], False, False
        while not (terminated or truncated) and len(rewards) < length:
            actions.append(act(observation, random))
            observation, reward, terminated, truncated, _ = environment.step(actions[-1])
            observations.append(observation)
            rewards.append(np.float32(reward))
        seen = np.asarray(observations, dtype=np.float32)
        episodes.append(
            Episode(
                seen[:-1], np.asarray(actions, np.float32), np.asarray(rewards, np.float32), seen[1:], bool(terminated)
            )
        )
    return episodes


def _dataset(episodes: list[Episode], spec: EnvSpec | None, keys: tuple[str, ...] | None = None) -> OfflineDataset:
    observation_dim, action_dim = episodes[0].observations.shape[1], episodes[0].actions.shape[1]

    def read() -> Iterator[Episode]:
        return iter(episodes)

    return OfflineDataset(
        name="recorded",
        observation_dim=observation_dim,
        action_dim=action_dim,
        action_low=np.full(action_dim, -1, np.float32),
        action_high=np.ones(action_dim, np.float32),
        num_episodes=len(episodes),
        num_transitions=sum(len(episode.rewards) for episode in episodes),
        read=read,
        environment_spec=spec,
        observation_keys=keys,
    )


def _random(size: int) -> Act:
    return lambda _, random: random.uniform(-1, 1, size).astype(np.float32)


def _behavior(name: str) -> Act:
    behavior = load_behavior(name)
    policy = behavior.checkpoints[behavior.medium]
    return lambda observation, random: policy.sample(
        np.asarray(observation)[None], random.standard_normal((1, policy.action_dim))
    )[0]


@pytest.fixture(scope="module")
def walker_v4() -> OfflineDataset:
    spec = EnvSpec("Walker2d-v4")
    return _dataset(_episodes(spec, None, _behavior("walker2d"), [150] * 8), spec)


@pytest.fixture(scope="module")
def hopper_v4() -> OfflineDataset:
    spec = EnvSpec("Hopper-v4")
    return _dataset(_episodes(spec, None, _behavior("hopper"), [1000] * 6), spec)


@pytest.mark.parametrize("fixture", ["hopper", "cheetah"])
def test_bundled_data_are_of_the_installed_simulator(fixture: str, request: pytest.FixtureRequest) -> None:
    report = check_dataset(request.getfixturevalue(fixture), steps=500)
    assert report.verdict == "same"
    assert report.next_observations.percentile_95 < 1e-5
    assert report.rewards is not None
    assert report.rewards.percentile_95 < 1e-5
    assert report.differing_terminations == 0
    assert report.replayed + sum(report.left_out.values()) == 500


def test_data_of_another_version_are_not(walker_v4: OfflineDataset) -> None:
    """The friction of a foot differs."""
    assert check_opened(walker_v4).verdict == "same"
    report = check_opened(walker_v4, "Walker2d-v5")
    assert report.verdict == "different"
    assert report.next_observations.percentile_95 > 10 * TOLERANCE
    assert "different: the simulator here does not repeat the data" in str(report)
    assert max(map(len, str(report).splitlines())) <= 120


def test_a_rare_difference_is_told(hopper_v4: OfflineDataset) -> None:
    """From version 4 to 5 the reward of the step that falls differs, and no other."""
    report = check_opened(hopper_v4, "Hopper-v5", steps=hopper_v4.num_transitions)
    falls = sum(episode.termination for episode in hopper_v4.episodes())
    clipped = sum(np.abs(episode.observations[-1, 5:]).max() >= 10 for episode in hopper_v4.episodes())
    assert report.verdict == "same but for some"
    assert report.outliers == falls - clipped > 0
    assert report.rewards is not None
    assert report.rewards.percentile_95 < 1e-5 < OUTLIER < report.rewards.largest


@pytest.fixture(scope="module")
def long_walks() -> OfflineDataset:
    """Ends are a hundredth of the steps: none of them in the 95th percentile."""
    spec, keys = EnvSpec("PointMaze_UMaze-v3"), ("observation", "desired_goal")
    return _dataset(_episodes(spec, keys, _random(2), [100] * 10), spec, keys)


@pytest.mark.parametrize("wrong", ["nothing", "terminations", "next observations"])
def test_ends_that_are_wrong_are_found(long_walks: OfflineDataset, wrong: str) -> None:
    episodes = list(long_walks.episodes())
    if wrong == "terminations":  # time-outs stored as such
        episodes = [episode._replace(termination=True) for episode in episodes]
    if wrong == "next observations":  # those after a reset
        afterwards = [other.observations[:1] for other in episodes[1:] + episodes[:1]]
        episodes = [
            episode._replace(next_observations=np.concatenate([episode.next_observations[:-1], start]))
            for episode, start in zip(episodes, afterwards, strict=True)
        ]
    report = check_opened(_dataset(episodes, long_walks.environment_spec, long_walks.observation_keys), steps=400)
    assert report.next_observations.percentile_95 < TOLERANCE
    assert report.verdict == ("same" if wrong == "nothing" else "other ends")
    assert report.ends == (10, 10 * (wrong == "next observations"), 10 * (wrong == "terminations"))
    assert report.as_dict()["ends"]["replayed"] == 10
    assert ("episodes do not end there" in str(report)) == (wrong != "nothing")


def test_terminations_that_are_left_out_are_found(hopper_v4: OfflineDataset) -> None:
    episodes = [episode._replace(termination=False) for episode in hopper_v4.episodes()]
    report = check_opened(_dataset(episodes, hopper_v4.environment_spec))
    assert report.verdict == "other ends"
    assert report.ends.differing_terminations == report.ends.replayed > 0


def test_ends_that_cannot_be_replayed_are_told(hopper_v4: OfflineDataset) -> None:
    episodes = [e._replace(next_observations=e.next_observations[:-1]) for e in hopper_v4.episodes()]
    report = check_opened(_dataset(episodes, hopper_v4.environment_spec))
    assert report.ends.replayed == 0
    assert "episode ends      none could be replayed" in str(report)


def test_a_changed_reward_is_found(hopper_v4: OfflineDataset) -> None:
    doubled = [episode._replace(rewards=2 * episode.rewards) for episode in hopper_v4.episodes()]
    report = check_opened(_dataset(doubled, hopper_v4.environment_spec))
    assert report.next_observations.percentile_95 < 1e-5
    assert report.verdict == "different"


@pytest.mark.parametrize(
    ("name", "keys", "actions"),
    [
        ("Ant-v4", None, 8),
        ("Ant-v5", None, 8),
        ("Humanoid-v5", None, 17),
        ("Swimmer-v5", None, 2),
        ("InvertedPendulum-v5", None, 1),
        ("PointMaze_UMaze-v3", ("observation", "desired_goal"), 2),
        ("PointMaze_UMaze-v3", ("desired_goal", "observation"), 2),
        ("AntMaze_UMaze-v4", ("achieved_goal", "observation", "desired_goal"), 8),
        ("AdroitHandDoor-v1", None, 28),
        ("AdroitHandHammer-v1", None, 26),
        ("AdroitHandPen-v1", None, 24),
        ("AdroitHandRelocate-v1", None, 30),
    ],
)
def test_an_environment_repeats_its_own_data(name: str, keys: tuple[str, ...] | None, actions: int) -> None:
    spec = EnvSpec(name)
    report = check_opened(_dataset(_episodes(spec, keys, _random(actions), [60] * 5), spec, keys), steps=100)
    assert report.verdict == "same"
    assert report.rewards is not None


def test_without_the_goal_rewards_are_not_compared() -> None:
    spec, keys = EnvSpec("PointMaze_UMaze-v3"), ("observation",)
    report = check_opened(_dataset(_episodes(spec, keys, _random(2), [50] * 2), spec, keys))
    assert report.rewards is None
    assert report.verdict == "same"
    assert "do not tell the goal" in str(report)


def test_a_report_is_complete_in_text_and_json(walker_v4: OfflineDataset) -> None:
    report = check_opened(walker_v4, steps=200)
    assert json.loads(json.dumps(report.as_dict()))["next_observations"].keys() == {
        "median",
        "percentile_95",
        "largest",
    }
    assert report.as_dict()["verdict"] == "same"
    text = str(report)
    assert "left out" in text  # clipped velocities
    assert "mujoco" in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_seed_chooses_the_steps(walker_v4: OfflineDataset) -> None:
    reports = [check_opened(walker_v4, steps=50, seed=seed) for seed in (0, 0, 1)]
    assert reports[0] == reports[1] != reports[2]


def test_missing_last_observations_and_nan_are_left_out(hopper_v4: OfflineDataset) -> None:
    first, *others = hopper_v4.episodes()
    broken = first.rewards.copy()
    broken[0] = np.nan
    first = first._replace(rewards=broken, next_observations=first.next_observations[:-1])
    everything = _dataset([first, *others], hopper_v4.environment_spec)
    report = check_opened(everything, steps=everything.num_transitions)
    assert report.left_out["a number is missing or not finite"] == 2
    assert report.verdict == "same"
    assert np.isfinite(report.rewards.percentile_95)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("environment", "error", "message"),
    [
        (
            "Walker2d-v4",
            DataError,
            r"`recorded` has 11 observation and 3 action dimensions, `Walker2d-v4` has 17 and 6",
        ),
        ("Reacher-v5", DataError, r"`Reacher-v5` cannot be rebuilt.*Hopper.*AdroitHandDoor"),
        ("NoSuchThing-v0", EnvironmentUnavailableError, "`NoSuchThing-v0` cannot be made here"),
        ("", DataError, "`environment` is ``, expected the id"),
    ],
)
def test_environments_that_do_not_fit(
    hopper_v4: OfflineDataset, environment: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_opened(hopper_v4, environment)


def test_data_without_an_environment_ask_for_one(hopper_v4: OfflineDataset) -> None:
    with pytest.raises(DataError, match="--environment"):
        check_opened(_dataset(list(hopper_v4.episodes()), None))


def test_hands_that_do_not_start_at_a_reset_are_told() -> None:
    spec = EnvSpec("AdroitHandRelocate-v1")
    later = [
        Episode(*(array[20:] for array in episode[:4]), termination=False)
        for episode in _episodes(spec, None, _random(30), [40] * 2)
    ]
    for episode in later:
        episode.observations[:, -3:] += 1  # where the ball is, once relative to the palm and once to the goal
    with pytest.raises(DataError, match=r"No step of `recorded` can be replayed.*does not start at a reset"):
        check_opened(_dataset(later, spec))


def test_arguments_out_of_range_are_named(hopper_v4: OfflineDataset) -> None:
    with pytest.raises(DataError, match="`steps` is 0, expected at least 1"):
        check_opened(hopper_v4, steps=0)
    with pytest.raises(DataError, match="`seed` is -1, expected at least 0"):
        check_opened(hopper_v4, seed=-1)
