"""Checkpoints that are whole at any moment."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from typing_extensions import override

from spar_lightning.whole_file import whole_file


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
