"""Tables with one row a step: which columns are taken for what, and which transitions come out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pandas
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest

from spar_lightning.datasets import import_dataset, open_dataset
from spar_lightning.datasets.sources.tables import readers
from spar_lightning.datasets.sources.tables.table_source import open_frame
from spar_lightning.inspection import describe
from spar_lightning.replay import OfflineDataModule, PackedTransitions
from spar_lightning.types import DataError

COLUMNS: dict[str, Any] = {"observations": ["angle", "speed*"], "actions": "torque", "rewards": "r", "episode": "run"}


def logs(**changes: Any) -> dict[str, Any]:
    """Eight steps of three runs: a of three, b of three that ends with a termination, c of two."""
    time = np.arange(8)
    table = {
        "run": ["a"] * 3 + ["b"] * 3 + ["c"] * 2,
        "speed10": time + 0.25,
        "speed9": time - 0.5,
        "angle": time * 1.0,
        "torque": time / 10,
        "r": time * 10,
        "terminated": time == 5,
        "remark": ["ok"] * 8,
    } | changes
    return {name: values for name, values in table.items() if values is not None}


def write(folder: Path, kind: str, table: dict[str, Any]) -> str:
    path = folder / f"logs.{kind}"
    if kind == "csv":
        pyarrow.csv.write_csv(pyarrow.table(table), path)
    else:
        pyarrow.parquet.write_table(pyarrow.table(table), path, row_group_size=3)
    return str(path)


@pytest.fixture(params=["csv", "parquet"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def transitions(name: str, **settings: Any) -> PackedTransitions:
    dataset = open_dataset(name, **settings)
    found = PackedTransitions.from_episodes(dataset.episodes(), dataset.num_transitions)
    assert (len(found), found.num_episodes) == (dataset.num_transitions, dataset.num_episodes)
    return found


def test_each_column_in_its_place(tmp_path: Path, kind: str) -> None:
    """Runs that were cut off lose their last step; `terminated` is found by its name, `speed9` before `speed10`."""
    found = transitions(write(tmp_path, kind, logs()), columns=COLUMNS)
    assert found.observations.tolist() == [[t, t - 0.5, t + 0.25] for t in (0, 1, 3, 4, 5, 6)]
    assert found.next_observations[:, 0].tolist() == [1, 2, 4, 5, 5, 7]
    assert found.actions[:, 0].tolist() == pytest.approx([0, 0.1, 0.3, 0.4, 0.5, 0.6])
    assert found.rewards.tolist() == [0, 10, 30, 40, 50, 60]
    assert found.terminations.tolist() == [0, 0, 0, 0, 1, 0]
    assert found.episode_ends.tolist() == [False, True, False, False, True, True]


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "logs.csv").write_text("angle,torque,r,angle,timeouts\n" + "1,2,3,4,1\n" * 9)
    with pytest.raises(DataError, match=r"The column.s. 'angle' are there more than once"):
        open_dataset(str(tmp_path / "logs.csv"), columns=COLUMNS)


def test_booleans_are_1_and_0(tmp_path: Path, kind: str) -> None:
    table = logs(
        gripped=np.arange(8) % 3 == 1, r=np.arange(8) == 5, next_angle=np.arange(8) + 1.0, next_gripped=[True] * 8
    )
    columns = COLUMNS | {"observations": ["angle", "gripped"], "next_observations": ["next_angle", "next_gripped"]}
    found = transitions(write(tmp_path, kind, table), columns=columns)
    assert found.observations.tolist() == [[t, t % 3 == 1] for t in range(8)]
    assert found.next_observations[:, 1].tolist() == [1] * 8
    assert found.rewards.tolist() == [t == 5 for t in range(8)]
    with pytest.raises(DataError, match="discrete actions are not supported"):
        open_dataset(write(tmp_path, kind, table), columns=columns | {"actions": "gripped", "observations": "angle"})


def test_names_that_need_no_mapping(tmp_path: Path, kind: str) -> None:
    names = {"speed9": "obs_9", "speed10": "obs_10", "angle": "obs_0", "torque": "action", "r": "reward"}
    table = {names.get(name, name): values for name, values in logs(run=None).items()}
    table["episode_id"] = np.repeat([7, 8, 3], [3, 3, 2])
    found = transitions(write(tmp_path, kind, table))
    assert found.observations[0].tolist() == [0, -0.5, 0.25]
    assert len(found) == 6


def test_next_observations_and_time_outs(tmp_path: Path, kind: str) -> None:
    table = logs(run=None, timeouts=np.isin(np.arange(8), [2, 7]).astype(int), after=np.arange(8) + 100.0)
    columns = COLUMNS | {"observations": "angle", "next_observations": ["after"]}
    del columns["episode"]
    found = transitions(write(tmp_path, kind, table), columns=columns)
    assert found.next_observations[:, 0].tolist() == [100 + row for row in range(8)]
    assert found.episode_ends.nonzero()[:, 0].tolist() == [2, 5, 7]


@pytest.mark.parametrize("fixed", [False, True])
def test_columns_of_lists(tmp_path: Path, fixed: bool) -> None:
    state = np.stack([np.arange(8), np.arange(8) + 0.5], axis=1).astype(np.float32)
    column = pyarrow.array(state.tolist(), pyarrow.list_(pyarrow.float32(), 2 if fixed else -1))
    name = write(tmp_path, "parquet", logs(state=column, angle=None))
    found = transitions(name, columns=COLUMNS | {"observations": ["state", "speed9"]})
    assert found.observations.tolist() == [[t, t + 0.5, t - 0.5] for t in (0, 1, 3, 4, 5, 6)]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_an_end_that_nobody_named_is_said(tmp_path: Path, kind: str) -> None:
    table = logs(done=np.arange(8) == 5, terminated=None)
    note = "the column `done` is not used, since it does not say whether the task itself ended: name it"
    place = write(tmp_path, kind, table)
    assert note in open_dataset(place, columns=COLUMNS).notes[0]
    assert note in open_frame(pandas.DataFrame(table), columns=COLUMNS).notes[0]
    named = open_dataset(place, columns=COLUMNS | {"terminations": "done"})
    assert not named.notes
    assert [episode.termination for episode in named.episodes()] == [False, True, False]
    assert not open_dataset(write(tmp_path, kind, logs()), columns=COLUMNS).notes


def test_a_data_frame(tmp_path: Path) -> None:
    frame = pandas.DataFrame(logs())
    data = OfflineDataModule.from_frame(frame, "plant", columns=COLUMNS, validation_fraction=0)
    data.setup("fit")
    expected = transitions(write(tmp_path, "parquet", logs()), columns=COLUMNS)
    for name in expected.widths:
        np.testing.assert_array_equal(data.transitions.column(name), expected.column(name))
    assert data.name == data.hparams["dataset"] == "frame:plant"
    assert describe(open_frame(frame, "plant", COLUMNS)).transitions == 6
    with pytest.raises(DataError, match=r"was a data frame of the program that made it: open it with .*from_frame"):
        OfflineDataModule("frame:plant", columns=COLUMNS).setup("fit")


@pytest.mark.parametrize("place", [0, 3, 8])
def test_a_frame_with_an_empty_chunk(place: int) -> None:
    """As of a log that was begun and never written to."""
    table = pyarrow.table(logs())
    parts = [table.slice(0, place), table.slice(0, 0), table.slice(place)]
    data = OfflineDataModule.from_frame(pyarrow.concat_tables(parts), "plant", columns=COLUMNS, validation_fraction=0)
    data.setup("fit")
    assert data.transitions.observations[:, 0].tolist() == [0, 1, 3, 4, 5, 6]
    with pytest.raises(DataError, match="no row in them"):
        open_frame(table.slice(0, 0), columns=COLUMNS)


def test_a_text_with_many_empty_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_BUFFER", 40)
    path = tmp_path / "logs.csv"
    path.write_text("obs,action,reward,episode\n" + "0.5,0.5,1,7\n" * 9 + "\n" * 200 + "0.5,0.5,1,8\n" * 3)
    assert transitions(str(path)).episode_ends.nonzero()[:, 0].tolist() == [7, 9]


@pytest.mark.parametrize("kind", ["category", "datetime64[s]"])
def test_episodes_may_be_called_anything(kind: str) -> None:
    frame = pandas.DataFrame(logs(run=np.repeat([3, 1, 2], [3, 3, 2]))).astype({"run": kind})
    assert [len(episode.rewards) for episode in open_frame(frame, columns=COLUMNS).episodes()] == [3, 3, 2]


def test_semicolons_and_integers_that_are_not_all(tmp_path: Path) -> None:
    """What the beginning of a file looks like need not hold for the rest."""
    lines = [f"{row};{row}{'.5' if row == 29_999 else ''};0.5;1;0" for row in range(30_000)]
    path = tmp_path / "logs.csv"
    path.write_text("\n".join(["run;angle;torque;torque2;r", *lines]))
    columns = {"observations": "angle", "actions": "torque*", "rewards": "r", "success": "run"}
    dataset = open_dataset(str(path), columns=columns | {"truncations": "r"})
    (episode,) = dataset.episodes()
    assert episode.observations[-1].tolist() == [29_999.5]
    assert episode.actions[0].tolist() == [0.5, 1]


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_batches_make_no_difference(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    random = np.random.default_rng(0)
    numbers = np.sort(random.integers(0, 9, 60))
    table = {"obs": random.normal(size=60), "action": random.normal(size=60), "reward": np.arange(60.0)}
    name = write(tmp_path, kind, table | {"episode": numbers})
    whole = transitions(name)
    monkeypatch.setattr(readers, "_ROWS", block)
    monkeypatch.setattr(readers, "_BUFFER", 64 * block)
    monkeypatch.setattr("spar_lightning.datasets.sources.arrays.flat_source._BLOCK", 10)
    again = transitions(name)
    assert all((whole.column(column) == again.column(column)).all() for column in whole.widths)
    assert whole.rewards.tolist() == [row for row in range(59) if numbers[row] == numbers[row + 1]]


@pytest.mark.parametrize(
    ("setting", "rewards", "terminations"),
    [
        ("all", [0, 0, 1, 0, 0, 1, 0, 1], [0, 0, 1, 0, 0, 1, 0, 1]),
        ("success", [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 1, 0]),
    ],
)
def test_rewards_that_are_not_recorded(
    tmp_path: Path, kind: str, setting: Any, rewards: list[int], terminations: list[int]
) -> None:
    columns = {name: column for name, column in COLUMNS.items() if name != "rewards"}
    table = logs(terminated=None, r=None, success=np.isin(np.arange(8), [0, 3, 5]))
    name = write(tmp_path, kind, table)
    with pytest.raises(DataError, match=r"no `rewards`, .*`success_reward` can put 1 at the end of episodes"):
        open_dataset(name, columns=columns)
    found = transitions(name, columns=columns, success_reward=setting)
    assert found.rewards.tolist() == rewards
    assert found.terminations.tolist() == terminations
    with pytest.warns(UserWarning, match=f"puts 1 at the end of {sum(rewards)} of 3 episodes, as a termination"):
        OfflineDataModule(name, columns=columns, success_reward=setting, validation_fraction=0).setup("fit")
    described = describe(open_dataset(name, columns=columns, success_reward=setting))
    assert "no rewards are recorded" in described.notes[0]
    assert "time-outs" not in str(described.defects)  # of ends that the user said to be successes


@pytest.mark.parametrize("success", [[None, *[1] * 7], ["yes", "no"] * 4])
def test_a_success_that_nobody_asks_for_may_be_anything(tmp_path: Path, kind: str, success: list[Any]) -> None:
    name = write(tmp_path, kind, logs(success=success))
    assert len(transitions(name, columns=COLUMNS)) == 6
    assert open_frame(pyarrow.table(logs(success=success)), columns=COLUMNS).num_transitions == 6
    columns = {array: column for array, column in COLUMNS.items() if array != "rewards"}
    with pytest.raises(DataError, match=r"The column `success` (has no value in row 0|holds values of type string)"):
        open_dataset(name, columns=columns, success_reward="success")


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        ({}, {}, r'No column is called `observations`.*`columns: {observations: \["speed\*"\]}`. There are `run`'),
        ({}, COLUMNS | {"actions": "torqe"}, r"`columns.actions` names `torqe`, .* did you mean `torque`\?"),
        ({}, COLUMNS | {"action": "torque"}, r"`columns` names `action`; did you mean `actions`"),
        ({}, COLUMNS | {"observations": "remark"}, r"`remark` holds values of type string, expected numbers"),
        ({"other": np.arange(8.0)}, COLUMNS | {"rewards": ["r", "other"]}, r"`rewards` has shape \(8, 2\)"),
        ({}, COLUMNS | {"episode": ["run", "angle"]}, r"`columns.episode` names 2 columns, expected one"),
        ({"torque": np.arange(8)}, COLUMNS, "discrete actions are not supported"),
        ({"run": [*"aabbaabb"]}, COLUMNS, r"The episode 'a' of the column `run` goes on in row 4, after others: sort"),
        ({"run": None}, {k: v for k, v in COLUMNS.items() if k != "episode"}, "no `timeouts` .*array `episode`"),
        ({"terminated": [0, 0, 2, 0, 0, 0, 0, 0]}, COLUMNS, "`terminations` is 2 in row 2, expected 0 or 1"),
        ({"terminated": [0, 0, None, 0, 0, 0, 0, 0]}, COLUMNS, "`terminated` has no value in row 2"),
        ({"run": [*"aa", "", *"abbbb"]}, COLUMNS, "`run` has no value in row 2"),
        (
            {"remark": None},
            COLUMNS | {"observations": "*"},
            r"`observations` and `actions` both hold `t",
        ),
        ({}, COLUMNS | {"observations": ["angle", "r"]}, "`rewards` both hold `r`: a policy would be shown"),
    ],
    ids=range(14),
)
def test_tables_that_do_not_fit(
    tmp_path: Path, kind: str, table: dict[str, Any], columns: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        open_dataset(write(tmp_path, kind, logs(**table)), columns=columns)


def test_a_missing_number_is_found_where_it_is(tmp_path: Path, kind: str) -> None:
    name = write(tmp_path, kind, logs(angle=[0.0, 1, 2, 3, None, 5, 6, 7]))
    with pytest.raises(DataError, match=r"`observations` has 1 NaN .*, nan, in dimension 0, row 1 of episode 1\."):
        transitions(name, columns=COLUMNS)


def test_damage(tmp_path: Path, kind: str) -> None:
    path = Path(write(tmp_path, kind, logs()))
    path.write_bytes(path.read_bytes()[: -30 if kind == "parquet" else -12])
    with pytest.raises(DataError, match=f"{path} cannot be read: "):
        open_dataset(str(path), columns=COLUMNS)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=f"{path} cannot be read: "):
        open_dataset(str(path))


def test_a_file_that_changes_meanwhile(tmp_path: Path, kind: str) -> None:
    dataset = open_dataset(write(tmp_path, kind, logs()), columns=COLUMNS)
    write(tmp_path, kind, {name: [*values, values[-1]] for name, values in logs().items()})
    with pytest.raises(DataError, match="was changed since it was opened"):
        list(dataset.episodes())


def test_lists_of_different_lengths(tmp_path: Path) -> None:
    name = write(tmp_path, "parquet", logs(state=[[1.0, 2.0]] * 5 + [[1.0]] * 3))
    with pytest.raises(DataError, match=r"column `state` has 1 values in row 5, not 2|cannot be read"):
        transitions(name, columns=COLUMNS | {"observations": "state"})


def test_a_small_file_that_unfolds_to_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long lists are read few rows at a time, and refused where one alone is too much."""
    name = write(tmp_path, "parquet", logs(state=[[0.5] * 1000] * 8))
    columns = COLUMNS | {"observations": "state"}
    batches: list[int] = []
    read = pyarrow.parquet.ParquetFile.iter_batches

    def noted(file: Any, **settings: Any) -> Any:
        batches.append(settings["batch_size"])
        return read(file, **settings)

    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "iter_batches", noted)
    monkeypatch.setattr(readers, "_VALUES", 2500)
    assert transitions(name, columns=columns).observation_dim == 1000
    assert 2 in batches
    monkeypatch.setattr(readers, "available_memory", lambda: 5000)
    with pytest.raises(DataError, match="It states 1,000 values in a row, which do not fit into memory"):
        open_dataset(name, columns=columns)


def test_without_arrow_it_is_said_what_to_install(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = write(tmp_path, kind, logs())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.csv", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match=r"need pyarrow, .*`pip install pyarrow`"):
        open_dataset(name, columns=COLUMNS)


def test_settings_of_another_source_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"`columns` is set, but `x\.npz` is taken for a file of arrays, which has no use"
    ):
        open_dataset("x.npz", columns=COLUMNS)


def test_a_table_becomes_a_minari_data_set(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    name = write(tmp_path, kind, logs())
    import_dataset(name, id="my/logs-v0", columns=COLUMNS, progress=False)
    assert minari.load_dataset("my/logs-v0").total_steps == 6
    found, expected = transitions("my/logs-v0"), transitions(name, columns=COLUMNS)
    assert found.observations.tolist() == expected.observations.tolist()
    assert found.rewards.tolist() == expected.rewards.tolist()
