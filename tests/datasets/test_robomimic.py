"""HDF5 files of demonstrations, written as robomimic's documentation describes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import minari
import numpy as np
import pytest

from spar_lightning.datasets import import_dataset, open_dataset
from spar_lightning.inspection import describe
from spar_lightning.replay import OfflineDataModule, PackedTransitions
from spar_lightning.types import DataError

ROBOSUITE = {"env_name": "Lift", "env_type": 1, "env_kwargs": {"reward_shaping": False}}
LENGTHS = {"demo_10": 2, "demo_2": 4, "demo_0": 3}
"""In another order than their numbers'."""

Demo = dict[str, Any]


def demo(number: int, steps: int, dones: tuple[int, ...], successes: tuple[int, ...]) -> Demo:
    """Values that tell demonstration and step."""
    time = np.arange(steps + 1, dtype=np.float64)
    position = np.stack([10 * number + time, -time], axis=1)
    images = np.zeros((steps, 4, 4, 3), dtype=np.uint8)
    return {
        "actions": np.stack([time, -time], axis=1)[:steps] / 10,
        "states": np.zeros((steps, 30)),
        "obs/eef_pos": position[:-1],
        "obs/gripper": time[:-1] / 10,
        "obs/agentview_image": images,
        "next_obs/eef_pos": position[1:],
        "next_obs/gripper": time[1:] / 10,
        "next_obs/agentview_image": images,
        "rewards": np.isin(np.arange(steps), successes).astype(np.float64),
        "dones": np.isin(np.arange(steps), dones).astype(np.int64),
    }


def demos(**ends: tuple[tuple[int, ...], tuple[int, ...]]) -> dict[str, Demo]:
    """Dones and successes of each: by default all reach their goal in the last step."""
    ends = {name: ((steps - 1,), (steps - 1,)) for name, steps in LENGTHS.items()} | ends
    return {name: demo(int(name[5:]), steps, *ends[name]) for name, steps in LENGTHS.items()}


def write(
    path: Path, found: dict[str, Demo], environment: dict[str, Any] | None = None, without: tuple[str, ...] = ()
) -> str:
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = sum(LENGTHS.values())
        data.attrs["env_args"] = json.dumps(ROBOSUITE if environment is None else environment)
        for name, arrays in found.items():
            for array, values in arrays.items():
                if not array.startswith(without or ("-",)):
                    data[f"{name}/{array}"] = values
            data[name].attrs["num_samples"] = len(arrays["actions"])
        file["mask/train"] = np.array([b"demo_0", b"demo_10"])
        file["mask/valid"] = ["demo_2"]
    return str(path)


def transitions(name: str, **settings: Any) -> PackedTransitions:
    dataset = open_dataset(name, **settings)
    found = PackedTransitions.from_episodes(dataset.episodes(), dataset.num_transitions)
    assert (len(found), found.num_episodes) == (dataset.num_transitions, dataset.num_episodes)
    return found


def test_demonstrations_by_their_numbers(tmp_path: Path) -> None:
    """Images are left out; the last step has the next observation that was recorded."""
    name = write(tmp_path / "low_dim.hdf5", demos())
    found = transitions(name)
    assert found.observations[:, 0].tolist() == [0, 1, 2, 20, 21, 22, 23, 100, 101]
    assert found.observations[:, 2].tolist() == pytest.approx([0, 0.1, 0.2, 0, 0.1, 0.2, 0.3, 0, 0.1])
    assert found.next_observations[:, 0].tolist() == [1, 2, 3, 21, 22, 23, 24, 101, 102]
    assert found.actions[:, 1].tolist() == pytest.approx([0, -0.1, -0.2, 0, -0.1, -0.2, -0.3, 0, -0.1])
    assert found.terminations.tolist() == found.rewards.tolist() == [0, 0, 1, 0, 0, 0, 1, 0, 1]
    notes = open_dataset(name).notes
    assert notes == (
        "observations are eef_pos, gripper, side by side: `observation_keys` chooses",
        "images are left out: agentview_image",
    )


@pytest.mark.parametrize("offset", [0.0, 1.7e9])
def test_differences_that_float32_loses_are_told_once(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, offset: float
) -> None:
    found = demos()
    for arrays in found.values():
        arrays["obs/gripper"] += offset
    list(open_dataset(write(tmp_path / "low_dim.hdf5", found)).episodes())
    told = [str(warning.message) for warning in recwarn]
    assert len(told) == (offset > 0), told
    assert all(
        "low_dim.hdf5, data/demo_0 is about 1.7e+09 in column 2, where float32 cannot tell" in one for one in told
    )


def test_a_filter_and_some_parts(tmp_path: Path) -> None:
    name = write(tmp_path / "low_dim.hdf5", demos())
    assert transitions(name, mask="train").next_observations[:, 0].tolist() == [1, 2, 3, 101, 102]
    assert transitions(name, mask="valid", observation_keys=["gripper"]).observations[:, 0].tolist() == pytest.approx(
        [0, 0.1, 0.2, 0.3]
    )
    with pytest.raises(DataError, match="`mask` is test, but there are train, valid in the file's `mask`"):
        open_dataset(name, mask="test")
    with pytest.raises(DataError, match="has no `object`, only agentview_image, eef_pos, gripper"):
        open_dataset(name, observation_keys=["object"])


@pytest.mark.parametrize(
    ("ends", "environment", "settings", "terminations"),
    [
        # done_mode 2 of robosuite: at the end of each, but not all are successes, as rewards tell
        ({"demo_2": ((3,), ())}, ROBOSUITE, {}, [0, 0, 1, 0, 0, 0, 0, 0, 1]),
        # done_mode 0, and one is no success: what is marked then are successes
        ({"demo_2": ((), ())}, {"env_type": 2}, {}, [0, 0, 1, 0, 0, 0, 0, 0, 1]),
        # the success is held for two steps
        ({"demo_2": ((2, 3), (2, 3))}, ROBOSUITE, {}, [0, 0, 1, 0, 0, 1, 1, 0, 1]),
        ({}, {"env_type": 2}, {"dones": "end"}, [0] * 9),
        ({}, {"env_type": 2}, {"dones": "success"}, [0, 0, 1, 0, 0, 0, 1, 0, 1]),
        ({}, ROBOSUITE | {"env_kwargs": {"reward_shaping": True}}, {"dones": "end"}, [0] * 9),
    ],
)
def test_what_dones_mark(
    tmp_path: Path, ends: Any, environment: dict[str, Any], settings: dict[str, Any], terminations: list[int]
) -> None:
    name = write(tmp_path / "low_dim.hdf5", demos(**ends), environment)
    assert transitions(name, **settings).terminations.tolist() == terminations


@pytest.mark.parametrize("environment", [{"env_type": 2}, {}, [], ROBOSUITE | {"env_kwargs": {"reward_shaping": True}}])
def test_where_nothing_tells_it_is_asked(tmp_path: Path, environment: Any) -> None:
    with pytest.raises(DataError, match=r"set in the last step of every demonstration, .*say which with `dones`"):
        open_dataset(write(tmp_path / "low_dim.hdf5", demos(), environment))


def test_equal_lengths_are_cut_off(tmp_path: Path) -> None:
    found = {f"demo_{number}": demo(number, 3, (2,), ()) for number in range(3)}
    assert not transitions(write(tmp_path / "low_dim.hdf5", found, {"env_type": 2})).terminations.any()


@pytest.mark.parametrize("ends", [{}, {"demo_2": ((3,), ())}])
def test_without_next_observations_only_successes_keep_their_last_step(tmp_path: Path, ends: Any) -> None:
    found = transitions(write(tmp_path / "low_dim.hdf5", demos(**ends), without=("next_obs",)))
    last = [] if ends else [23]
    assert found.observations[:, 0].tolist() == [0, 1, 2, 20, 21, 22, *last, 100, 101]
    assert found.next_observations[:, 0].tolist() == [1, 2, 2, 21, 22, 23, *last, 101, 101]


def test_an_end_within_a_demonstration_is_followed_by_what_came(tmp_path: Path) -> None:
    found = transitions(write(tmp_path / "low_dim.hdf5", demos(demo_2=((1,), (1,))), without=("next_obs",)))
    assert found.next_observations[3:6, 0].tolist() == [21, 22, 23]
    assert found.terminations[3:6].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("setting", "rewards"), [("all", [0, 0, 1, 0, 0, 0, 1, 0, 1]), ("success", [0, 0, 1, 0, 0, 0, 0, 0, 1])]
)
def test_demonstrations_without_rewards(tmp_path: Path, setting: Any, rewards: list[int]) -> None:
    name = write(tmp_path / "low_dim.hdf5", demos(demo_2=((), ())), without=("rewards",))
    with pytest.raises(DataError, match=r"no `rewards`. `success_reward` can put 1"):
        open_dataset(name)
    found = transitions(name, success_reward=setting)
    assert found.rewards.tolist() == found.terminations.tolist() == rewards
    with pytest.warns(UserWarning, match=f"puts 1 at the end of {sum(rewards)} of 3 episodes"):
        OfflineDataModule(name, success_reward=setting, validation_fraction=0).setup("fit")


@pytest.mark.parametrize("without", ["-", "next_obs"])
@pytest.mark.parametrize("number", [1, 0])
def test_a_demonstration_without_steps_is_none(tmp_path: Path, number: int, without: str) -> None:
    """It was aborted; the first one tells the parts of the observations."""
    found = {f"demo_{number}": demo(number, 0, (), ()), "demo_2": demo(2, 4, (), ()), "demo_3": demo(3, 3, (2,), (2,))}
    name = write(tmp_path / "low_dim.hdf5", found, without=(without,))
    last = [] if without == "next_obs" else [23]
    assert transitions(name).observations[:, 0].tolist() == [20, 21, 22, *last, 30, 31, 32]
    name = write(tmp_path / "low_dim.hdf5", found, without=(without, "rewards"))
    assert "at the end of 2 of 2 episodes" in open_dataset(name, success_reward="all").notes[0]
    with pytest.raises(DataError, match="None of the 1 demonstrations has a step; expected one that has"):
        open_dataset(write(tmp_path / "low_dim.hdf5", {"demo_1": found[f"demo_{number}"]}))


def test_files_that_are_not_right(tmp_path: Path) -> None:
    def changed(**changes: Any) -> str:
        found = demos()
        found["demo_2"] |= changes
        return write(tmp_path / "low_dim.hdf5", found)

    for changes, message in (
        ({"actions": np.zeros((4, 2), dtype=np.int64)}, "discrete actions are not supported"),
        ({"actions": np.zeros((4, 3))}, "The demonstrations differ: number 1 has 3 observation and 3 action"),
        ({"rewards": np.zeros(5)}, "An array of `/data/demo_2` has 5 rows, `actions` has 4"),
        ({"dones": np.full(4, 0.5)}, "`dones` is 0.5 in one step, expected 0 or 1"),
    ):
        with pytest.raises(DataError, match=message):
            open_dataset(changed(**changes))
    with pytest.raises(DataError, match=r"has no group `obs`, only .*extract the observations first"):
        open_dataset(write(tmp_path / "low_dim.hdf5", demos(), without=("obs", "next_obs")))
    with h5py.File(tmp_path / "low_dim.hdf5", "w") as file:
        file.create_group("data")
    with pytest.raises(DataError, match="It holds no demonstration"):
        open_dataset(str(tmp_path / "low_dim.hdf5"))


def test_links_into_other_files_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "other.hdf5", demos())
    name = write(tmp_path / "low_dim.hdf5", demos())
    with h5py.File(name, "a") as file:
        del file["data/demo_2"]
        file["data/demo_2"] = h5py.ExternalLink("other.hdf5", "/data/demo_2")
    with pytest.raises(DataError, match=r"`data/demo_2` of .* is no group of the file itself"):
        open_dataset(name)


def test_it_is_described_and_becomes_a_minari_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    name = write(tmp_path / "low_dim.hdf5", demos())
    described = describe(open_dataset(name))
    assert (described.episodes, described.transitions, described.ends.terminated) == (3, 9, 3)
    assert not described.defects
    import_dataset(name, id="robots/lift-v0", progress=False)
    assert minari.load_dataset("robots/lift-v0").total_steps == 9
    assert transitions("robots/lift-v0").observations.tolist() == transitions(name).observations.tolist()


@pytest.mark.parametrize("group", ["data", "data/demo_0", "data/demo_0/obs", "mask"])
def test_a_name_that_is_no_text(tmp_path: Path, group: str) -> None:
    name = write(tmp_path / "demos.hdf5", demos())
    with h5py.File(name, "a") as file:
        h5py.h5g.create(file[group].id, b"demo_\xff\xfe")
    assert len(transitions(name, mask="train")) == LENGTHS["demo_0"] + LENGTHS["demo_10"]
