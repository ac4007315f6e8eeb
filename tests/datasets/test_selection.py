"""Training on some of the episodes: of which returns, and in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from array_files import write_arrays

from spar_lightning.datasets import open_dataset
from spar_lightning.datasets.selection import Selection, select_episodes
from spar_lightning.inspection import describe, describe_as_text
from spar_lightning.replay import OfflineDataModule
from spar_lightning.types import DataError

RETURNS = (1.0, 8.0, 5.0, 5.0, -2.0)


@pytest.fixture
def logs(tmp_path: Path) -> str:
    """Five episodes of four steps, without next observations: the return of each is its last reward."""
    return write_arrays(tmp_path / "logs.npz", **arrays())


def arrays(**changes: Any) -> dict[str, Any]:
    rewards = np.zeros((5, 4))
    rewards[:, 3] = RETURNS
    number = np.repeat(np.arange(5.0), 4)
    table = {
        "observations": np.stack([number, np.arange(20.0)], axis=1),
        "actions": np.linspace(-1, 1, 20, dtype=np.float32)[:, None],
        "rewards": rewards.ravel(),
        "timeouts": np.arange(20) % 4 == 3,
    }
    return table | changes


def trained_on(name: str, **settings: Any) -> list[int]:
    """Numbers of the episodes in the training part."""
    data = OfflineDataModule(name, validation_fraction=0, **settings)
    data.setup("fit")
    return data.transitions.observations[:, 0].int().unique_consecutive().tolist()


@pytest.mark.parametrize("storage", ["memory", "map"])
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"top_fraction": 0.2}, [1]),
        ({"top_fraction": 0.4}, [1, 2]),  # of equal returns the earlier one
        ({"top_fraction": 0.6}, [1, 2, 3]),
        ({"top_fraction": 1e-9}, [1]),
        ({"top_fraction": 1.0}, [0, 1, 2, 3, 4]),
        ({"filter": {"min_return": 5.0}}, [1, 2, 3]),
        ({"filter": {"episodes": [4, 0]}}, [0, 4]),
        ({"filter": {"episodes": [0, 3, 4], "min_return": 1.0}}, [0, 3]),
        ({"filter": {"episodes": [0, 3, 4]}, "top_fraction": 0.67}, [0, 3]),
    ],
    ids=str,
)
def test_which_episodes_are_trained_on(
    logs: str,
    settings: dict[str, Any],
    expected: list[int],
    storage: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The deciding reward is that of a step which is itself not trained on, and a scale changes nothing."""
    monkeypatch.setenv("SPAR_LIGHTNING_CACHE", str(tmp_path / "cache"))
    assert trained_on(logs, storage=storage, reward_scale=0.5, reward_shift=-9.0, **settings) == expected
    described = describe(select_episodes(open_dataset(logs), Selection(**settings)))
    assert (described.episodes, described.transitions) == (len(expected), 3 * len(expected))
    assert described.returns.maximum == max(RETURNS[number] for number in expected)
    assert f"in {len(expected)} episode" in describe_as_text(described)
    assert ", chosen of 5" in describe_as_text(described)
    told = ("All rewards are equal", "The last steps of", "unlike all that are kept")  # the deciding rewards are lost
    assert all(any(words in defect for words in told) for defect in described.defects)


def test_episodes_without_a_transition_keep_their_numbers(tmp_path: Path) -> None:
    """One of a single step, whose next observation nobody knows, is a number of the recording all the same."""
    name = write_arrays(tmp_path / "logs.npz", **arrays(timeouts=np.isin(np.arange(20), [3, 4, 7, 11, 15, 19])))
    assert trained_on(name, filter={"episodes": [2, 3]}) == [1, 2]
    assert trained_on(name, top_fraction=0.4) == [1, 2]
    with pytest.raises(DataError, match=r"which no episode .* meets"):
        trained_on(name, filter={"episodes": [1]})


def with_resets(**changes: Any) -> dict[str, Any]:
    """Each episode but the first one begins with a reset."""
    observations = np.random.default_rng(0).normal(size=(20, 2))
    following = np.roll(observations, -1, axis=0)
    observations[4::4] = following[3:-1:4] = 10 * np.arange(4.0)[:, None]  # a reset leads far
    rewards = np.where(np.arange(20) % 4 == 0, 0.0, 1.0)
    return arrays(observations=observations, next_observations=following, rewards=rewards) | changes


def test_resets_are_looked_for_in_all_episodes(tmp_path: Path) -> None:
    """Among chosen ones the row before is that of another episode."""
    name = write_arrays(tmp_path / "logs.npz", **with_resets())
    observations = with_resets()["observations"]
    with pytest.raises(DataError, match="4 rows after the ends of episodes are no steps but resets"):
        trained_on(name, filter={"episodes": [0, 2]})
    data = OfflineDataModule(name, validation_fraction=0, filter={"episodes": [1, 3]}, drop_reset_rows=True)
    data.setup("fit")
    np.testing.assert_array_equal(data.transitions.observations, observations[[5, 6, 7, 13, 14, 15]].astype("f4"))


@pytest.mark.parametrize("storage", ["memory", "map"])
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"filter": {"episodes": [1, 4]}}, [5, 6, 7, 13, 14, 15]),
        ({"filter": {"episodes": [2, 5]}}, [17, 18, 19]),
        ({"top_fraction": 0.4}, [0, 1, 2, 3, 5, 6, 7]),
    ],
    ids=str,
)
def test_an_episode_that_was_but_a_reset_keeps_its_number(
    tmp_path: Path, settings: dict[str, Any], expected: list[int], storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is episode 2, which has the largest return, and is none to be chosen."""
    monkeypatch.setenv("SPAR_LIGHTNING_CACHE", str(tmp_path / "cache"))
    recorded = with_resets(timeouts=np.isin(np.arange(20), [3, 7, 8, 11, 15, 19]))
    name = write_arrays(tmp_path / "logs.npz", **recorded | {"rewards": -recorded["rewards"]})
    data = OfflineDataModule(name, validation_fraction=0, drop_reset_rows=True, storage=storage, **settings)
    data.setup("fit")
    np.testing.assert_array_equal(data.transitions.observations, recorded["observations"][expected].astype("f4"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top_fraction": 0.0}, "`top_fraction` is 0.0, expected more than 0 and at most 1"),
        ({"top_fraction": 10}, "`top_fraction` is 10, expected"),
        ({"filter": {"return": 3.0}}, "`filter` has `return`, expected `min_return` or `episodes`"),
        ({"filter": {"min_return": 9.0}}, "which no episode of .* meets: their returns are -2 to 8. Ask for less"),
        ({"filter": {"episodes": [5]}}, "`filter.episodes` names 5, but .* has episodes 0 to 4"),
        ({"filter": {"episodes": []}}, "`filter.episodes` names none"),
    ],
    ids=str,
)
def test_what_chooses_nothing_is_refused(logs: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        trained_on(logs, **settings)
