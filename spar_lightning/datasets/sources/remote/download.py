"""Fetching a file once, so that it is there complete or not at all."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import requests
from filelock import FileLock
from tqdm.auto import tqdm
from urllib3.exceptions import LocationParseError

from spar_lightning.datasets.sources.remote.network_errors import explain
from spar_lightning.datasets.sources.remote.partial_download import PartialDownload
from spar_lightning.telling import tell
from spar_lightning.types import DataError

STALL_SECONDS = 30.0
_BLOCK = 1 << 16  # bytes


def download(
    url: str, destination: Path, problem_of: Callable[[Path], str | None], stall_seconds: float = STALL_SECONDS
) -> Path:
    """Fetch a file, unless it is there; several processes may ask at once, and one of them fetches it.

    What arrives is kept beside the destination until it is complete. If the connection breaks, the next call goes on
    from there, where the server can (HTTP range requests); else it begins again.

    Args:
        url: http or https.
        destination: the file; its folder is made if it is missing.
        problem_of: says why a file is not of the kind that is wanted, None if it is; a wrong one is not kept.
        stall_seconds: how long to wait for the server's next bytes.

    Returns:
        `destination`.

    Raises:
        DataError: the server cannot be reached, refuses, stalls or sends less than it announces; the file is not what
            it should be; or the disk is full. The message says what to do.
    """
    if destination.exists():
        return destination
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(destination.with_name(f".{destination.name}.lock")):
            if not destination.exists():  # another process may have been faster
                with PartialDownload.beside(destination).discarded_on_error() as partial:
                    _fetch(url, partial, stall_seconds)
                    problem = problem_of(partial.file)
                    if problem is not None:
                        raise DataError(_failure(url, destination, f"what the server sends is {problem}"))
                    partial.file.replace(destination)
                    partial.discard()
    except requests.RequestException as error:
        kept = PartialDownload.beside(destination).size
        reason = explain(error, stall_seconds) + (
            f"; {kept:,} bytes are kept, the next try goes on there" if kept else ""
        )
        raise DataError(_failure(url, destination, reason)) from error
    except LocationParseError as error:  # of a host's name, which requests leaves as it is
        raise DataError(_failure(url, destination, str(error))) from error
    except OSError as error:
        raise DataError(_failure(url, destination, f"{error.strerror or error} ({destination.parent})")) from error
    return destination


def _failure(url: str, destination: Path, reason: str) -> str:
    return (
        f"{url} cannot be downloaded: {reason}. Try again later, or fetch the file in another way and give its path as "
        f"the name of the data set, or put it at {destination}."
    )


def _fetch(url: str, partial: PartialDownload, stall_seconds: float) -> None:
    with requests.get(url, headers=partial.request(), stream=True, timeout=stall_seconds) as response:
        start = partial.size
        if start and response.status_code == requests.codes.requested_range_not_satisfiable:
            partial.discard()  # nothing comes after what has arrived: begin again
            return _fetch(url, partial, stall_seconds)
        response.raise_for_status()
        if not _continues(response, start):
            if response.status_code == requests.codes.partial_content:
                partial.discard()
                raise requests.ConnectionError("the server sends another part of the file than was asked for")
            partial.begin(response)
            start = 0
        size = _size(response, start)
        _check_space(partial.folder, size, start)
        tell(f"Downloading {url} to {partial.folder.parent}")
        _write(response, partial, start, size)
    arrived = partial.file.stat().st_size
    if size is not None and arrived != size:
        raise requests.ConnectionError(f"only {arrived:,} of {size:,} bytes arrived")
    return None


def _continues(response: requests.Response, start: int) -> bool:
    """Whether a response holds what follows `start` bytes."""
    return start > 0 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _size(response: requests.Response, start: int) -> int | None:
    """Bytes of the whole file, None if the server does not say."""
    length = response.headers.get("Content-Length", "")
    encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    return None if encoded or not re.fullmatch(r"\d+", length) else start + int(length)


def _check_space(folder: Path, size: int | None, start: int) -> None:
    free = shutil.disk_usage(folder).free
    if size is not None and size - start > free:
        raise OSError(None, f"it needs {size - start:,} bytes, and {free:,} are free", folder)


def _write(response: requests.Response, partial: PartialDownload, start: int, size: int | None) -> None:
    with (
        partial.file.open("ab" if start else "wb") as file,
        tqdm(
            total=size,
            initial=start,
            desc=partial.file.name,
            unit="B",
            unit_scale=True,
            disable=not sys.stderr.isatty(),
        ) as bar,
    ):
        for block in response.iter_content(_BLOCK):
            file.write(block)
            bar.update(len(block))
        file.flush()
        os.fsync(file.fileno())
