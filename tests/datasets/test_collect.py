from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import minari
import numpy as np
import pytest

from spar_lightning.datasets import BUNDLED_DATASETS, collect, load_behavior, open_dataset
from spar_lightning.simulators import REFERENCE_SCORES
from spar_lightning.types import DataError
from spar_lightning.whole_file import move_into_place

HOPPER = "spar/hopper/medium-replay-v0"
COLLECT = sys.modules["spar_lightning.datasets.recording.collect"]  # the package exports a function of the same name


def arrays(root: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def visit(path: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            found[path] = item[()]
        else:
            found[path] = dict(item.attrs)

    with h5py.File(root / name / "data" / "main_data.hdf5") as file:
        file.visititems(visit)
    return found


def assert_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first.keys() == second.keys()
    for path, values in first.items():
        np.testing.assert_equal(second[path], values, err_msg=path)


def test_minari_sees_the_result(hopper: str) -> None:
    assert hopper in minari.list_local_datasets()
    stored = minari.load_dataset(hopper)
    assert stored.total_steps == 2000
    assert stored.env_spec.id == "Hopper-v5"
    assert stored.env_spec.max_episode_steps == 1000
    metadata = stored.storage.metadata
    assert (metadata["ref_min_score"], metadata["ref_max_score"]) == REFERENCE_SCORES["hopper"]
    assert metadata["collection"] == {"steps": 2000, "seed": 0}
    assert "after 200,000, 400,000, 475,000" in metadata["description"]
    seeds = [episode["seed"] for episode in stored.storage.get_episode_metadata(range(stored.total_episodes))]
    assert len(set(seeds)) == len(seeds) == stored.total_episodes


def test_recorded_transitions_are_the_environments_own(hopper: str) -> None:
    stored = minari.load_dataset(hopper)
    environment = stored.recover_environment()
    for index in (0, stored.total_episodes - 2):
        (details,) = stored.storage.get_episode_metadata([index])
        episode = stored[index]
        observation, _ = environment.reset(seed=details["seed"])
        np.testing.assert_array_equal(observation, episode.observations[0])
        for step, action in enumerate(episode.actions):
            observation, reward, terminated, truncated, _ = environment.step(action)
            np.testing.assert_array_equal(observation, episode.observations[step + 1])
            assert reward == episode.rewards[step]
            assert terminated == episode.terminations[step]
        assert terminated or truncated


def test_time_limit_and_budget_are_truncations(cheetah: str) -> None:
    first, second = minari.load_dataset(cheetah).iterate_episodes()
    assert (len(first), len(second)) == (1000, 500)
    for episode in (first, second):
        assert not episode.terminations.any()
        assert episode.truncations.tolist() == [False] * (len(episode) - 1) + [True]
        assert len(episode.observations) == len(episode) + 1


def test_replay_gives_each_checkpoint_its_share_in_order(hopper: str) -> None:
    ends = np.cumsum([len(episode) for episode in minari.load_dataset(hopper)])
    shares = [334, 334, 333, 333, 333, 333]
    assert len(load_behavior("hopper").replay) == len(shares)
    assert set(np.cumsum(shares)) <= set(ends)


@pytest.mark.parametrize("num_envs", [1, 3])
def test_same_seed_gives_the_same_arrays_whatever_the_number_of_environments(
    hopper: str, datasets_root: Path, tmp_path: Path, num_envs: int
) -> None:
    collect(HOPPER, steps=2000, num_envs=num_envs, root=tmp_path, progress=False)
    assert_same(arrays(datasets_root, hopper), arrays(tmp_path, hopper))


def test_another_seed_gives_other_arrays(hopper: str, datasets_root: Path, tmp_path: Path) -> None:
    collect(HOPPER, steps=2000, seed=1, root=tmp_path, progress=False)
    first = "episode_0/observations"
    assert not np.array_equal(arrays(datasets_root, hopper)[first][0], arrays(tmp_path, hopper)[first][0])


def test_same_settings_are_not_collected_twice(hopper: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(COLLECT, "_record", lambda *_, **__: pytest.fail("collected again"))
    assert collect(HOPPER, steps=2000, progress=False) == hopper


def test_other_settings_are_refused_unless_overwritten(tmp_path: Path) -> None:
    collect(HOPPER, steps=60, root=tmp_path, progress=False)
    with pytest.raises(
        DataError, match=r"'steps': 60, 'seed': 0.*expected.*'seed': 5.*collect spar/hopper.*--overwrite true"
    ):
        collect(HOPPER, steps=60, seed=5, root=tmp_path, progress=False)
    before = arrays(tmp_path, HOPPER)
    collect(HOPPER, steps=60, seed=5, root=tmp_path, progress=False, overwrite=True)
    after = arrays(tmp_path, HOPPER)
    assert not np.array_equal(before["episode_0/observations"], after["episode_0/observations"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spar"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("function", ["_buffer", "move_into_place", "_record"])
def test_an_interrupted_collection_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], function: str
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(COLLECT, function, interrupt)
    with pytest.raises(error):
        collect(HOPPER, steps=60, root=tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    collect(HOPPER, steps=60, root=tmp_path, progress=False)
    assert (tmp_path / HOPPER / "data" / "main_data.hdf5").exists()


def test_an_overwrite_that_fails_keeps_the_old_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, new = tmp_path / "place", tmp_path / "scratch" / "new"
    place.mkdir()
    (place / "old").touch()
    new.parent.mkdir()
    with pytest.raises(FileNotFoundError):
        move_into_place(new, place)
    assert (place / "old").exists()


def test_the_environment_variable_is_restored(hopper: str, datasets_root: Path, tmp_path: Path) -> None:
    collect(HOPPER, steps=60, root=tmp_path, progress=False)
    assert hopper in minari.list_local_datasets()
    assert minari.load_dataset(hopper).total_steps == 2000


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("spar/hopper/medum-v0", "spar/hopper/medium-v0"),
        ("spar/hoper/expert-v0", "spar/hopper/expert-v0"),
        ("spar/walker2d/medium-replay-v1", "spar/walker2d/medium-replay-v0"),
    ],
)
def test_unknown_bundled_names_are_answered_with_near_ones(name: str, near: str) -> None:
    for function in (collect, open_dataset):
        with pytest.raises(DataError, match=f"`{near}`"):
            function(name)


@pytest.mark.parametrize("arguments", [{"steps": 0}, {"num_envs": 0}, {"seed": -1}])
def test_arguments_out_of_range_are_refused(arguments: dict[str, int]) -> None:
    ((name, value),) = arguments.items()
    with pytest.raises(DataError, match=f"`{name}` is {value}, expected at least {value + 1}"):
        collect("spar/hopper/expert-v0", **arguments)


@pytest.mark.parametrize("name", BUNDLED_DATASETS)
def test_every_bundled_data_set_can_be_collected(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    collect(name, steps=40, progress=False)
    dataset = open_dataset(name)
    assert dataset.num_transitions == sum(len(episode.rewards) for episode in dataset.episodes()) == 40
    assert dataset.scale.reference == REFERENCE_SCORES.get(name.split("/")[1], (0.0, 1.0))


def test_a_medium_policy_is_as_good_as_its_readme_says(cheetah: str) -> None:
    episode = next(open_dataset(cheetah).episodes())
    assert 3000 < float(episode.rewards.sum()) < 4300  # 3637 +- 114 in the README


def test_collecting_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    collect("spar/halfcheetah/expert-v0", steps=20, root=tmp_path, progress=False)
    assert capfd.readouterr() == ("", "")
    assert not Path("MUJOCO_LOG.TXT").exists()


def test_a_root_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=f"{tmp_path / 'file'} cannot be used.*`--root`"):
        collect(HOPPER, steps=60, root=tmp_path / "file", progress=False)


def test_a_disk_that_is_too_full_is_told_before_collecting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(COLLECT, "_record", lambda *_, **__: pytest.fail("collected"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=60_000_000))
    with pytest.raises(DataError, match=f"{tmp_path} has 60 MB left, expected about 101 MB for 200,000 steps"):
        collect(HOPPER, root=tmp_path, progress=False)


def test_what_a_killed_collection_left_is_removed_a_day_later(tmp_path: Path) -> None:
    old, new = tmp_path / ".collecting-old", tmp_path / ".collecting-new"
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (time.time() - 100_000,) * 2)
    collect(HOPPER, steps=20, root=tmp_path, progress=False)
    assert not old.exists()
    assert new.exists()
