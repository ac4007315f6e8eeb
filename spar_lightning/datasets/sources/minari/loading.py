"""Loading Minari data sets that are here whole, after fetching those that are not here at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import minari
from minari.dataset.minari_dataset import DATASET_ID_RE, MinariDataset
from minari.dataset.minari_storage import METADATA_FILE_NAME, MinariStorage

from spar_lightning.datasets.memory import available_memory
from spar_lightning.datasets.minari_folder import datasets_folder, minari_root
from spar_lightning.datasets.recording.recipes import BUNDLED_DATASETS
from spar_lightning.datasets.sources.minari.download import check_version, download_minari
from spar_lightning.datasets.sources.minari.names import PUBLISHED_DATASETS
from spar_lightning.types import DataError

_COUNTS = ("total_episodes", "total_steps")
_FEW = 10_000  # episodes that can be numbered wherever they are
_LEAST = 64  # bytes that one takes in a file, and more
_DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError),
    *(OSError, RecursionError, TypeError, ValueError),
)


def check_minari_id(name: str) -> None:
    """See that a name is of the form of Minari's ids.

    Raises:
        DataError: it is not.
    """
    if DATASET_ID_RE.fullmatch(name) is None or "//" in name:
        raise DataError(
            f"`{name}` is no id of a Minari data set, expected `<namespace>/<name>-v<number>` of letters, digits, `-` "
            "and `_`, the namespace with at least two of them, such as `mujoco/hopper/expert-v0`."
        )


def load_minari(name: str) -> MinariDataset:
    """Load a Minari data set without reading its episodes; one that is not on this machine is downloaded first.

    Raises:
        DataError: it is neither here nor can it be downloaded, it is incomplete, or its metadata cannot be read or
            state no spaces.
    """
    root = datasets_folder()
    folder = root / name
    if not _is_there(name, folder):
        download_minari(name)
    _check_complete(name, folder, METADATA_FILE_NAME)
    try:
        metadata = MinariStorage.read_raw_metadata(folder / "data")
        check_version(name, metadata)
        _check_stated(metadata)
        if metadata.get("data_format") == "hdf5":
            _check_complete(name, folder, "main_data.hdf5")
        _check_held(folder / "data", metadata)
        with minari_root(root):  # an absolute path, which is still the same where a program changes its folder
            return minari.load_dataset(name)
    except DataError:
        raise
    except ImportError as error:
        raise DataError(f"Reading the Minari data set `{name}` needs another package: {error}") from error
    except _DAMAGE as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DataError(
            f"The metadata of the Minari data set `{name}` cannot be read: {reason}. {remedy(name, folder)}"
        ) from error


def _is_there(name: str, folder: Path) -> bool:
    """Whether there is more than an empty folder."""
    try:
        return any(folder.iterdir()) if folder.is_dir() else folder.exists()
    except OSError as error:
        raise DataError(f"`{name}` cannot be looked for in {folder.parent}: {error.strerror or error}.") from error


def _check_complete(name: str, folder: Path, file: str) -> None:
    if not (folder / "data" / file).is_file():
        raise DataError(
            f"The Minari data set `{name}` is incomplete: {folder} has no `data/{file}`. Was a download or a copy cut "
            f"off? {remedy(name, folder)}"
        )


def _check_stated(metadata: dict[str, Any]) -> None:
    """Without its spaces Minari makes the environment that the metadata name, whatever code that runs."""
    missing = [name for name in ("observation_space", "action_space", *_COUNTS) if name not in metadata]
    if missing:
        raise ValueError(f"they state no {' and no '.join(missing)}")
    for name in _COUNTS:
        if not isinstance(metadata[name], int) or metadata[name] < 0:
            raise ValueError(f"`{name}` is {metadata[name]!r}, expected a number of at least 0")
    episodes, steps = (metadata[name] for name in _COUNTS)
    if episodes > steps or 8 * episodes > available_memory():  # Minari numbers the episodes, before it reads any
        raise ValueError(f"they state {episodes:,} episodes of {steps:,} steps in all")


def _check_held(folder: Path, metadata: dict[str, Any]) -> None:
    """Minari numbers as many episodes as are stated, before it looks for one; opening reads none of them."""
    stated = metadata["total_episodes"]
    if stated > _FEW:
        held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if _LEAST * stated > held:
            raise ValueError(f"they state {stated:,} episodes, and the files have {held:,} bytes in all")


def remedy(name: str, folder: Path) -> str:
    """What to do with a damaged data set."""
    if name in BUNDLED_DATASETS:
        return f"Collect it again: `python -m spar_lightning collect {name} --overwrite true`."
    if name in PUBLISHED_DATASETS:
        return f"Delete it (`rm -r {folder}`): it is then downloaded again."
    return f"Restore it from a copy; or, if it was downloaded, delete it (`rm -r {folder}`) to have it fetched again."
