"""Data sets in files that are somewhere else: by URL, or by D4RL's name."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from spar_lightning.datasets.cache_folder import cache_folder
from spar_lightning.datasets.dataset import OfflineDataset
from spar_lightning.datasets.naming import did_you_mean
from spar_lightning.datasets.sources.arrays.array_file import SUFFIXES, problem_of
from spar_lightning.datasets.sources.arrays.array_source import open_arrays
from spar_lightning.datasets.sources.d4rl_names import KNOWN_D4RL, PREFIX, d4rl_name_of
from spar_lightning.datasets.sources.remote.download import download
from spar_lightning.types import DataError


def open_url(url: str, observation_keys: Sequence[str] | None = None) -> OfflineDataset:
    """Open a `.hdf5`, `.h5` or `.npz` file by its URL, downloading it on first use.

    Args:
        url: http or https. A file that is named like one of D4RL's is taken for it.
        observation_keys: as in `open_file`.

    Raises:
        DataError: the URL is of another kind, the file cannot be downloaded, or it cannot be opened.
    """
    try:
        url.encode()  # a name from a shell may hold bytes that are no text
        address = urlsplit(url)
    except ValueError as error:
        raise DataError(f"`{url}` is no URL: {error}.") from error
    file_name = Path(unquote(address.path)).name
    if address.scheme not in ("http", "https") or not address.netloc:
        raise DataError(f"`{url}` is no address that can be fetched, expected http:// or https://; or give a path.")
    if Path(file_name).suffix.lower() not in SUFFIXES:
        raise DataError(f"`{url}` names no file of a known kind, expected one that ends in {', '.join(SUFFIXES)}.")
    return open_arrays(_fetched(url), url, d4rl_name_of(file_name), observation_keys)


def open_d4rl(name: str, observation_keys: Sequence[str] | None = None) -> OfflineDataset:
    """Open a data set by D4RL's name with the prefix `d4rl:`, downloading it on first use.

    Raises:
        DataError: D4RL has no such data set (the message names near ones), or the file cannot be downloaded or opened.
    """
    known = name.removeprefix(PREFIX)
    if known not in KNOWN_D4RL:
        names = [PREFIX + other for other in KNOWN_D4RL]
        raise DataError(
            f"`{name}` is no data set of D4RL's that is known here; {did_you_mean(name, names)} A file of another one "
            "can be opened by its path or URL."
        )
    return open_arrays(_fetched(KNOWN_D4RL[known]), name, known, observation_keys)


def _fetched(url: str) -> Path:
    return download(url, download_place(url), problem_of)


def download_place(url: str) -> Path:
    """Where the file is kept: under its own name, apart from files of the same name from elsewhere."""
    name = re.sub(r"[^\w.-]", "_", Path(unquote(urlsplit(url).path)).name)[-100:]
    return cache_folder() / "downloads" / f"{zlib.crc32(url.encode()):08x}" / name
