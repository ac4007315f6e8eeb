"""`data info`, `data list` and `data check` from the command line."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from array_files import flat_arrays, write_arrays
from commands import HOPPER, config, fit, last, options, read_checkpoint, refused

from spar_lightning.cli import main


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The one document on stdout, in which there is no NaN."""
    main(["data", *arguments, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    return document


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "info", HOPPER])
    text = capsys.readouterr().out
    assert text.startswith(f"{HOPPER}\n")
    assert "3,000 transitions in" in text
    assert max(map(len, text.splitlines())) <= 100
    assert run_json(capsys, "info", HOPPER)["transitions"] == 3000


def test_info_takes_the_flag_before_the_name(capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "info", "--json", HOPPER])
    assert json.loads(capsys.readouterr().out)["name"] == HOPPER


def test_info_of_a_file_with_defects_ends_well(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    observations = np.ones((4, 3))
    observations[1, 2] = np.nan
    ends = np.array([0, 0, 0, 1])
    path = tmp_path / "mine.npz"
    np.savez(
        path, observations=observations, actions=np.zeros((4, 2)), rewards=np.ones(4), terminals=ends, timeouts=0 * ends
    )
    document = run_json(capsys, "info", str(path))
    assert document["defects"]
    assert document["action_bounds"]["low"] == [None, None]
    assert document["observations"]["first_non_finite"] == {"episode": 0, "step": 1, "dimension": 2}


def test_info_of_ones_own_file_in_an_environment(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path, ends = tmp_path / "mine.npz", np.arange(4) == 3
    np.savez(path, observations=np.ones((4, 11)), actions=np.ones((4, 3), "f4"), rewards=np.ones(4), timeouts=ends)
    assert run_json(capsys, "info", str(path))["environment"]["id"] is None
    document = run_json(capsys, "info", str(path), "--environment", "Hopper-v4")
    assert (document["environment"]["id"], document["environment"]["time_limit"]) == ("Hopper-v4", 1000)
    assert document["scores"]["note"] == "D4RL's hopper"


def test_the_best_episodes_are_described_and_trained_on(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    whole = run_json(capsys, "info", HOPPER)
    chosen = run_json(capsys, "info", HOPPER, "--top_fraction", "0.5", "--filter.min_return", "20")
    assert chosen["episodes"] < whole["episodes"] == chosen["chosen_from"]
    assert chosen["returns"]["minimum"] >= 20
    settings = {"top_fraction": 0.5, "filter": {"min_return": 20.0, "episodes": [*range(10)]}}
    folder = fit(tmp_path / "run", *options(data__top_fraction=0.5), "--data.filter", json.dumps(settings["filter"]))
    assert settings.items() <= read_checkpoint(last(folder))["datamodule_hyper_parameters"].items()
    assert config(folder)["data"]["filter"] == settings["filter"]


@pytest.mark.slow
def test_a_reader_that_has_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "spar_lightning", "data", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""


def test_a_terminal_of_ascii_gets_plain_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", output)
    main(["data", "info", HOPPER])
    output.seek(0)
    assert "####" in output.read()


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "list"])
    assert f"* {HOPPER}" in capsys.readouterr().out
    listed = {dataset["name"]: dataset for dataset in run_json(capsys, "list")["bundled"]}
    assert listed[HOPPER]["transitions"] == 3000


def test_check(capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "check", HOPPER, "--steps", "50"])
    assert HOPPER in capsys.readouterr().out
    document = run_json(capsys, "check", HOPPER, "--steps", "50")
    assert document["environment"] == "Hopper-v5"
    assert document["verdict"] == "same"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("info", "spar/hoper/medium-v0"), "did you mean `spar/hopper/medium-v0`"),
        (("info", "d4rl:hoper-medium-v2"), "did you mean `d4rl:hopper-medium-v2`"),
        (("info", "nowhere.npz"), "nowhere.npz"),
        (("info",), "name"),
        (("list", "--jsno"), "--jsno"),
        (("inof", HOPPER), "info"),
        ((), "info"),
        (("check", HOPPER, "--steps", "0"), "`steps` is 0"),
        (("check", HOPPER, "--environment", "Nowhere-v3"), "Nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], expected: str) -> None:
    assert expected in refused(capsys, "data", *arguments)


@pytest.mark.parametrize("command", ["info", "list", "check"])
def test_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["data", command, "--help"])
    assert exit_.value.code == 0
    assert "--json " in capsys.readouterr().out


@pytest.mark.parametrize("name", ["logs.npz", "logs.hdf5", "logs.csv"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert "is a device or a pipe, expected a file" in refused(capsys, "data", "info", str(tmp_path / name))


def test_a_file_needs_no_folder_of_data_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in the way").touch()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "in the way" / "datasets"))
    write_arrays(tmp_path / "logs.npz", **flat_arrays())
    main(["data", "info", str(tmp_path / "logs.npz")])
    assert "6 transitions of 8 steps" in capsys.readouterr().out
