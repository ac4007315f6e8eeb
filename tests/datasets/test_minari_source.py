from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer

from spar_lightning.datasets import open_dataset
from spar_lightning.datasets.sources.minari.loading import remedy
from spar_lightning.datasets.sources.minari.minari_source import open_minari
from spar_lightning.replay import PackedTransitions
from spar_lightning.types import DataError

MakeMinari = Callable[..., str]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_any_local_minari_data_set_opens(make_minari: MakeMinari) -> None:
    dataset = open_dataset(make_minari())
    assert (dataset.observation_dim, dataset.action_dim) == (5, 2)
    assert (dataset.num_episodes, dataset.num_transitions) == (2, 11)
    assert dataset.action_low.tolist() == [-1, -1]
    assert dataset.action_high.dtype == np.float32
    assert dataset.environment_spec is None
    assert dataset.scale.reference is None


def test_nothing_is_lost_and_only_terminations_terminate(make_minari: MakeMinari) -> None:
    name = make_minari()
    stored = list(minari.load_dataset(name))
    episodes = list(open_dataset(name).episodes())
    assert [episode.termination for episode in episodes] == [True, False]
    for raw, episode in zip(stored, episodes, strict=True):
        assert {array.dtype for array in episode[:4]} == {np.dtype(np.float32)}
        np.testing.assert_array_equal(episode.observations, raw.observations[:-1].astype(np.float32))
        np.testing.assert_array_equal(episode.next_observations, raw.observations[1:].astype(np.float32))
        np.testing.assert_array_equal(episode.rewards, raw.rewards.astype(np.float32))
        np.testing.assert_array_equal(episode.actions, raw.actions.astype(np.float32))
    assert len(PackedTransitions.from_episodes(episodes)) == 11


@pytest.mark.parametrize("offset", [0.0, 1.7e9])
def test_differences_that_float32_loses_are_told_once(
    make_minari: MakeMinari, recwarn: pytest.WarningsRecorder, offset: float
) -> None:
    buffers = [
        EpisodeBuffer(
            observations=np.stack([np.ones(5), offset + 0.05 * np.arange(5)], axis=1),
            actions=np.zeros((4, 2), np.float32),
            rewards=np.arange(4.0),
            terminations=np.zeros(4, bool),
            truncations=np.arange(4) == 3,
        )
        for _ in range(2)
    ]
    name = make_minari(buffers, gym.spaces.Box(-np.inf, np.inf, (2,), np.float64))
    recwarn.clear()
    list(open_dataset(name).episodes())
    told = [str(warning.message) for warning in recwarn]
    assert len(told) == (offset > 0), told
    assert all(f"`{name}` is about 1.7e+09 in column 1, where float32 cannot tell" in one for one in told)


def test_opening_reads_no_data(make_minari: MakeMinari, datasets_root: Path) -> None:
    name = make_minari()
    (datasets_root / name / "data" / "main_data.hdf5").write_bytes(b"")
    assert open_dataset(name).observation_dim == 5


@pytest.mark.parametrize("kept", [0, 700, 4000])
def test_a_truncated_file_is_named(make_minari: MakeMinari, datasets_root: Path, kept: int) -> None:
    name = make_minari()
    file = datasets_root / name / "data" / "main_data.hdf5"
    os.truncate(file, kept)
    with pytest.raises(DataError, match=rf"{file}.*truncated.*rm -r {datasets_root / name}"):
        list(open_dataset(name).episodes())


def test_broken_metadata_are_an_error_of_ours(make_minari: MakeMinari, datasets_root: Path) -> None:
    name = make_minari()
    file = datasets_root / name / "data" / "metadata.json"
    text = file.read_text()
    file.write_text(text[:50])
    with pytest.raises(DataError, match=f"metadata of the Minari data set `{name}`"):
        open_dataset(name)
    file.write_text(text)


def test_unknown_names_are_answered_with_near_ones(make_minari: MakeMinari) -> None:
    name = make_minari()
    with pytest.raises(DataError, match=f"Did you mean `{name}`"):
        open_dataset(name.replace("-v3", "-v2"))
    with pytest.raises(DataError, match="`spar/hopper/expert-v0`"):
        open_dataset("par/hopper/expert-v0")
    with pytest.raises(DataError, match="Did you mean `mujoco/walker2d/medium-v0`"):
        open_dataset("mujoco/walker2d/medum-v0")


def test_without_a_network_the_way_by_hand_is_told(datasets_root: Path) -> None:
    name = "mujoco/walker2d/medium-v0"
    with pytest.raises(DataError, match=f"offline mode.*`minari download {name}`.* to {datasets_root / name}") as error:
        open_dataset(name)
    assert "id you mean" not in str(error.value)


@pytest.mark.parametrize("file", ["metadata.json", "main_data.hdf5"])
def test_a_half_made_folder_is_told_apart(make_minari: MakeMinari, datasets_root: Path, file: str) -> None:
    name = make_minari()
    (datasets_root / name / "data" / file).unlink()
    with pytest.raises(DataError, match=f"`{name}` is incomplete.*no `data/{file}`.*`rm -r {datasets_root / name}`"):
        open_dataset(name)


def buffer(observations: Any, actions: Any, length: int = 3, **changes: Any) -> EpisodeBuffer:
    arrays: dict[str, Any] = {
        "observations": observations,
        "actions": actions,
        "rewards": np.zeros(length),
        "terminations": np.array([False] * length),
        "truncations": np.array([False] * (length - 1) + [True]),
        **changes,
    }
    return EpisodeBuffer(**arrays)


BOX = gym.spaces.Box(-1, 1, (5,), np.float32)
VECTORS = np.zeros((4, 5), dtype=np.float32)
REFUSED = {
    "discrete actions": ("action", BOX, VECTORS, gym.spaces.Discrete(3), np.zeros(3, dtype=np.int64)),
    "integer actions": ("action", BOX, VECTORS, gym.spaces.Box(0, 9, (2,), np.int64), np.zeros((3, 2), np.int64)),
    "image observations": (
        "observation",
        gym.spaces.Box(0, 255, (32, 32, 3), np.uint8),
        np.zeros((4, 32, 32, 3), np.uint8),
        BOX,
        VECTORS[:3],
    ),
    "tuple observations": ("observation", gym.spaces.Tuple((BOX, BOX)), (VECTORS, VECTORS), BOX, VECTORS[:3]),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_spaces_are_refused(make_minari: MakeMinari, kind: str) -> None:
    role, observation_space, observations, action_space, actions = REFUSED[kind]
    name = make_minari([buffer(observations, actions)], observation_space, action_space)
    with pytest.raises(DataError, match=f"has the {role} space .*expected a one-dimensional Box of floats"):
        open_dataset(name)


def test_arrays_must_have_the_shapes_of_the_spaces(make_minari: MakeMinari) -> None:
    name = make_minari([buffer(np.zeros((4, 6)), np.zeros((3, 2)))])
    with pytest.raises(
        DataError, match=rf"`observations` of episode 0 of `{name}` has shape \(4, 6\), expected \(4, 5\)"
    ):
        list(open_dataset(name).episodes())


@pytest.mark.parametrize("array", ["terminations", "truncations"])
def test_an_end_inside_an_episode_is_refused(make_minari: MakeMinari, array: str) -> None:
    name = make_minari([buffer(np.zeros((4, 5)), np.zeros((3, 2)), **{array: np.array([False, True, False])})])
    with pytest.raises(DataError, match=f"`{array}` of episode 0 of .* is set at step 1 of 3"):
        list(open_dataset(name).episodes())


@pytest.mark.parametrize("array", ["rewards", "terminations", "truncations"])
def test_the_array_of_another_length_is_named(make_minari: MakeMinari, datasets_root: Path, array: str) -> None:
    name = make_minari([buffer(np.zeros((4, 5)), np.zeros((3, 2)))])
    with h5py.File(datasets_root / name / "data" / "main_data.hdf5", "a") as file:
        del file[f"episode_0/{array}"]
        file[f"episode_0/{array}"] = np.zeros(2)
    with pytest.raises(DataError, match=rf"`{array}` of episode 0 .* has shape \(2,\), expected \(3,\)"):
        list(open_dataset(name).episodes())


def edit_metadata(folder: Path, **changes: Any) -> None:
    """Set entries of the metadata, or remove those that are None."""
    file = folder / "data" / "metadata.json"
    metadata = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in metadata.items() if value is not None}))


@pytest.mark.parametrize("space", ["observation_space", "action_space"])
def test_metadata_without_spaces_run_no_code(
    make_minari: MakeMinari, datasets_root: Path, tmp_path: Path, space: str
) -> None:
    """Minari itself would make the environment to learn its spaces."""
    name, file = make_minari(), tmp_path / "executed"
    spec = EnvSpec("Trap-v0", entry_point="os:system", kwargs={"command": f"touch {file}"})
    edit_metadata(datasets_root / name, env_spec=spec.to_json(), **{space: None})
    with pytest.raises(DataError, match=f"they state no {space}"):
        open_dataset(name)
    assert not file.exists()


OLD_SPEC = {
    "id": "Walker2d-v5",
    "entry_point": "gymnasium.envs.mujoco.walker2d_v5:Walker2dEnv",
    "reward_threshold": None,
    "nondeterministic": False,
    "max_episode_steps": 500,
    "order_enforce": True,
    "autoreset": False,
    "disable_env_checker": False,
    "apply_api_compatibility": False,
    "kwargs": {},
    "additional_wrappers": [],
    "vector_entry_point": None,
}


def test_the_text_of_a_spec_opens_also_in_the_form_of_older_versions(
    make_minari: MakeMinari, datasets_root: Path
) -> None:
    name = make_minari()
    edit_metadata(datasets_root / name, env_spec=json.dumps(OLD_SPEC))
    spec = open_dataset(name).environment_spec
    assert spec is not None
    assert (spec.id, spec.max_episode_steps) == ("Walker2d-v5", 500)


@pytest.mark.parametrize(
    ("setting", "value"), [("kwargs", None), ("kwargs", []), ("max_episode_steps", "x"), ("max_episode_steps", [1])]
)
@pytest.mark.parametrize("entry", ["env_spec", "eval_env_spec"])
def test_a_spec_that_makes_no_sense_is_refused(
    make_minari: MakeMinari, datasets_root: Path, setting: str, value: Any, entry: str
) -> None:
    name = make_minari()
    edit_metadata(datasets_root / name, **{entry: json.dumps({**OLD_SPEC, setting: value})})
    with pytest.raises(DataError, match=rf"whose `{setting}` is .*, expected .*correct or remove it in `env_spec`"):
        open_dataset(name)


@pytest.mark.parametrize("changes", [{"total_episodes": 3 * 10**9}, {"total_episodes": 10**12, "total_steps": 10**12}])
def test_more_episodes_than_there_can_be_are_refused(
    make_minari: MakeMinari, datasets_root: Path, changes: dict[str, int]
) -> None:
    name = make_minari()
    edit_metadata(datasets_root / name, **changes)
    with pytest.raises(DataError, match=r"they state [\d,]+ episodes of [\d,]+ steps"):
        open_dataset(name)


def test_the_data_of_another_version_of_minari_are_not_called_damaged(
    make_minari: MakeMinari, datasets_root: Path
) -> None:
    name = make_minari()
    edit_metadata(datasets_root / name, minari_version="9")
    with pytest.raises(DataError, match=r"by Minari 9, expected one of .*: install another Minari") as caught:
        open_dataset(name)
    assert "rm -r" not in str(caught.value)


def test_deleting_comes_first_only_where_there_is_another_copy(tmp_path: Path) -> None:
    assert remedy("mujoco/hopper/expert-v0", tmp_path).startswith(f"Delete it (`rm -r {tmp_path}`)")
    assert remedy("my/hopper-v0", tmp_path).startswith("Restore it from a copy; or, if it was downloaded, delete it")


def test_a_pipe_is_no_data_set(make_minari: MakeMinari, datasets_root: Path) -> None:
    """Reading from one would wait for ever."""
    name = make_minari()
    file = datasets_root / name / "data" / "metadata.json"
    text = file.read_text()
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(DataError, match=r"is incomplete.*no `data/metadata\.json`"):
        open_dataset(name)
    file.unlink()
    file.write_text(text)


def test_the_environment_for_evaluation_comes_first(make_minari: MakeMinari, datasets_root: Path) -> None:
    name = make_minari()
    recorded, evaluated = (EnvSpec("Hopper-v5", max_episode_steps=steps) for steps in (100, 200))
    edit_metadata(datasets_root / name, env_spec=recorded.to_json(), eval_env_spec=evaluated.to_json())
    spec = open_dataset(name).environment_spec
    assert spec is not None
    assert spec.max_episode_steps == 200


@pytest.mark.parametrize("scores", [("low", 1.0), (2.0, 1.0), (1.0, 1.0), (0.0, float("inf")), ([0.0], 1.0)])
def test_reference_scores_that_make_no_sense_are_refused(
    make_minari: MakeMinari, datasets_root: Path, scores: tuple[Any, Any]
) -> None:
    name = make_minari()
    edit_metadata(datasets_root / name, ref_min_score=scores[0], ref_max_score=scores[1])
    with pytest.raises(DataError, match=f"`{name}` has the reference scores {re.escape(repr(scores[0]))} and"):
        open_dataset(name)


@pytest.mark.parametrize("role", ["observation", "action"])
def test_a_space_without_dimensions_is_refused(make_minari: MakeMinari, role: str) -> None:
    dims = {"observation": 5, "action": 2, role: 0}
    spaces = [gym.spaces.Box(-1, 1, (dims[key],), np.float32) for key in ("observation", "action")]
    name = make_minari([buffer(np.zeros((4, dims["observation"])), np.zeros((3, dims["action"])))], *spaces)
    with pytest.raises(DataError, match=f"has the {role} space .*expected at least one dimension"):
        open_dataset(name)


def test_the_remedy_for_metadata_works_and_a_reason_is_given(
    make_minari: MakeMinari, datasets_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise AssertionError

    name = make_minari()
    monkeypatch.setattr(minari, "load_dataset", fail)
    with pytest.raises(DataError, match=rf"cannot be read: AssertionError\. .*`rm -r {datasets_root / name}`"):
        open_dataset(name)


def test_a_bundled_data_set_is_repaired_by_collecting_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    name = "spar/hopper/expert-v0"
    (tmp_path / name / "data").mkdir(parents=True)
    with pytest.raises(DataError, match=f"`python -m spar_lightning collect {name} --overwrite true`"):
        open_dataset(name)


@pytest.mark.parametrize("name", ["a/../b-v0", "a//b-v0", "../a-v0", "/a-v0", "a b-v0", ""])
def test_names_that_are_no_ids_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="is no id of a Minari data set"):
        open_minari(name)


def test_a_folder_that_is_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(file))
    for name in ("user/data-v0", "spar/hopper/expert-v0"):
        with pytest.raises(DataError, match=f"{file} cannot be used.*`MINARI_DATASETS_PATH`.*`--root`"):
            open_dataset(name)


def test_a_name_that_no_folder_can_have_is_refused() -> None:
    with pytest.raises(DataError, match=r"cannot be looked for in .*: File name too long"):
        open_dataset("x" * 300 + "-v0")
