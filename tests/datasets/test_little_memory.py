"""A small file that unfolds to much takes little more memory than what it holds, and one that lies takes none."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import h5py
import numpy as np
import pytest

from spar_lightning.benchmark.measuring.memory import process_memory
from spar_lightning.datasets import open_dataset
from spar_lightning.datasets.minari_folder import datasets_folder
from spar_lightning.inspection import describe
from spar_lightning.replay import PackedTransitions
from spar_lightning.types import DataError

ROWS, WIDTH = 500_000, 20
SIZE = 8 * ROWS * WIDTH


def write_zeros(path: Path, rows: int) -> str:
    np.savez_compressed(
        path,
        observations=np.zeros((rows, WIDTH)),
        actions=np.zeros((rows, 1)),
        rewards=np.zeros(rows, dtype=np.float32),
        episode=np.zeros(rows, dtype=np.uint8),
    )
    return str(path)


@pytest.fixture
def zeros(tmp_path: Path) -> str:
    """80 MB of zeros, one episode, in some 100 kB."""
    name = write_zeros(tmp_path / "zeros.npz", ROWS)
    assert Path(name).stat().st_size < 200_000
    return name


def info(name: str) -> None:
    describe(open_dataset(name))


def read(name: str) -> None:
    dataset = open_dataset(name)
    PackedTransitions.from_episodes(dataset.episodes(), dataset.num_transitions)


def measure(action: Callable[[str], None], name: str, connection: Connection) -> None:
    """Send by how many bytes this process grows at most when it does something for the second time."""
    action(write_zeros(Path(name).with_name("few.npz"), 100))  # what that imports is not counted
    before = process_memory("VmHWM")
    action(name)
    connection.send(process_memory("VmHWM") - before)


def added(action: Callable[[str], None], name: str) -> int:
    """What `measure` finds in a process of its own: a copy of this one would count pages that it only shares."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=measure, args=(action, name, theirs))
    process.start()
    process.join()
    assert process.exitcode == 0
    found: int = ours.recv()
    return found


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("action", [info, read])
def test_twice_the_size_of_the_data_is_enough(zeros: str, action: Callable[[str], None]) -> None:
    least = 0.2 * SIZE if action is read else 0  # a description keeps nothing
    assert least < added(action, zeros) < 2 * SIZE


def test_a_file_that_cannot_hold_what_it_states(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "lie.hdf5", "w") as file:
        for name, width in (("observations", 3), ("actions", 2)):
            file.create_dataset(name, shape=(10**9, width), dtype=np.float32, chunks=(1024, width))
        for name in ("rewards", "terminals", "timeouts"):
            file.create_dataset(name, shape=(10**9,), dtype=np.uint8, chunks=(1024,))
    with pytest.raises(DataError, match=r"would have [\d.]+ GB, the file holds 0 bytes of it"):
        open_dataset(str(tmp_path / "lie.hdf5"))


def test_episodes_that_are_stated_and_not_there(make_minari: Callable[[], str]) -> None:
    name = make_minari()
    path = datasets_folder() / name / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    path.write_text(json.dumps(metadata | {"total_episodes": 10**9, "total_steps": 10**10}))
    with pytest.raises(DataError, match="they state 1,000,000,000 episodes, and the files have"):
        open_dataset(name)
