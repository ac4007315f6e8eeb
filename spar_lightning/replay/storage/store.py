"""Transitions on disk: packed once, then mapped into memory by every later run, instead of read.

A store is a folder with three files. `transitions.f32` holds the rows in order of time, little-endian float32, with the
columns of `packing.base_widths`; `episode_ends.u8` a byte a row, 1 at the last of an episode; `store.json` describes
both, with their checksums. Nothing that belongs to one run is in it.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock
from tqdm.auto import tqdm

from spar_lightning.datasets.cache_folder import cache_folder
from spar_lightning.datasets.dataset import FloatArray, OfflineDataset
from spar_lightning.replay.quality.lost_rewards import LostRewards
from spar_lightning.replay.storage.packing import base_widths, columns_of, flat_widths
from spar_lightning.telling import tell, warn
from spar_lightning.types import DataError
from spar_lightning.whole_file import move_into_place

ROWS, ENDS, HEADER = "transitions.f32", "episode_ends.u8", "store.json"
_FORMAT = 2
_BLOCK = 1 << 24  # bytes


@dataclass(frozen=True)
class StoreHeader:
    """What `store.json` says."""

    format: int
    dataset: str
    fingerprint: str  # of the files that it was made from
    observation_keys: list[str] | None
    observation_dim: int
    action_dim: int
    num_transitions: int
    checksums: dict[str, int]  # file -> CRC-32
    lost_rewards: str | None = None  # what is to be told of rewards of steps that are left out

    @property
    def row_bytes(self) -> int:
        """Bytes a transition."""
        return 4 * sum(flat_widths(base_widths(self.observation_dim, self.action_dim)))


@dataclass(frozen=True)
class PackedStore:
    """A store that is there, complete and undamaged."""

    folder: Path
    header: StoreHeader

    @property
    def rows_file(self) -> Path:
        """The rows, (N, D) float32."""
        return self.folder / ROWS

    def episode_ends(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(N,), set at the last transition of each episode."""
        return np.fromfile(self.folder / ENDS, dtype=np.bool_)


def open_store(dataset: OfflineDataset) -> PackedStore:
    """The store of a data set, made first where there is none, or one of other files, or a damaged one.

    Several processes may ask at once: one of them makes it, and each sees a complete one.

    Raises:
        DataError: the data cannot be packed, or the cache folder cannot be written to or is too full.
    """
    folder = _place(dataset)
    if _problem(folder, dataset) is not None:
        with _maker(dataset, folder):
            problem = _problem(folder, dataset)  # another process may have been faster
            if problem is not None:
                if folder.exists():
                    warn(f"The packed copy of {dataset.name} in {folder} {problem}: it is made again.")
                _write(dataset, folder)
    return PackedStore(folder, _header(folder))


def _place(dataset: OfflineDataset) -> Path:
    identity = zlib.crc32(repr((dataset.name, dataset.observation_keys)).encode())
    readable = re.sub(r"[^\w.-]+", "-", dataset.name).strip("-")[-80:]
    return cache_folder() / "packed" / f"{readable}-{identity:08x}"


def _header(folder: Path) -> StoreHeader:
    return StoreHeader(**json.loads((folder / HEADER).read_text(encoding="utf-8")))


def _problem(folder: Path, dataset: OfflineDataset) -> str | None:
    """Why the store cannot be used, None if it can."""
    try:
        header = _header(folder)
        if header.format != _FORMAT:
            return f"has format {header.format}, this version reads {_FORMAT}"
        expected = _described(dataset, header.num_transitions, header.checksums, header.lost_rewards)
        if not dataset.fingerprint or header != expected:
            return "was made from other files"
        sizes = {ROWS: expected.num_transitions * expected.row_bytes, ENDS: expected.num_transitions}
        for name, size in sizes.items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != size or _checksum(path) != header.checksums[name]:
                return f"is damaged ({name})"
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return "is not complete"
    return None


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum


@contextlib.contextmanager
def _maker(dataset: OfflineDataset, folder: Path) -> Iterator[None]:
    """Be the only process that makes this store; the system ends a killed one's turn."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            yield
    except OSError as error:
        raise DataError(
            f"{dataset.name} cannot be packed into {folder}: {error.strerror or error}. Expected a folder that can be "
            f"written to, with room for {_bytes(dataset) / 1e9:.1f} GB: free some, or name another in "
            "`SPAR_LIGHTNING_CACHE`."
        ) from error


def _write(dataset: OfflineDataset, folder: Path) -> None:
    scratch = folder.with_name(f".{folder.name}.packing")
    shutil.rmtree(scratch, ignore_errors=True)  # of a maker that was killed
    _check_space(dataset, folder.parent)
    tell(f"{dataset.name} is packed once, into {folder}")
    new = scratch / "store"
    try:
        new.mkdir(parents=True)
        header = _pack(dataset, new)
        (new / HEADER).write_text(json.dumps(asdict(header), indent=1), encoding="utf-8")
        move_into_place(new, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _pack(dataset: OfflineDataset, new: Path) -> StoreHeader:
    checksums, count, lost_rewards = {ROWS: 0, ENDS: 0}, 0, LostRewards()
    with (
        (new / ROWS).open("wb") as rows,
        (new / ENDS).open("wb") as ends,
        tqdm(
            total=dataset.num_transitions, desc=f"packing {dataset.name}", unit="step", disable=not sys.stderr.isatty()
        ) as bar,
    ):
        for columns in columns_of(lost_rewards.watched(dataset.episodes())):
            blocks: list[FloatArray] = [values.reshape(len(values), -1) for values in columns.values()]
            last = np.arange(len(blocks[0])) == len(blocks[0]) - 1
            for file, name, array in (
                (rows, ROWS, np.concatenate(blocks, axis=1).astype("<f4", copy=False)),
                (ends, ENDS, last.astype(np.uint8)),
            ):
                checksums[name] = _append(file, array, checksums[name])
            count += len(last)
            bar.update(len(last))
    return _described(dataset, count, checksums, lost_rewards.finding())


def _described(
    dataset: OfflineDataset, num_transitions: int, checksums: dict[str, int], lost_rewards: str | None
) -> StoreHeader:
    return StoreHeader(
        format=_FORMAT,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        observation_keys=None if dataset.observation_keys is None else list(dataset.observation_keys),
        observation_dim=dataset.observation_dim,
        action_dim=dataset.action_dim,
        num_transitions=num_transitions,
        checksums=checksums,
        lost_rewards=lost_rewards,
    )


def _append(file: BinaryIO, array: np.ndarray[Any, Any], checksum: int) -> int:
    contents = array.tobytes()
    file.write(contents)
    return zlib.crc32(contents, checksum)


def _bytes(dataset: OfflineDataset) -> int:
    return dataset.num_transitions * 4 * sum(flat_widths(base_widths(dataset.observation_dim, dataset.action_dim)))


def _check_space(dataset: OfflineDataset, root: Path) -> None:
    needed, free = _bytes(dataset), shutil.disk_usage(root).free
    if free < needed:
        raise DataError(
            f"{root} has {free / 1e9:.1f} GB left, expected {needed / 1e9:.1f} GB to pack the "
            f"{dataset.num_transitions:,} transitions that {dataset.name} states: free some, or name another folder in "
            "`SPAR_LIGHTNING_CACHE`."
        )
