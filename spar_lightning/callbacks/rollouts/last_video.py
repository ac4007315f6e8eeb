"""A video of the last policy beside its base: a file in the run's folder, and a short animation in TensorBoard."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn

from spar_lightning.callbacks.simulator import environment_maker
from spar_lightning.evaluation.comparison import BASE, POLICY
from spar_lightning.evaluation.video import check_video, write_video
from spar_lightning.types import HasReferencePolicies, UserError
from spar_lightning.whole_file import whole_file

VIDEO = "video.mp4"
"""Its name in the run's folder."""

TAG = "final/video"

_MOST_FRAMES, _LARGEST = 100, 480
"""Of the animation, whose size counts in TensorBoard's file: pictures, and pixels of the longer side."""


def film_last(trainer: pl.Trainer, module: Any, folder: Path, seed: int) -> None:
    """Write an episode of the last policy and of its base, side by side; where nothing can be drawn, say so.

    Args:
        trainer: after training.
        module: a policy, in eval mode.
        folder: of the run.
        seed: of the start state.

    Raises:
        OSError: if the file cannot be written.
    """
    path = folder / VIDEO
    references = module.reference_policies() if isinstance(module, HasReferencePolicies) else {}
    policies = {name: one for name, one in {**references, POLICY: module}.items() if name in (BASE, POLICY)}
    try:
        check_video(path)
        make = environment_maker(trainer)
        with torch.no_grad(), whole_file(path) as stream:
            write_video(stream, path.suffix, make, policies, seed)
    except UserError as error:
        rank_zero_warn(f"There is no video of the last policy, and the run goes on without: {error}")
        return
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            _show(logger, path, trainer.global_step)


def _show(logger: TensorBoardLogger, path: Path, step: int) -> None:
    """Put the animation among TensorBoard's images: its own `add_video` takes a package that is none of this one's."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    animation, (height, width) = animated(path)
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=animation)
    logger.experiment._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=TAG, image=image)]), step)


def animated(path: Path) -> tuple[bytes, tuple[int, int]]:
    """A video as a small GIF of the same duration, with its height and width."""
    import imageio.v2 as imageio

    reader: Any = imageio.get_reader(path)
    with reader as video:
        rate, stride = video.get_meta_data()["fps"], -(-video.count_frames() // _MOST_FRAMES)
        frames = [_small(frame) for index, frame in enumerate(video) if index % stride == 0]
    contents = io.BytesIO()
    imageio.mimwrite(contents, frames, format="GIF", duration=1000 * stride / rate, loop=0)
    return contents.getvalue(), frames[0].shape[:2]


def _small(frame: Any) -> Any:
    from PIL import Image

    picture = Image.fromarray(np.asarray(frame))
    picture.thumbnail((_LARGEST, _LARGEST))
    return np.asarray(picture)
