"""Reading NumPy's `.npz` archives a slice at a time, so that their arrays need not fit into memory.

An `.npz` is a zip archive with a `.npy` file for each array: magic string, header (shape, type, order), then the raw
values. Format: `numpy.lib.format`. Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from spar_lightning.datasets.blocks import check_stored

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class NpzColumn:
    """One array of an archive; cheap to read forwards, compressed or not.

    Args:
        file: its `.npy` file, open at the start.
        size: bytes of that file, as the archive states it.
        stored: bytes that the archive holds of it.

    Raises:
        ValueError: it is no `.npy` file, or its size is not that of its values.
    """

    def __init__(self, file: IO[bytes], size: int, stored: int) -> None:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"an array has version {version} of the format, expected 1.0 or 2.0")
        self.shape, self._column_major, self.dtype = _HEADERS[version](file)
        self._file, self._offset = file, file.tell()
        self._row_bytes = self.dtype.itemsize * math.prod(self.shape[1:])
        self._whole: np.ndarray[Any, Any] | None = None
        if not self.dtype.hasobject and size - self._offset != self.dtype.itemsize * math.prod(self.shape):
            raise ValueError(f"an array of shape {self.shape} and type {self.dtype} has {size - self._offset} bytes")
        if not self.dtype.hasobject:
            check_stored(self.shape, self.dtype, stored)

    def __getitem__(self, rows: slice) -> np.ndarray[Any, Any]:
        """The rows of a slice without a step; the caller's own.

        Raises:
            ValueError: the values are pickled objects, or end too early.
        """
        if self._column_major:  # rows are not in one piece: all or nothing
            if self._whole is None:
                self._file.seek(0)
                self._whole = np.lib.format.read_array(self._file, allow_pickle=False)
            return self._whole[rows].copy()
        start, stop, _ = rows.indices(self.shape[0])
        self._file.seek(self._offset + start * self._row_bytes)
        wanted = max(stop - start, 0) * self._row_bytes
        contents = bytearray(self._file.read(wanted))  # so that it can be written to
        if len(contents) < wanted:
            raise ValueError(f"an array of shape {self.shape} ends in row {start + len(contents) // self._row_bytes}")
        return np.frombuffer(contents, self.dtype).reshape(-1, *self.shape[1:])


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[dict[str, NpzColumn]]:
    """The arrays of an archive by name, of which only the headers are read yet.

    Raises:
        ValueError, zipfile.BadZipFile, OSError: it is damaged, or no such archive.
    """
    with contextlib.ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(path))
        yield {
            member.filename.removesuffix(".npy"): NpzColumn(
                stack.enter_context(archive.open(member)), member.file_size, member.compress_size
            )
            for member in archive.infolist()
            if member.filename.endswith(".npy")
        }
