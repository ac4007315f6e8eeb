"""Files that are whole at any moment: what was there before, or all of the new, whatever stops the writing."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from typing_extensions import override


@contextmanager
def whole_file(path: Path) -> Generator[BinaryIO]:
    """Open a file that appears under its name, on the disk, when the block ends, and not at all if the block fails.

    It is written beside its place, where a rename copies nothing. After a kill the unfinished part stays until the
    next writing of the same file.

    Raises:
        OSError: if it cannot be written, with the file's name.
    """
    unfinished = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    _sync_folder(path.parent)


def check_folder(folder: Path) -> None:
    """See that files can be written into a folder, which need not be there yet, before work that takes long.

    Raises:
        OSError: if they cannot, with the place that is in the way.
    """
    nearest = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(nearest))


def write_text(path: Path, text: str) -> None:
    """Write a whole file of text in UTF-8."""
    with whole_file(path) as file:
        file.write(text.encode())


def _sync_folder(folder: Path) -> None:
    """Put the new name on the disk too, where folders can be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class WholeCheckpointIO(TorchCheckpointIO):
    """Checkpoints as whole files; Lightning's own are written in the system's temporary folder and moved.

    Where that is another file system, a move is a copy over the last good checkpoint.
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a local file whole, and leave remote ones to Lightning."""
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        contents = io.BytesIO()  # straight into a file, torch would hide why it cannot be written
        torch.save(checkpoint, contents)
        with whole_file(Path(path)) as file:
            file.write(contents.getbuffer())
