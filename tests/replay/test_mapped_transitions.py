"""Transitions that stay on disk: the same as in memory, in every respect but where they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from spar_lightning.datasets import Episode, OfflineDataset
from spar_lightning.replay import MappedTransitions, OfflineDataModule, PackedTransitions, TransitionLoader
from spar_lightning.replay.storage.store import ENDS, HEADER, ROWS, open_store
from spar_lightning.types import DataError, TransitionBatch

MakeEpisode = Callable[..., Episode]
MakeDataset = Callable[..., OfflineDataset]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPAR_LIGHTNING_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def make_dataset(make_episode: MakeEpisode) -> MakeDataset:
    """Makes a data set of four episodes, which counts in `reads` how often it was read."""

    def make(fingerprint: str = "first", damaged: bool = False) -> OfflineDataset:
        def read() -> Iterator[Episode]:
            reads.append(1)
            for start, length in ((0, 3), (10, 5), (20, 1), (30, 4)):
                yield make_episode(length, start == 20, float(start), lacks_last=start == 30)
                if damaged:
                    raise DataError("damaged")

        bound = np.ones(2, dtype=np.float32)
        dataset = OfflineDataset("toy/set-v0", 3, 2, -bound, bound, 4, 13, read, fingerprint=fingerprint)
        dataset.__dict__["reads"] = reads
        return dataset

    reads: list[int] = []
    return make


def kept(folder: Path) -> list[str]:
    """What lies in a folder, but for the empty files that `filelock` leaves behind, since deleting one is a race."""
    return [path.name for path in folder.iterdir() if path.suffix != ".lock" or path.stat().st_size]


def both(dataset: OfflineDataset, held_out: list[int]) -> list[tuple[PackedTransitions | MappedTransitions, ...]]:
    """The training and the validation part, each in memory and mapped."""
    memory = PackedTransitions.from_episodes(dataset.episodes()).split(held_out)
    mapped = MappedTransitions.open(open_store(dataset)).split(held_out)
    return [(left, right) for left, right in zip(memory, mapped, strict=True) if left is not None and right is not None]


def assert_same(left: TransitionBatch, right: TransitionBatch) -> None:
    assert left.columns.keys() == right.columns.keys()
    for name in left._fields[:-1]:
        assert torch.equal(getattr(left, name), getattr(right, name)), name
    for name, values in left.columns.items():
        assert torch.equal(values, right.columns[name]), name


@pytest.mark.parametrize("held_out", [[], [0], [1], [3], [0, 2], [1, 2], [0, 1, 2]])
def test_batches_columns_and_splits_are_those_in_memory(make_dataset: MakeDataset, held_out: list[int]) -> None:
    for memory, mapped in both(make_dataset(), held_out):
        for part in (memory, mapped):
            part.set_column("returns", torch.arange(float(len(part))))
            part.new_column("base_actions", 2).copy_(part.actions * 2)
            part.set_column("rewards", part.rewards + 1)
        assert len(memory) == len(mapped)
        assert torch.equal(memory.episode_ends, mapped.episode_ends)
        for name in memory.widths:
            assert torch.equal(memory.column(name), mapped.column(name))
        indices = torch.randint(len(memory), (18,))
        assert_same(memory.batch(indices), mapped.batch(indices))
        assert_same(memory.batch(slice(1, 3)), mapped.batch(slice(1, 3)))
        for left, right in zip(memory.chunks(2), mapped.chunks(2), strict=True):
            assert_same(left, right)


def test_the_loader_draws_the_same_stream(make_dataset: MakeDataset) -> None:
    ((memory, mapped), _) = both(make_dataset(), [1])
    for per_step in (1, 7):
        streams = [TransitionLoader(part, 4, seed=3, per_step=per_step) for part in (memory, mapped)]
        for left, right in islice(zip(*streams, strict=True), 80):
            assert_same(left.gather(), right.gather())


def test_what_a_run_adds_is_not_in_the_store(make_dataset: MakeDataset) -> None:
    dataset = make_dataset()
    store = open_store(dataset)
    before = store.rows_file.read_bytes()
    mapped = MappedTransitions.open(store)
    mapped.set_column("rewards", torch.zeros(len(mapped)))
    mapped.set_column("returns", torch.ones(len(mapped)))
    assert store.rows_file.read_bytes() == before
    assert MappedTransitions.open(open_store(dataset)).rewards.sum() > 0
    assert sorted(path.name for path in store.folder.iterdir()) == sorted([ROWS, ENDS, HEADER])
    assert kept(store.folder.parent) == [store.folder.name]


def test_a_system_that_takes_no_advice_has_the_same_rows(
    make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    for name in ("posix_fadvise", "posix_fallocate"):  # which macOS and Windows lack
        monkeypatch.delattr(os, name)
    for memory, mapped in both(make_dataset(), [1]):
        assert isinstance(mapped, MappedTransitions)
        mapped.set_column("returns", torch.arange(float(len(mapped))))
        mapped.read_ahead(torch.arange(len(mapped)))
        assert not mapped.evict()
        assert mapped.batch(slice(0, 3)).rewards.equal(memory.batch(slice(0, 3)).rewards)
        assert mapped.column("returns").tolist() == list(range(len(mapped)))


def test_columns_that_do_not_fit_are_refused(make_dataset: MakeDataset) -> None:
    mapped = MappedTransitions.open(open_store(make_dataset()))
    mapped.set_column("returns", torch.zeros(12))
    with pytest.raises(DataError, match=r"shape \(4,\), expected \(12,\)"):
        mapped.set_column("other", torch.zeros(4))
    with pytest.raises(DataError, match=r"shape \(12, 2\), the column has \(12,\)"):
        mapped.set_column("returns", torch.zeros(12, 2))
    with pytest.raises(DataError, match="no column `advantages`"):
        mapped.column("advantages")


def test_the_rows_are_raw_arrays_that_anybody_can_read(make_dataset: MakeDataset) -> None:
    dataset = make_dataset()
    store = open_store(dataset)
    rows = np.fromfile(store.folder / ROWS, dtype="<f4").reshape(12, 3 + 2 + 1 + 3 + 1)
    memory = PackedTransitions.from_episodes(dataset.episodes())
    assert np.array_equal(rows[:, :3], memory.observations.numpy())
    assert np.array_equal(rows[:, 5], memory.rewards.numpy())
    assert np.flatnonzero(np.fromfile(store.folder / ENDS, dtype=bool)).tolist() == [2, 7, 8, 11]
    header = json.loads((store.folder / HEADER).read_text())
    assert (header["format"], header["num_transitions"], header["dataset"]) == (2, 12, "toy/set-v0")


def test_a_store_is_made_once(make_dataset: MakeDataset) -> None:
    dataset = make_dataset()
    stores = [open_store(dataset) for _ in range(3)]
    assert stores[0] == stores[1] == stores[2]
    assert len(dataset.__dict__["reads"]) == 1


def test_other_files_make_another_store(make_dataset: MakeDataset) -> None:
    first = open_store(make_dataset())
    second = make_dataset("second")
    assert open_store(second).folder == first.folder
    open_store(second)
    assert len(second.__dict__["reads"]) == 2
    for name, keys in (("toy/set-v1", None), ("toy/set-v0", ("observation",))):
        other = replace(second, name=name, observation_keys=keys)
        assert open_store(other).folder != first.folder


@pytest.mark.parametrize("damage", ["flip", "cut", "header", "version", "gone"])
def test_a_damaged_store_is_made_again(make_dataset: MakeDataset, damage: str) -> None:
    dataset = make_dataset()
    store = open_store(dataset)
    whole = store.rows_file.read_bytes()
    if damage == "flip":
        store.rows_file.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    elif damage == "cut":
        store.rows_file.write_bytes(whole[:-4])
    elif damage == "header":
        (store.folder / HEADER).write_text("{")
    elif damage == "version":
        header = json.loads((store.folder / HEADER).read_text())
        (store.folder / HEADER).write_text(json.dumps(header | {"format": 0}))
    else:
        (store.folder / ENDS).unlink()
    with pytest.warns(UserWarning, match="it is made again"):
        assert open_store(dataset).rows_file.read_bytes() == whole
    open_store(dataset)
    assert len(dataset.__dict__["reads"]) == 2


def test_nothing_half_made_is_left(make_dataset: MakeDataset, cache: Path) -> None:
    with pytest.raises(DataError, match="damaged"):
        open_store(make_dataset(damaged=True))
    assert kept(cache / "packed") == []
    assert len(MappedTransitions.open(open_store(make_dataset()))) == 12


FULL_DISK = """
import resource, signal, sys
import numpy as np
from spar_lightning.datasets import Episode, OfflineDataset
from spar_lightning.replay.storage.store import open_store

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
rows = np.zeros((10_000, 3), dtype=np.float32)
read = lambda: iter([Episode(rows, rows, rows[:, 0], rows, False)])
bound = np.ones(3, dtype=np.float32)
try:
    open_store(OfflineDataset("toy/full-v0", 3, 3, -bound, bound, 1, 10_000, read, fingerprint="x"))
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_full_disk_is_reported_and_leaves_nothing(cache: Path) -> None:
    output = subprocess.run([sys.executable, "-c", FULL_DISK], capture_output=True, text=True, timeout=60, check=True)
    assert "DataError toy/full-v0 cannot be packed into" in output.stdout
    assert "SPAR_LIGHTNING_CACHE" in output.stdout
    assert kept(cache / "packed") == []


def test_a_cache_that_is_no_folder_is_named(make_dataset: MakeDataset, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(DataError, match=r"cache folder .* cannot be used.*SPAR_LIGHTNING_CACHE"):
        open_store(make_dataset())


# ------------------------------------------------------------------------------------------------- larger than memory

STREAM = """
import hashlib, json, resource, sys
from itertools import islice
from pathlib import Path
from unittest import mock
import torch
import numpy as np
import psutil
from spar_lightning.datasets import Episode, OfflineDataset
from spar_lightning.replay import OfflineDataModule
from spar_lightning.replay import datamodule as data_module

TRANSITIONS, EPISODE = 1_000_000, 1000

def read():
    for start in range(0, TRANSITIONS, EPISODE):
        random = np.random.default_rng(start)
        observations = random.standard_normal((EPISODE + 1, 17), dtype=np.float32)
        yield Episode(observations[:-1], random.uniform(-1, 1, (EPISODE, 6)).astype(np.float32),
                      random.standard_normal(EPISODE, dtype=np.float32), observations[1:], start % 2000 == 0)

bound = np.ones(6, dtype=np.float32)
dataset = OfflineDataset("toy/large-v0", 17, 6, -bound, bound, 1000, TRANSITIONS, read, fingerprint="x")
data_module.open_dataset = lambda name, keys: dataset

torch.set_num_threads(1)
data = OfflineDataModule("toy/large-v0", seed=5, storage=sys.argv[1])
if sys.argv[2] != "0":
    allowed = psutil.Process().memory_info().data + int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
data.setup("fit")
digest = hashlib.sha256()
for batch in islice(data.train_dataloader(), 300):
    for values in batch[:-1]:
        digest.update(values.contiguous().numpy().tobytes())
statistics = data.statistics
print(digest.hexdigest(), statistics.observation_mean.double().sum().item(), len(data.validation_transitions),
      data.transitions.on_disk)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA counts mappings on Linux only")
def test_more_transitions_than_memory_give_the_same_batches(cache: Path) -> None:
    """168 MB of transitions, 100 MB of memory beyond the interpreter's own: too few to hold them, enough to stream."""

    def stream(storage: str, limit: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", STREAM, storage, str(limit)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    memory = stream("memory", 0).stdout.split()
    assert memory[3] == "False"
    limit = 100_000_000
    refused = stream("memory", limit)
    assert refused.returncode != 0
    assert "MemoryError" in refused.stderr
    mapped = stream("auto", limit)
    assert mapped.returncode == 0, mapped.stderr
    assert mapped.stdout.split() == [*memory[:3], "True"]


def test_the_choice_goes_by_what_is_free(hopper: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, on_disk in ((10**12, False), (100_000, True)):
        monkeypatch.setattr("spar_lightning.replay.storage.choice.available_memory", lambda free=free: free)
        data = OfflineDataModule(hopper, seed=0)
        data.prepare_data()
        data.setup("fit")
        assert data.transitions.on_disk is on_disk


def test_a_data_module_gives_the_same_either_way(hopper: str) -> None:
    memory, mapped = (OfflineDataModule(hopper, seed=0, storage=storage) for storage in ("memory", "map"))
    for data in (memory, mapped):
        data.setup("fit")
    assert (memory.transitions.on_disk, mapped.transitions.on_disk) == (False, True)
    assert torch.equal(memory.statistics.observation_mean, mapped.statistics.observation_mean)
    assert torch.equal(memory.statistics.observation_std, mapped.statistics.observation_std)
    for left, right in islice(zip(memory.train_dataloader(), mapped.train_dataloader(), strict=True), 20):
        assert_same(left, right)
    for left, right in zip(memory.val_dataloader(), mapped.val_dataloader(), strict=True):
        assert_same(left, right)
