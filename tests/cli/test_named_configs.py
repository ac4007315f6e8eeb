"""`--config walker`: the configurations of the package, from any folder, also where it is installed from a wheel."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from commands import CONFIGS, TINY, config, refused, run_command, shown

import spar_lightning
from spar_lightning.cli import main

ROOT = CONFIGS.parent
FILES = sorted(CONFIGS.rglob("*.yaml"))
TRAININGS = [path for path in FILES if path.parent.name != "suites"]


def name_of(path: Path) -> str:
    return path.relative_to(CONFIGS).with_suffix("").as_posix()


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """All settings as a command line makes them."""
    return shown(capsys, "fit", *arguments, "--print_config")


@pytest.mark.parametrize("path", TRAININGS, ids=name_of)
def test_every_config_is_found_by_name(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    assert printed(capsys, "--config", name_of(path)) == printed(capsys, "--config", str(path))


@pytest.mark.parametrize(
    "arguments",
    ["--config td3_bc", "--config=td3_bc", "-c td3_bc", "-ctd3_bc", "--config td3_bc.yaml", "--config td3_bc -c debug"],
)
def test_the_algorithm_is_that_of_a_named_config(capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    if "debug" in arguments:  # settings of a base, which a baseline lacks
        assert "setting bc." in refused(capsys, "fit", *arguments.split())
    else:
        assert yaml.safe_load(printed(capsys, *arguments.split()))["algorithm"] == "td3_bc"


def test_a_run_by_names(tmp_path: Path) -> None:
    main(["fit", "--config", "hopper", "--config", "debug", "--run_dir", str(tmp_path / "run"), *TINY])
    assert config(tmp_path / "run")["data"]["dataset"] == "spar/hopper/medium-replay-v0"


def test_a_file_of_that_name_wins(capsys: pytest.CaptureFixture[str]) -> None:
    Path("walker").write_text("algorithm: td3_bc\nmodel: {alpha: 7}\n")
    assert yaml.safe_load(printed(capsys, "--config", "walker"))["model"]["alpha"] == 7


def test_a_folder_of_that_name_hides_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("walker").mkdir()
    assert printed(capsys, "--config", "walker") == printed(capsys, "--config", str(CONFIGS / "walker.yaml"))


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("wlaker", "there is no file wlaker, did you mean walker?"),
        ("minari/antmaz", "there is no file minari/antmaz, did you mean minari/antmaze?"),
        ("configs/hopper.yaml", "there is no file configs/hopper.yaml, did you mean hopper?"),
        ("xyz", "there is no file xyz. "),
        ("nowhere/mine.yaml", "there is no file nowhere/mine.yaml. "),
    ],
)
def test_an_unknown_name_lists_those_there_are(capsys: pytest.CaptureFixture[str], typed: str, expected: str) -> None:
    (message,) = refused(capsys, "fit", "--config", typed).strip().splitlines()
    assert message.startswith(f"error: {expected}")
    assert all(name_of(path) in message for path in TRAININGS)


def test_help_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(shown(capsys, "fit", "--help").split())
    assert all(name_of(path) in text for path in TRAININGS)


def test_settings_may_stand_in_the_place_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert "kappa: 7.0" in printed(capsys, "--config", "{model: {kappa: 7}}")


@pytest.mark.slow
def test_they_travel_in_the_wheel(tmp_path: Path) -> None:
    source, wheels, site = (tmp_path / name for name in ("source", "wheels", "site"))
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("spar_lightning", "configs"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    done = run_command(*pip, "wheel", str(source), "--no-deps", "--no-build-isolation", "--no-index", "-w", str(wheels))
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.glob("*.whl")
    assert wheel.name.startswith(f"spar_lightning-{spar_lightning.__version__}-")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".yaml")}
    assert inside == {f"spar_lightning/configs/{name_of(path)}.yaml" for path in FILES}

    done = run_command(*pip, "install", str(wheel), "--no-deps", "--no-index", "--target", str(site))
    assert done.returncode == 0, done.stderr
    environment = {**os.environ, "PYTHONPATH": str(site)}
    script = str(site / "bin" / "spar-lightning")
    done = run_command(script, "--version", cwd=tmp_path, env=environment)
    assert done.stdout == f"spar-lightning {spar_lightning.__version__}\n"
    done = run_command(script, "fit", "--config", "td3_bc", "--print_config", cwd=tmp_path, env=environment)
    assert yaml.safe_load(done.stdout)["algorithm"] == "td3_bc", done.stderr
    place = run_command(sys.executable, "-c", "import spar_lightning as s; print(s.__file__)", env=environment)
    assert Path(place.stdout.strip()).is_relative_to(site)
