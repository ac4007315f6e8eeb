from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest

from spar_lightning.datasets import open_dataset
from spar_lightning.datasets.importing import import_dataset
from spar_lightning.replay import PackedTransitions
from spar_lightning.types import DataError, EnvironmentUnavailableError

ID = "mine/logs-v0"
Arrays = dict[str, Any]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "datasets"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    return folder


def arrays(observation_dim: int = 3, action_dim: int = 1, **changes: Any) -> Arrays:
    """Three episodes of 4, 1 and 5 steps: cut off, cut off, terminated."""
    random = np.random.default_rng(0)
    rows = np.arange(10)
    table = {
        "observations": random.normal(size=(10, observation_dim)).astype(np.float32),
        "actions": random.uniform(-3, 3, size=(10, action_dim)).astype(np.float32),
        "rewards": random.normal(size=10).astype(np.float32),
        "terminations": rows == 9,
        "truncations": (rows == 3) | (rows == 4),
    }
    table |= changes
    return {name: values for name, values in table.items() if values is not None}


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., str]:
    def save(**changes: Any) -> str:
        np.savez(tmp_path / "logs.npz", **arrays(**changes))
        return str(tmp_path / "logs.npz")

    return save


def following(observations: Any) -> Any:
    """Next observations as they are within the episodes of `arrays`, others at their ends."""
    moved = np.roll(observations, -1, axis=0)
    moved[[3, 4, 9]] = 100 + np.arange(3)[:, None]
    return moved


def hidden(folder: Path) -> list[Path]:
    return list(folder.glob(".*"))


def test_without_last_observations_the_last_transitions_go(
    root: Path, npz: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    source, table = npz(), arrays()
    assert import_dataset(source, id=ID, environment="Pendulum-v1", progress=False) == ID
    cut, terminated = minari.load_dataset(ID)
    np.testing.assert_array_equal(cut.observations, table["observations"][:4])
    np.testing.assert_array_equal(cut.actions, table["actions"][:3])
    assert (cut.truncations.tolist(), cut.terminations.any()) == ([False, False, True], np.False_)
    np.testing.assert_array_equal(terminated.observations[:-1], table["observations"][5:])
    np.testing.assert_array_equal(terminated.observations[-1], table["observations"][9])
    assert (terminated.terminations.tolist(), terminated.truncations.any()) == ([False] * 4 + [True], np.False_)
    printed = capsys.readouterr().out
    for fact in ("episodes: 2", "transitions: 8", "not known: 2", "after terminations: 1"):
        assert f"{fact}\n" in printed


def test_what_is_trained_on_is_what_the_source_gives(root: Path, npz: Callable[..., str]) -> None:
    source = npz()
    import_dataset(source, id=ID, progress=False)
    expected, found = (PackedTransitions.from_episodes(open_dataset(name).episodes()) for name in (source, ID))
    for name in expected.widths:
        np.testing.assert_array_equal(found.column(name), expected.column(name))
    np.testing.assert_array_equal(found.episode_ends, expected.episode_ends)


def test_with_next_observations_nothing_is_lost(root: Path, npz: Callable[..., str]) -> None:
    table = arrays()
    import_dataset(npz(next_observations=following(table["observations"])), id=ID, progress=False)
    episodes = list(open_dataset(ID).episodes())
    assert [len(episode.rewards) for episode in episodes] == [4, 1, 5]
    np.testing.assert_array_equal(
        np.concatenate([episode.next_observations for episode in episodes]), following(table["observations"])
    )


def test_next_observations_that_do_not_follow_are_refused(root: Path, npz: Callable[..., str]) -> None:
    moved = following(arrays()["observations"])
    moved[6] += 1
    with pytest.raises(DataError, match="`next_observations` of step 1 of episode 2 is not the observation of the"):
        import_dataset(npz(next_observations=moved), id=ID, progress=False)
    assert not (root / "mine").exists()
    assert not hidden(root)


def test_the_environment_is_stated_with_its_spaces_and_time_limit(root: Path, npz: Callable[..., str]) -> None:
    import_dataset(npz(), id=ID, environment="Pendulum-v1", max_episode_steps=50, author="Ada", progress=False)
    stored = minari.load_dataset(ID)
    environment = stored.recover_environment()
    assert stored.observation_space == environment.observation_space
    assert stored.action_space == environment.action_space == gym.spaces.Box(-2, 2, (1,), np.float32)
    assert environment.spec is not None
    assert environment.spec.max_episode_steps == 50
    metadata = stored.storage.metadata
    assert (metadata["author"], metadata["description"]) == ({"Ada"}, "Imported from logs.npz.")
    assert metadata["imported"]["source"] == "logs.npz"
    assert "ref_min_score" not in metadata


def test_actions_are_kept_as_they_were_logged(
    root: Path, npz: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    source, table = npz(), arrays()
    outside = int((np.abs(table["actions"][[0, 1, 2, 5, 6, 7, 8, 9]]) > 2).sum())
    assert outside
    import_dataset(source, id=ID, environment="Pendulum-v1", progress=False)
    np.testing.assert_array_equal(minari.load_dataset(ID)[1].actions, table["actions"][5:])
    assert f"kept as they are: {outside}\n" in capsys.readouterr().out


def test_without_an_environment_the_spaces_are_as_wide_as_numbers(root: Path, npz: Callable[..., str]) -> None:
    import_dataset(npz(), id=ID, progress=False)
    stored, dataset = minari.load_dataset(ID), open_dataset(ID)
    assert stored.env_spec is None
    assert dataset.environment_spec is None
    assert dataset.action_high.tolist() == [np.inf]
    assert stored[0].actions in gym.spaces.Box(-np.inf, np.inf, (3, 1), np.float32)
    assert stored.observation_space.contains(stored[0].observations[0])


def test_start_states_become_reset_options(
    root: Path, npz: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    states = np.arange(6.0).reshape(3, 2)
    table = arrays()
    source = npz(
        init_qpos=states, door_body_pos=-states, success=np.ones(3), next_observations=following(table["observations"])
    )
    import_dataset(source, id=ID, progress=False)
    for number, metadata in enumerate(minari.load_dataset(ID).storage.get_episode_metadata(range(3))):
        (state,) = metadata["options"].values()
        assert state.keys() == {"qpos", "door_body_pos"}
        np.testing.assert_array_equal(state["qpos"], states[number])
    assert "reset options: qpos, door_body_pos" in capsys.readouterr().out


def test_start_states_stay_with_their_episodes_when_one_is_dropped(root: Path, npz: Callable[..., str]) -> None:
    import_dataset(npz(init_qpos=np.arange(3.0)[:, None]), id=ID, progress=False)
    metadata = minari.load_dataset(ID).storage.get_episode_metadata(range(2))
    assert [m["options"]["initial_state_dict"]["qpos"].tolist() for m in metadata] == [[0.0], [2.0]]


def test_start_states_of_another_length_are_refused(root: Path, npz: Callable[..., str]) -> None:
    with pytest.raises(DataError, match=r"`init_qpos` of .* has shape \(2, 4\).* for each of 3 episodes"):
        import_dataset(npz(init_qpos=np.zeros((2, 4))), id=ID, progress=False)


def test_hdf5_of_d4rl_brings_its_environment_and_scores(root: Path, tmp_path: Path) -> None:
    table = arrays(11, 3)
    with h5py.File(tmp_path / "hopper_medium-v2.hdf5", "w") as file:
        for name, values in table.items():
            file[{"terminations": "terminals", "truncations": "timeouts"}.get(name, name)] = values
    import_dataset(str(tmp_path / "hopper_medium-v2.hdf5"), id=ID, progress=False)
    dataset, source = open_dataset(ID), open_dataset(str(tmp_path / "hopper_medium-v2.hdf5"))
    assert dataset.environment_spec is not None
    assert dataset.environment_spec.id == "Hopper-v4"
    assert dataset.scale == source.scale
    assert minari.load_dataset(ID).storage.metadata["ref_max_score"] == 3234.3


def test_vectors_become_the_parts_of_dict_observations(root: Path, npz: Callable[..., str]) -> None:
    source = npz(observation_dim=29, action_dim=8)
    with pytest.raises(DataError, match=r"29 observation .* `AntMaze_UMaze-v4` has 31 .*`--observation_keys`"):
        import_dataset(source, id=ID, environment="AntMaze_UMaze-v4", progress=False)
    keys = ["achieved_goal", "observation"]
    import_dataset(source, id=ID, environment="AntMaze_UMaze-v4", observation_keys=keys, progress=False)
    dataset = open_dataset(ID)
    assert dataset.observation_keys == tuple(keys)
    np.testing.assert_array_equal(next(dataset.episodes()).observations, arrays(29, 8)["observations"][:3])
    assert minari.load_dataset(ID)[0].observations["achieved_goal"].shape == (4, 2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense", "states no version"),
        ("spar/hopper/mine-v0", "is a name of the bundled data sets"),
        ("../up-v0", "is no id of a Minari data set"),
    ],
    ids=["form", "bundled", "path"],
)
def test_ids_are_checked(root: Path, npz: Callable[..., str], name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        import_dataset(npz(), id=name, progress=False)


def test_another_data_set_is_only_replaced_when_asked(root: Path, npz: Callable[..., str]) -> None:
    import_dataset(npz(), id=ID, progress=False)
    before = open_dataset(ID).fingerprint
    with pytest.raises(DataError, match=f"`{ID}` is already in {root / ID}: .*--overwrite true"):
        import_dataset(npz(), id=ID, progress=False)
    assert open_dataset(ID).fingerprint == before
    import_dataset(npz(observation_dim=4), id=ID, overwrite=True, progress=False)
    assert open_dataset(ID).observation_dim == 4
    assert not hidden(root)


def test_an_id_that_holds_other_data_sets_or_lies_in_one_is_refused(root: Path, npz: Callable[..., str]) -> None:
    import_dataset(npz(), id="nest-v0/in-v0", progress=False)
    for overwrite in (False, True):
        with pytest.raises(DataError, match=r"`nest-v0` is a namespace in .*, with data sets of its own"):
            import_dataset(npz(), id="nest-v0", progress=False, overwrite=overwrite)
        with pytest.raises(DataError, match="`nest-v0/in-v0/deep-v0` would lie inside of the data set `nest-v0/in-v0`"):
            import_dataset(npz(), id="nest-v0/in-v0/deep-v0", progress=False, overwrite=overwrite)
    assert len(list(minari.load_dataset("nest-v0/in-v0").iterate_episodes())) > 0
    assert hidden(root) == []


def test_values_that_are_not_finite_are_kept_and_told(
    root: Path, npz: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    rewards = np.zeros(10)
    rewards[[0, 6]] = np.nan, np.inf
    import_dataset(npz(rewards=rewards), id="my/holes-v0", progress=False)
    assert "NaN or infinite, with which no policy is trained: 2" in capsys.readouterr().out


def test_observation_keys_of_vectors_are_refused(root: Path, npz: Callable[..., str]) -> None:
    with pytest.raises(DataError, match="which has no parts: leave out `observation_keys`"):
        import_dataset(
            npz(observation_dim=11, action_dim=3), id="my/x-v0", environment="Hopper-v5", observation_keys=["x"]
        )


def test_a_time_limit_of_no_step_is_refused(root: Path, npz: Callable[..., str]) -> None:
    with pytest.raises(DataError, match="`max_episode_steps` is 0, expected at least 1 step"):
        import_dataset(npz(), id="my/x-v0", max_episode_steps=0)


def test_another_environment_is_refused(root: Path, npz: Callable[..., str]) -> None:
    with pytest.raises(DataError, match="3 observation and 1 action dimensions, `Hopper-v5` has 11 and 3: name the"):
        import_dataset(npz(), id=ID, environment="Hopper-v5", progress=False)
    with pytest.raises(EnvironmentUnavailableError, match="Nowhere"):
        import_dataset(npz(), id=ID, environment="Nowhere-v0", progress=False)
    with pytest.raises(DataError, match="names no environment"):
        import_dataset(npz(), id=ID, max_episode_steps=10, progress=False)
    assert not root.exists() or list(root.iterdir()) == []


def test_more_episodes_than_are_written_at_once(root: Path, npz: Callable[..., str]) -> None:
    rows = 900
    table = arrays()
    many = {name: np.resize(values, (rows, *values.shape[1:])) for name, values in table.items()}
    many["truncations"], many["terminations"] = np.arange(rows) % 3 == 2, None
    import_dataset(npz(**many), id=ID, progress=False)
    stored = minari.load_dataset(ID)
    assert (stored.total_episodes, stored.total_steps, len(stored)) == (300, 600, 300)
    np.testing.assert_array_equal(stored[299].observations, many["observations"][-3:])


def test_another_folder_can_be_named(root: Path, npz: Callable[..., str], tmp_path: Path) -> None:
    import_dataset(npz(), id=ID, root=tmp_path / "elsewhere", progress=False)
    assert not (root / ID).exists()
    metadata = json.loads((tmp_path / "elsewhere" / ID / "data" / "metadata.json").read_text())
    assert metadata["dataset_id"] == ID


@pytest.mark.slow
def test_a_full_disk_leaves_nothing_behind(root: Path, npz: Callable[..., str]) -> None:
    source = npz()
    code = (
        "import sys\n"
        "from spar_lightning.datasets.importing import import_dataset\n"
        "from spar_lightning.types import DataError\n"
        f"try: import_dataset({source!r}, id={ID!r}, progress=False)\n"
        "except DataError as error: sys.exit(f'refused: {error}')"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    done = subprocess.run(
        [sys.executable, "-c", code], preexec_fn=limit, capture_output=True, text=True, timeout=120, check=False
    )
    assert "transitions need: File too large. Free space" in done.stderr
    assert not (root / ID).exists()
    assert not hidden(root)
    import_dataset(source, id=ID, progress=False)
    assert open_dataset(ID).num_episodes == 2
