"""Which data sets are listed, and what is said to be on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from spar_lightning.datasets import BUNDLED_DATASETS
from spar_lightning.datasets.sources.d4rl_names import KNOWN_D4RL
from spar_lightning.datasets.sources.remote.remote_files import download_place
from spar_lightning.inspection.listing.listing import ListedDataset, list_datasets
from spar_lightning.inspection.listing.on_disk import path_on_disk
from spar_lightning.inspection.listing.text import listing_as_text


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without data sets."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.setenv("SPAR_LIGHTNING_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_of_an_empty_machine_nothing_is_here(empty: Path) -> None:
    listing = list_datasets()
    assert [dataset.name for dataset in listing.bundled] == list(BUNDLED_DATASETS)
    assert {"D4RL/pen/human-v2", "mujoco/walker2d/medium-v0"} <= {dataset.name for dataset in listing.minari}
    assert "d4rl:walker2d-medium-v2" in {dataset.name for dataset in listing.d4rl}
    assert not any(dataset.here for group in (listing.bundled, listing.minari, listing.d4rl) for dataset in group)
    assert listing.local == listing.unreadable == []
    text = listing_as_text(listing)
    assert "* s" not in text
    assert "  none" in text


def test_a_collected_data_set_has_its_numbers(hopper: str) -> None:
    (found,) = (dataset for dataset in list_datasets().bundled if dataset.name == hopper)
    assert found.here
    assert found.transitions == 2000
    assert found.episodes
    assert found.bytes_on_disk
    (line,) = (line for line in listing_as_text(list_datasets()).splitlines() if hopper in line)
    assert line.startswith(f"* {hopper} ")
    assert "2,000" in line


def test_a_users_own_data_set(make_minari: Callable[..., str]) -> None:
    name = make_minari()
    (found,) = (dataset for dataset in list_datasets().local if dataset.name == name)
    assert (found.here, found.episodes, found.transitions) == (True, 2, 11)


def test_a_download_of_d4rl_is_found(empty: Path) -> None:
    name = "pen-human-v1"
    file = download_place(KNOWN_D4RL[name])
    file.parent.mkdir(parents=True)
    file.write_bytes(b"12345")
    listing = list_datasets()
    assert [dataset for dataset in listing.d4rl if dataset.here] == [
        ListedDataset(f"d4rl:{name}", here=True, bytes_on_disk=5)
    ]
    text = listing_as_text(listing)
    assert "*human-v1" in text
    assert "* d4rl:pen-human-v1" in text


def test_a_damaged_folder_is_told_and_the_others_are_listed(make_minari: Callable[..., str], empty: Path) -> None:
    name = make_minari()
    (empty / "minari" / "user" / "half-v0" / "data").mkdir(parents=True)
    listing = list_datasets()
    assert name in {dataset.name for dataset in listing.local}
    assert len(listing.unreadable) == 1
    assert "user/half-v0" in listing.unreadable[0]
    assert "Cannot be read" in listing_as_text(listing)


def test_it_says_which_files_are_understood(empty: Path) -> None:
    text = listing_as_text(list_datasets())
    for kind in (".csv", ".parquet", "LeRobot's", "robomimic's", "OGBench's", "D4RL's layout"):
        assert kind in text


def test_it_fits_into_100_columns_and_json(hopper: str) -> None:
    listing = list_datasets()
    assert max(map(len, listing_as_text(listing).splitlines())) <= 100
    assert json.loads(json.dumps(listing.as_dict(), allow_nan=False))["bundled"][0]["name"] == BUNDLED_DATASETS[0]


def test_where_a_name_is_on_this_machine(empty: Path, hopper: str) -> None:
    file = empty / "x.npz"
    file.touch()
    assert path_on_disk(str(file)) == file
    nowhere = ("d4rl:no-such-v2", "https://example.org/x.npz", "user/none-v0", hopper, "~nobody-there/x.npz")
    assert [path_on_disk(name) for name in nowhere] == [None] * 5
