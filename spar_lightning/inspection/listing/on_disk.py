"""Where the data sets on this machine are, and how much room they take."""

from __future__ import annotations

from pathlib import Path

from spar_lightning.datasets.minari_folder import datasets_folder
from spar_lightning.datasets.sources.d4rl_names import KNOWN_D4RL, PREFIX
from spar_lightning.datasets.sources.remote.remote_files import download_place
from spar_lightning.types import DataError


def path_on_disk(name: str) -> Path | None:
    """The file or folder that holds the data set `name`, None where it is not on this machine."""
    address = KNOWN_D4RL.get(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else name
    if address is None:
        return None
    if "://" in address:
        try:
            place = download_place(address)
        except DataError:  # without a cache there is none
            return None
        return place if place.is_file() else None
    try:
        place = Path(name).expanduser()
    except RuntimeError:  # there is no such user
        return None
    if _is_data_set(place):  # Minari's folder is none of its business: it may not even be there
        return place
    folder = datasets_folder() / name
    return folder if _is_data_set(folder) else None


def _is_data_set(path: Path) -> bool:
    return path.is_file() or (path / "data").is_dir()


def bytes_on_disk(path: Path) -> int:
    """Size of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def readable_size(amount: int) -> str:
    """A number of bytes in decimal units, as file managers show it.

    >>> readable_size(1_234), readable_size(43_210_000), readable_size(12_300_000_000)
    ('1.2 kB', '43.2 MB', '12.3 GB')
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if amount >= factor:
            return f"{amount / factor:,.1f} {unit}"
    return f"{amount / 1e3:,.1f} kB"
