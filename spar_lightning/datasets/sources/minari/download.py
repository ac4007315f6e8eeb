"""Downloading published Minari data sets, complete or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import minari
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from minari.dataset.minari_storage import METADATA_FILE_NAME, MinariStorage
from minari.storage.remotes import DEFAULT_REMOTE

from spar_lightning.datasets.minari_folder import datasets_folder, register_namespace, scratch_folder
from spar_lightning.datasets.sources.minari.names import near_names
from spar_lightning.types import DataError
from spar_lightning.whole_file import move_into_place

_ANSWER_SECONDS = 10.0
_SPARE_BYTES = 50_000_000


class _Published(NamedTuple):
    """The files of one data set, as its repository on the Hugging Face Hub lists them."""

    repository: str
    revision: str  # a commit, so that all files are of one version
    folder: PurePosixPath  # of the data set in the repository
    sizes: dict[str, int]  # path in the repository -> bytes


def download_minari(name: str) -> None:
    """Download a published data set into Minari's folder, with progress bars.

    It comes from the Hugging Face Hub, from the owner that Minari's `MINARI_REMOTE` names. A connection that breaks is
    taken up again a few times; after a failure nothing is left behind. Without a network the failure comes at once.

    Args:
        name: id of the data set, such as `mujoco/walker2d/medium-v0`.

    Raises:
        DataError: there is no such data set (the message names near ones), it needs another version of Minari, the Hub
            cannot be reached, what it sends is not what it lists, or the disk is full. The message says what to do.
    """
    root = datasets_folder()
    try:
        published = _look_up(name)
        _check_space(published, root)
        with scratch_folder(root) as scratch:
            complete = _fetch(name, published, scratch)
            _settle(complete, root / name)
        if "/" in name:
            register_namespace(name.rpartition("/")[0])
    except DataError:
        raise
    except Exception as error:  # the Hub's library lets those of the several libraries below it through
        raise DataError(_failure(name, root, error)) from error


def _look_up(name: str) -> _Published:
    remote = _remote()
    repository, _, folder = name.partition("/")
    try:
        info = HfApi().dataset_info(
            f"{remote.removeprefix('hf://')}/{repository}", files_metadata=True, timeout=_ANSWER_SECONDS
        )
    except RepositoryNotFoundError as error:
        raise DataError(_unknown(name, remote, [])) from error
    files = {file.rfilename: int(file.size or 0) for file in info.siblings or []}
    # A path that leads out of its folder would be written there.
    start = PurePosixPath(folder, "data")
    wanted = {path: size for path, size in files.items() if ".." not in path and start in PurePosixPath(path).parents}
    if str(start / METADATA_FILE_NAME) not in wanted or info.sha is None:
        end = f"/data/{METADATA_FILE_NAME}"
        others = [f"{repository}/{path.removesuffix(end)}" for path in files if path.endswith(end)]
        raise DataError(_unknown(name, remote, others))
    return _Published(info.id, info.sha, PurePosixPath(folder), wanted)


def _remote() -> str:
    remote = os.environ.get("MINARI_REMOTE") or DEFAULT_REMOTE
    if not remote.startswith("hf://"):
        raise DataError(
            f"`MINARI_REMOTE` is `{remote}`, from which nothing is downloaded here; expected `hf://<owner>`: unset it, "
            "or fetch the data set with `minari download` first."
        )
    return remote


def _unknown(name: str, remote: str, others: list[str]) -> str:
    return (
        f"The data set `{name}` is not on this machine, and {remote} has none of that name; "
        f"{near_names(name, others) or 'it may have been withdrawn.'} `minari list local` shows what is here, "
        "`minari list remote` what is published."
    )


def _check_space(published: _Published, root: Path) -> None:
    needed, free = sum(published.sizes.values()) + _SPARE_BYTES, shutil.disk_usage(root).free
    if free < needed:
        raise OSError(f"it needs {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free")


def _fetch(name: str, published: _Published, scratch: Path) -> Path:
    """Download the files, the metadata first, and give the folder of the finished data set."""
    arriving, complete = scratch / "arriving", scratch / "complete"
    first = str(published.folder / "data" / METADATA_FILE_NAME)
    for path in [first, *sorted(published.sizes.keys() - {first})]:
        file = Path(
            HfApi().hf_hub_download(
                published.repository,
                path,
                repo_type="dataset",
                revision=published.revision,
                local_dir=arriving,
                etag_timeout=_ANSWER_SECONDS,
            )
        )
        if file.stat().st_size != published.sizes[path]:
            raise OSError(f"{file.stat().st_size:,} of {published.sizes[path]:,} bytes of {path} arrived")
        if path == first:
            _check_metadata(name, file.parent)
    complete.mkdir()
    (arriving / published.folder / "data").rename(complete / "data")
    return complete


def _settle(complete: Path, place: Path) -> None:
    """Put a downloaded data set in its place, unless another process was faster: what that one has may be in use."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        complete.rename(place)
    except OSError:  # there is a folder with something in it
        if not (place / "data" / METADATA_FILE_NAME).exists():
            move_into_place(complete, place)


def _check_metadata(name: str, data: Path) -> None:
    metadata = MinariStorage.read_raw_metadata(data)
    check_version(name, metadata)
    if metadata.get("dataset_id") != name:
        raise ValueError(f"what is published there is `{metadata.get('dataset_id')}`")


def check_version(name: str, metadata: Mapping[str, Any]) -> None:
    """See that the installed Minari reads what another one wrote.

    Raises:
        DataError: it does not.
    """
    version, supported = metadata.get("minari_version"), minari.supported_dataset_versions
    if version not in supported:
        raise DataError(
            f"The data set `{name}` was written by Minari {version}, expected one of {', '.join(sorted(supported))}, "
            f"which the installed Minari {minari.__version__} reads: install another Minari, or choose another version "
            "of the data set (`minari list remote`)."
        )


def _failure(name: str, root: Path, error: Exception) -> str:
    cause: BaseException = error
    while cause.__cause__ is not None:  # the Hub's library itself only says that something went wrong
        cause = cause.__cause__
    reason = " ".join(str(cause).split()).rstrip(".") or type(cause).__name__
    near = near_names(name)
    return (
        f"The data set `{name}` is not on this machine, and cannot be downloaded from {_remote()}: {reason}. "
        f"{near[:1].upper()}{near[1:]}{' ' if near else ''}Try again with a network; or run `minari download {name}` "
        f"on a machine that has one, and copy its folder `~/.minari/datasets/{name}` to {root / name}."
    )
