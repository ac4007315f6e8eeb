"""One layout in two formats, and which transitions come out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from array_files import flat_arrays, write_arrays

from spar_lightning.datasets import OfflineDataset, open_dataset
from spar_lightning.datasets.sources.arrays import flat_source
from spar_lightning.replay import PackedTransitions
from spar_lightning.types import DataError


@pytest.fixture(params=[".npz", ".hdf5", ".h5"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a file of each format goes."""
    return tmp_path / f"mine{request.param}"


def _transitions(dataset: OfflineDataset) -> PackedTransitions:
    transitions = PackedTransitions.from_episodes(dataset.episodes(), dataset.num_transitions)
    assert len(transitions) == dataset.num_transitions
    return transitions


def _rows(transitions: PackedTransitions) -> list[int]:
    """Which rows of `flat_arrays` the transitions begin in."""
    return [int(value) for value in transitions.observations[:, 0]]


def test_each_end_of_an_episode(path: Path) -> None:
    """A termination stays, without the next episode's observation; a time-out and the file's end lose their last."""
    dataset = open_dataset(write_arrays(path, **flat_arrays()))
    assert (dataset.observation_dim, dataset.action_dim) == (3, 2)
    assert (dataset.num_episodes, dataset.num_transitions) == (3, 6)
    transitions = _transitions(dataset)
    assert _rows(transitions) == [0, 1, 2, 3, 4, 6]
    assert transitions.next_observations[:, 0].tolist() == [1, 2, 2, 4, 5, 7]
    assert transitions.next_observations[:, 1].tolist() == [1.5, 2.5, 2.5, 4.5, 5.5, 7.5]
    assert transitions.rewards.tolist() == [0, 10, 20, 30, 40, 60]
    assert transitions.actions[:, 1].tolist() == pytest.approx([0, -0.01, -0.02, -0.03, -0.04, -0.06])
    assert transitions.terminations.tolist() == [0, 0, 1, 0, 0, 0]
    assert transitions.episode_ends.tolist() == [False, False, True, False, True, True]


def test_next_observations_are_used_as_they_are(path: Path) -> None:
    arrays = flat_arrays()
    dataset = open_dataset(write_arrays(path, next_observations=arrays["observations"] + 100, **arrays))
    transitions = _transitions(dataset)
    assert _rows(transitions) == list(range(8))
    assert transitions.next_observations[:, 0].tolist() == [100 + row for row in range(8)]
    assert transitions.terminations.tolist() == [0, 0, 1, 0, 0, 0, 0, 0]


def test_a_row_with_both_flags_is_a_termination(path: Path) -> None:
    transitions = _transitions(open_dataset(write_arrays(path, **flat_arrays(4, terminals=(1,), timeouts=(1, 3)))))
    assert _rows(transitions) == [0, 1, 2]
    assert transitions.terminations.tolist() == [0, 1, 0]


def test_a_termination_in_the_last_row_stays(path: Path) -> None:
    transitions = _transitions(open_dataset(write_arrays(path, **flat_arrays(3, terminals=(2,), timeouts=()))))
    assert _rows(transitions) == [0, 1, 2]


def test_the_newer_names_of_the_flags(path: Path) -> None:
    arrays = flat_arrays()
    arrays |= {"terminations": arrays.pop("terminals"), "truncations": arrays.pop("timeouts")}
    assert _rows(_transitions(open_dataset(write_arrays(path, **arrays)))) == [0, 1, 2, 3, 4, 6]


def test_episode_numbers_end_episodes(path: Path) -> None:
    """Without any flag, as recordings of people are stored: nothing terminates."""
    arrays = flat_arrays()
    del arrays["terminals"], arrays["timeouts"]
    dataset = open_dataset(write_arrays(path, episode=np.array([4, 4, 4, 7, 7, 5, 5, 5]), **arrays))
    transitions = _transitions(dataset)
    assert _rows(transitions) == [0, 1, 3, 5, 6]
    assert not transitions.terminations.any()


def test_steps_of_several_environments_in_turn_are_not_cut_to_pieces(path: Path) -> None:
    arrays = flat_arrays()
    del arrays["terminals"], arrays["timeouts"]
    name = write_arrays(path, episode=np.array([4, 5, 6, 4, 5, 6, 4, 5]), **arrays)
    with pytest.raises(DataError, match=r"Rows of the episode 4 are not together: it comes again in row 3, after othe"):
        open_dataset(name)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16, ">f4"])
def test_other_floats_become_float32(path: Path, kind: Any) -> None:
    arrays = flat_arrays()
    arrays |= {name: arrays[name].astype(kind) for name in ("observations", "actions", "rewards")}
    dataset = open_dataset(write_arrays(path, **arrays))
    episode = next(iter(dataset.episodes()))
    assert {values.dtype for values in episode[:4]} == {np.dtype(np.float32)}
    assert _rows(_transitions(dataset)) == [0, 1, 2, 3, 4, 6]


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.int64, np.float32])
def test_columns_of_one_and_any_kind_of_flag(path: Path, kind: Any) -> None:
    arrays = flat_arrays()
    arrays |= {name: arrays[name].astype(kind)[:, None] for name in ("terminals", "timeouts")}
    arrays["rewards"] = arrays["rewards"][:, None]
    transitions = _transitions(open_dataset(write_arrays(path, **arrays)))
    assert transitions.rewards.tolist() == [0, 10, 20, 30, 40, 60]
    assert transitions.terminations.tolist() == [0, 0, 1, 0, 0, 0]


def test_compressed_and_column_major_arrays(tmp_path: Path) -> None:
    arrays = flat_arrays()
    arrays["observations"] = np.asfortranarray(arrays["observations"])
    np.savez_compressed(tmp_path / "mine.npz", **arrays)
    with h5py.File(tmp_path / "mine.hdf5", "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values, chunks=True, compression="gzip", maxshape=(None, *values.shape[1:]))
    for suffix in ("npz", "hdf5"):
        assert _rows(_transitions(open_dataset(str(tmp_path / f"mine.{suffix}")))) == [0, 1, 2, 3, 4, 6]


@pytest.mark.parametrize("block", [1, 4, 7, 1000])
def test_blocks_make_no_difference(path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    random = np.random.default_rng(0)
    terminals, timeouts = (tuple(np.flatnonzero(random.random(60) < 0.1).tolist()) for _ in range(2))
    dataset = open_dataset(write_arrays(path, **flat_arrays(60, terminals, timeouts)))
    whole = _transitions(dataset)
    monkeypatch.setattr(flat_source, "_BLOCK", block)
    again = _transitions(dataset)
    assert all((whole.column(name) == again.column(name)).all() for name in whole.widths)
    ends = {*terminals, *timeouts, 59}
    assert _rows(whole) == [row for row in range(60) if row not in ends or row in terminals]


def test_opening_reads_shapes_and_flags_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = write_arrays(tmp_path / "mine.hdf5", **flat_arrays())
    reads: list[str] = []
    read = h5py.Dataset.__getitem__

    def noted(column: h5py.Dataset, rows: Any) -> Any:
        reads.append(column.name)
        return read(column, rows)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", noted)
    dataset = open_dataset(name)
    assert set(reads) == {"/terminals", "/timeouts"}
    next(dataset.episodes())
    assert "/observations" in reads


def test_a_file_of_another_name_has_no_environment(path: Path) -> None:
    dataset = open_dataset(write_arrays(path, **flat_arrays()))
    assert dataset.environment_spec is None
    assert dataset.scale.reference is None
    assert np.isinf(dataset.action_high).all()
    assert np.isinf(dataset.action_low).all()
    assert dataset.name == str(path)


def test_relative_paths_and_the_home_folder(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = write_arrays(path, **flat_arrays())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert {open_dataset(other).name for other in (path.name, f"./{path.name}", f"~/{path.name}", name)} == {name}


def test_the_fingerprint_changes_with_the_file(path: Path) -> None:
    first = open_dataset(write_arrays(path, **flat_arrays()))
    second = open_dataset(write_arrays(path, **flat_arrays(9)))
    assert first.fingerprint != second.fingerprint
    with pytest.raises(DataError, match="had 8 rows and now has 9"):
        list(first.episodes())
