"""LeRobot folders, written as LeRobot's documentation describes v3.0 and v2.1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from spar_lightning.datasets import import_dataset, open_dataset
from spar_lightning.inspection import describe
from spar_lightning.replay import OfflineDataModule, PackedTransitions
from spar_lightning.types import DataError

LENGTHS = (3, 2, 4)
ENDS = np.cumsum(LENGTHS) - 1


def steps(**changes: Any) -> dict[str, Any]:
    """Nine steps of three episodes, of which the second succeeds; values tell the step."""
    time = np.arange(sum(LENGTHS), dtype=np.float32)
    table = {
        "observation.state": pyarrow.array(
            np.stack([time, time + 0.5], axis=1).tolist(), pyarrow.list_(pyarrow.float32())
        ),
        "observation.environment_state": pyarrow.array(
            (time[:, None] + 100).tolist(), pyarrow.list_(pyarrow.float32(), 1)
        ),
        "action": pyarrow.array(np.stack([time, -time], axis=1).tolist(), pyarrow.list_(pyarrow.float32(), 2)),
        "next.reward": time * 10,
        "next.done": np.isin(time, ENDS),
        "next.success": time == ENDS[1],
        "timestamp": time / 10,
        "frame_index": np.concatenate([np.arange(length) for length in LENGTHS]),
        "episode_index": np.repeat(np.arange(3), LENGTHS),
        "index": np.arange(sum(LENGTHS)),
        "task_index": np.zeros(sum(LENGTHS), dtype=np.int64),
    } | changes
    return {name: column for name, column in table.items() if column is not None}


def write(folder: Path, version: str = "v3.0", **changes: Any) -> str:
    table = pyarrow.table(steps(**changes))
    features = {name: {"dtype": "float32", "shape": [1], "names": None} for name in table.schema.names}
    features["observation.images.top"] = {"dtype": "video", "shape": [480, 640, 3], "names": None}
    # What it states of episodes and frames is wrong on purpose: rows count.
    info = {"codebase_version": version, "total_episodes": 1, "total_frames": 2, "features": features, "fps": 10}
    (folder / "meta").mkdir(parents=True)
    (folder / "meta" / "info.json").write_text(json.dumps(info))
    parts = {"chunk-000/file-000": slice(0, 4), "chunk-000/file-001": slice(4, 5), "chunk-001/file-000": slice(5, 9)}
    if version != "v3.0":
        starts = ENDS + 1 - LENGTHS
        parts = {f"chunk-000/episode_{n:06d}": slice(starts[n], ENDS[n] + 1) for n in range(3)}
    for name, rows in parts.items():
        path = folder / "data" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(table.slice(rows.start, rows.stop - rows.start), path)
    return str(folder)


def transitions(name: str, **settings: Any) -> PackedTransitions:
    dataset = open_dataset(name, **settings)
    found = PackedTransitions.from_episodes(dataset.episodes(), dataset.num_transitions)
    assert (len(found), found.num_episodes) == (dataset.num_transitions, dataset.num_episodes)
    return found


@pytest.mark.parametrize("version", ["v3.0", "v2.1", "v2.0"])
def test_the_last_step_of_an_episode_stays_if_it_succeeded(tmp_path: Path, version: str) -> None:
    """Wherever files are cut."""
    found = transitions(write(tmp_path, version))
    kept = [0, 1, 3, 4, 5, 6, 7]
    assert found.observations.tolist() == [[t, t + 0.5, t + 100] for t in kept]
    assert found.actions.tolist() == [[t, -t] for t in kept]
    assert found.next_observations[:, 0].tolist() == [1, 2, 4, 4, 6, 7, 8]
    assert found.rewards.tolist() == [10 * t for t in kept]
    assert found.terminations.tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert found.episode_ends.nonzero()[:, 0].tolist() == [1, 3, 6]


def test_a_success_within_an_episode_ends_nothing(tmp_path: Path) -> None:
    found = transitions(write(tmp_path, **{"next.success": np.isin(np.arange(9), [0, 4, 6])}))
    assert found.terminations.tolist() == [0, 0, 0, 1, 0, 0, 0]


@pytest.mark.parametrize(
    "marks",
    [
        {"next.truncated": np.isin(np.arange(9), [2, 8])},
        {"next.terminated": np.isin(np.arange(9), [4])},
    ],
)
def test_done_and_not_truncated_is_an_end_of_the_task(tmp_path: Path, marks: dict[str, Any]) -> None:
    found = transitions(write(tmp_path, **{"next.success": None}, **marks))
    assert found.terminations.tolist() == [0, 0, 0, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("recorded", "columns"),
    [
        ("goal_reached", {"terminations": "goal_reached"}),
        ("terminated", {}),
        ("next.done", {"terminations": "next.done"}),
    ],
)
def test_a_column_of_terminations_counts(tmp_path: Path, recorded: str, columns: dict[str, str]) -> None:
    """Whether it is named, or found by its name; nothing is left to be said of the ends."""
    ends = np.isin(np.arange(9), [2, 4])
    name = write(tmp_path, **{"next.done": ends, "next.success": None, recorded: ends})
    found = transitions(name, columns=columns)
    assert found.terminations.tolist() == [0, 0, 1, 0, 1, 0, 0, 0]
    assert found.rewards.tolist() == [0, 10, 20, 30, 40, 50, 60, 70]
    assert not any("is not known" in note for note in open_dataset(name, columns=columns).notes)


def test_done_alone_does_not_tell(tmp_path: Path) -> None:
    name = write(tmp_path, **{"next.success": None})
    assert not transitions(name).terminations.any()
    assert len(transitions(name)) == 6
    assert "whether an episode ended its task is not known" in open_dataset(name).notes[0]


@pytest.mark.parametrize(
    ("setting", "rewards"), [("all", [0, 0, 1, 0, 1, 0, 0, 0, 1]), ("success", [0, 0, 0, 1, 0, 0, 0])]
)
def test_demonstrations_without_rewards(tmp_path: Path, setting: Any, rewards: list[int]) -> None:
    name = write(tmp_path, **{"next.reward": None})
    with pytest.raises(DataError, match=r"no `rewards`, .*`success_reward` can put 1"):
        open_dataset(name)
    found = transitions(name, success_reward=setting)
    assert found.rewards.tolist() == found.terminations.tolist() == rewards
    with pytest.warns(UserWarning, match=f"puts 1 at the end of {sum(rewards)} of 3 episodes"):
        OfflineDataModule(name, success_reward=setting, validation_fraction=0).setup("fit")


def test_images_are_left_out_by_name(tmp_path: Path) -> None:
    found = describe(open_dataset(write(tmp_path)))
    assert found.notes == ["images are left out: observation.images.top"]
    assert not found.defects


def test_other_columns_can_be_named(tmp_path: Path) -> None:
    name = write(tmp_path, **{"observation.environment_state": None})
    assert transitions(name).observation_dim == 2
    assert transitions(name, columns={"observations": ["observation.state", "timestamp"]}).observation_dim == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"episode_index": None}, "There is no `episode_index`, only observation.state"),
        ({"observation.state": None, "observation.environment_state": None}, "No column is called `observations`"),
        ({"frame_index": np.arange(9) // 2}, "`frame_index` goes from 0 to 0 in row 1, within an episode"),
        (
            {"frame_index": None, "episode_index": np.arange(9) % 3},
            "The episode 0 of the column `episode_index` goes on",
        ),
    ],
)
def test_rows_that_make_no_sense(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_dataset(write(tmp_path, **changes))


def test_folders_that_are_not_right(tmp_path: Path) -> None:
    name = write(tmp_path / "old", "v1.6")
    with pytest.raises(DataError, match=r"`codebase_version` v1.6, expected v2.0, v2.1 or v3.0: convert it"):
        open_dataset(name)
    name = write(tmp_path / "mixed", "v2.1")
    (tmp_path / "mixed" / "meta" / "info.json").write_text('{"codebase_version": "v3.0"}')
    with pytest.raises(DataError, match=r"has no `data/\*/file-\*.parquet`.*is its download complete"):
        open_dataset(name)
    (tmp_path / "mixed" / "meta" / "info.json").write_text("{")
    with pytest.raises(DataError, match=r"info.json cannot be read: .*Fetch it again"):
        open_dataset(name)
    name = write(tmp_path / "cut")
    path = tmp_path / "cut" / "data" / "chunk-000" / "file-001.parquet"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"cut cannot be read: "):
        open_dataset(name)


def test_a_folder_becomes_a_minari_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "robots" / "logs")
    import_dataset("robots/logs", id="robots/logs-v0", progress=False)
    assert minari.load_dataset("robots/logs-v0").total_steps == 7
    assert transitions("robots/logs-v0").observations.tolist() == transitions("robots/logs").observations.tolist()
