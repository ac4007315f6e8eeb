"""Which source a name belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from spar_lightning.datasets import open_dataset
from spar_lightning.datasets.sources.arrays.array_source import open_file
from spar_lightning.datasets.sources.bundled import open_bundled
from spar_lightning.datasets.sources.minari.minari_source import open_minari
from spar_lightning.datasets.sources.registry import SOURCES
from spar_lightning.datasets.sources.remote.remote_files import open_d4rl, open_url
from spar_lightning.types import DataError


@pytest.mark.parametrize(
    ("name", "opened_by"),
    [
        ("spar/walker2d/medium-v0", open_bundled),
        ("spar/typo", open_bundled),
        ("d4rl:walker2d-medium-v2", open_d4rl),
        ("D4RL/pen/human-v2", open_minari),
        ("mujoco/walker2d/medium-v0", open_minari),
        ("https://host/x.hdf5", open_url),
        ("ftp://host/x", open_url),
        ("walker2d_medium-v2.hdf5", open_file),
        ("data/X.NPZ", open_file),
        ("./folder", open_file),
        ("../folder", open_file),
        ("~/folder", open_file),
        ("/data/x.h5", open_file),
        ("recording.pkl", open_file),
        ("folder/of/ones-own", open_file),
        ("recording", open_file),
        ("mine/logs-v0", open_minari),
        ("", open_minari),
    ],
)
def test_a_name_says_where_the_data_are(
    name: str, opened_by: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there is a path, unless it is in Minari's own folder."""
    (tmp_path / "folder" / "of" / "ones-own").mkdir(parents=True)
    (tmp_path / "mine" / "logs-v0" / "data").mkdir(parents=True)
    (tmp_path / "recording").touch()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert next(source for source in SOURCES if source.owns(name)).open is opened_by


def test_what_exists_is_not_looked_for_on_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "recording").touch()
    (tmp_path / "copied" / "logs-v0" / "data").mkdir(parents=True)
    (tmp_path / "copied" / "logs-v0" / "data" / "metadata.json").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "spar_lightning.datasets.sources.minari.loading.download_minari", lambda name: pytest.fail(name)
    )
    with pytest.raises(DataError, match="folder is a folder, expected a file"):
        open_dataset("folder")
    with pytest.raises(DataError, match=r"recording` is of no known kind, expected a file that ends in"):
        open_dataset("recording")
    with pytest.raises(DataError, match=r"opened by its id, such as `copied/logs-v0`: .*`MINARI_DATASETS_PATH`"):
        open_dataset("copied/logs-v0")
