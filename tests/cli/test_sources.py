"""A run, a description and an import from each kind of file, of made-up transitions of Walker2d's shapes."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import minari
import numpy as np
import pandas
import pytest
from commands import fit, last, refused, results

from spar_lightning.benchmark.data.source_files import WRITERS, write_source
from spar_lightning.cli import main
from spar_lightning.export.numpy_policy import Policy

ROWS = 2500  # in three episodes


def options(prefix: str, settings: dict[str, object]) -> list[str]:
    return [part for name, value in settings.items() for part in (f"--{prefix}{name}", str(value))]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "datasets"
    folder.mkdir()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_each_kind_of_file_is_trained_on_and_evaluated(folder: Path, tmp_path: Path, kind: str) -> None:
    name, settings = write_source(kind, folder, ROWS)
    extra = ["--data.environment", "Walker2d-v5", *options("data.", settings)]
    document = results(fit(tmp_path / "run", *extra, dataset=name))
    assert (document["dataset"], document["episodes"], document["updates"]) == (name, 1, 40)


@pytest.mark.parametrize("kind", WRITERS)
def test_each_kind_of_file_is_described_and_imported(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    name, settings = write_source(kind, folder, ROWS)
    capsys.readouterr()
    main(["data", "info", name, "--json", "--environment", "Walker2d-v5", *options("", settings)])
    document = json.loads(capsys.readouterr().out)
    assert (document["episodes"], document["transitions"]) == (3, ROWS - 3)
    assert (document["observation_dim"], document["action_dim"]) == (17, 6)
    assert document["defects"] == []
    main(["import", name, "--id", "mine/copy-v0", "--progress", "false", *options("", settings)])
    assert minari.load_dataset("mine/copy-v0").total_steps == ROWS - 3


def test_a_table_with_names_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    time = np.arange(30.0)
    table = {"angle": time, "speed": -time, "torque": np.sin(time), "r": time, "run": time // 10}
    pandas.DataFrame(table).to_csv("logs.csv", index=False)
    assert "No column is called `observations`" in refused(capsys, "data", "info", "logs.csv")
    columns = {"observations": ["angle", "speed"], "actions": "torque", "rewards": "r", "episode": "run"}
    fit(tmp_path / "run", "--data.columns", json.dumps(columns), dataset="logs.csv")
    assert results(tmp_path / "run")["updates"] == 40
    assert results(tmp_path / "run")["dataset"] == str(Path("logs.csv").absolute()), (
        "as a resumed run says, and its seeds"
    )
    main(["data", "info", "logs.csv", "--columns", json.dumps(columns), "--filter.min_return", "100"])
    assert "18 transitions of 20 steps in 2 episodes, chosen of 3" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["test", "validate"])
def test_data_are_evaluated_as_they_were_read(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    time = np.arange(60.0)
    table = {f"x{i}": np.sin(i + time) for i in range(11)} | {f"u{i}": np.cos(i + time) for i in range(3)}
    pandas.DataFrame({**table, "run": time // 10}).to_csv("logs.csv", index=False)
    columns = {"observations": "x*", "actions": "u*", "episode": "run"}
    reading = {"columns": json.dumps(columns), "success_reward": "all", "environment": "Hopper-v5"}
    checkpoint = last(fit(tmp_path / "run", *options("data.", reading), dataset="logs.csv"))
    few = ["--callbacks.rollout.num_episodes", "1", "--callbacks.rollout.final_episodes", "1"]
    capsys.readouterr()
    main([command, "--ckpt_path", str(checkpoint), *few])
    assert "policy" in capsys.readouterr().out


def test_an_exported_file_says_what_lies_where_in_an_observation(tmp_path: Path) -> None:
    time = np.arange(40.0)
    table = {name: np.sin(place + time) for place, name in enumerate(["joint_10", "joint_2", "v", "action"])}
    pandas.DataFrame({**table, "reward": time, "episode": time // 10}).to_csv("logs.csv", index=False)
    columns = ["--data.columns", json.dumps({"observations": ["v", "joint_*"]})]
    with h5py.File("demos.hdf5", "w") as file:
        file.create_group("data").attrs["env_args"] = "{}"
        for demo in range(4):
            parts = {
                "obs/t": time[:10],
                "obs/a": np.ones((10, 2)),
                "actions": np.sin(time[:10, None]),
                "rewards": time[:10],
            }
            for name, values in parts.items():
                file[f"data/demo_{demo}/{name}"] = values
            file[f"data/demo_{demo}"].attrs["num_samples"] = 10
    no_names = {"observations": np.ones((40, 2)) * time[:, None], "actions": np.sin(time)[:, None], "rewards": time}
    np.savez("logs.npz", **no_names, timeouts=time % 10 == 9)
    expected = {
        "logs.csv": (columns, ["v", "joint_2", "joint_10"], "in this order: v, joint_2, joint_10,"),
        "demos.hdf5": ([], ["a", "t"], "in this order: a, t,"),
        "logs.npz": ([], "as the columns of the data's `observations`", "as the columns of the data's `observations`,"),
    }
    for number, (name, (settings, order, told)) in enumerate(expected.items()):
        run = fit(tmp_path / f"run{number}", *settings, "--callbacks.offline_check.fqe_updates", "4", dataset=name)
        for checkpoint in (last(run), Path(f"mean{number}.ckpt")):
            if checkpoint != last(run):
                main(["combine", str(last(run)), str(last(run)), "--out", str(checkpoint)])
            main(["export", str(checkpoint), "--format", "npz", "--output", f"out{number}"])
            assert Policy(Path(f"out{number}/policy.npz")).metadata["observations"]["order"] == order
            assert told in Path(f"out{number}/README.md").read_text()


def test_rows_of_resets_are_dropped_in_a_validation_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random, rows = np.random.default_rng(0), np.arange(200)
    observations = random.normal(size=(200, 11))
    following = np.roll(observations, -1, axis=0)
    observations[20::20] = following[19:-1:20] = 10 * np.arange(9.0)[:, None]  # a reset leads far
    arrays = {
        "observations": observations,
        "next_observations": following,
        "actions": random.uniform(-1, 1, size=(200, 3)),
        "rewards": np.where(rows % 20 == 0, 0.0, 1.0),
    }
    np.savez("logs.npz", **arrays, terminals=np.zeros(200), timeouts=rows % 20 == 19)
    few = ["--callbacks.rollout.num_episodes", "1", "--callbacks.rollout.final_episodes", "1"]
    settings = ["--data.environment", "Hopper-v5", "--data.drop_reset_rows", "true"]  # without it, it is refused
    run = fit(tmp_path / "run", *settings, dataset="logs.npz")
    capsys.readouterr()
    main(["validate", "--ckpt_path", str(last(run)), *few])
    assert "policy" in capsys.readouterr().out


def test_reading_is_measured(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPAR_LIGHTNING_CACHE", str(tmp_path / "cache"))
    arguments = ["--transitions", "2000", "--kinds", "[npz]", "--json_file", "reading.json"]
    main(["data", "bench_reading", *arguments])
    (row,) = json.loads(Path("reading.json").read_text())["results"]
    assert (row["kind"], row["transitions"]) == ("npz", 1998)
    assert "1,998" in capsys.readouterr().out
    assert "expected some of npz, " in refused(capsys, "data", "bench_reading", "--kinds", "[xls]")
