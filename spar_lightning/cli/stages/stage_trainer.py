"""A stage's trainer: with this project's loggers, checkpoints and progress bar, unless others are set."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from lightning.pytorch.callbacks import Callback, Checkpoint, ProgressBar

from spar_lightning.callbacks import ResumableCheckpoint, StageProgressBar
from spar_lightning.cli.run.resuming import LAST
from spar_lightning.cli.run.run_folder import RunFolder
from spar_lightning.cli.stages.named_errors import callbacks_of
from spar_lightning.training.seeds import current_place
from spar_lightning.types import UserError


def complete(
    settings: dict[str, Any],
    callbacks: Sequence[Callback],
    folder: RunFolder,
    updates_per_batch: int,
    label: str,
    following: float = 0.0,
) -> tuple[dict[str, Any], list[Callback]]:
    """A trainer's settings, and the callbacks beside those, for a stage that keeps its files in `folder`.

    Args:
        settings: of the trainer, as given; they are changed.
        callbacks: of the project's own, which the stage has in any case.
        folder: of the stage.
        updates_per_batch: in a training step.
        label: of the progress bar.
        following: what comes after this stage, in updates of it, for the time that is left.
    """
    if isinstance(settings["val_check_interval"], int):  # Lightning counts training steps
        settings["val_check_interval"] = max(1, settings["val_check_interval"] // updates_per_batch)
    place = current_place()
    if place is not None and not place.is_first:
        settings["enable_progress_bar"] = False  # one bar is enough to see how far all are
    if settings["logger"] in (None, True):
        settings["logger"] = folder.loggers()
    settings["default_root_dir"] = settings["default_root_dir"] or str(folder.path)
    given, own = callbacks_of(settings["callbacks"]), [*callbacks]
    if settings["enable_checkpointing"] is not False and not any(isinstance(c, Checkpoint) for c in given):
        own.append(ResumableCheckpoint(str(folder.path / LAST.parent), keep_earlier=place is not None))
    if settings["enable_progress_bar"] is not False and not any(isinstance(c, ProgressBar) for c in given):
        own.append(StageProgressBar(label=label, following=following))
    return settings, own


@contextlib.contextmanager
def refused_settings(key: str) -> Iterator[None]:
    """Say which trainer it is that Lightning does not make, such as for a second callback of one kind.

    Raises:
        UserError: in the place of what Lightning raises.
    """
    try:
        yield
    except UserError:
        raise
    except (ImportError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"the trainer refuses its settings, `{key}`: {' '.join(str(error).split())}") from error
