"""Errors of what a configuration or a checkpoint brings in, with the name of the entry that they come from."""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback

from spar_lightning.types import CheckpointError, UserError

_RESTORED = {
    "resume_start": "pytorch-lightning_version",
    "restore_datamodule": "datamodule",
    "restore_model": "state_dict",
    "restore_callbacks": "callbacks",
    "restore_loops": "loops",
    "restore_optimizers": "optimizer_states",
    "restore_precision_plugin_state": "the precision's state",
}
"""Functions of Lightning's `checkpoint_connector.py`, and the entry that each takes up."""


_PROBLEM = re.compile(r"Problem with given class_path '(?P<path>[^']+)':\s*(?P<reason>[^\n]+)")
"""What the parser says of a class in a list: it tries each kind of value, and keeps only the words of what failed."""


def callbacks_of(setting: Any) -> list[Callback]:
    """The callbacks that a trainer was given: none, one, or a list of them."""
    return [] if setting is None else list(setting) if isinstance(setting, list | tuple) else [setting]


@contextlib.contextmanager
def named_errors(key: str, callbacks: Sequence[Callback], checkpoint: str | None = None) -> Iterator[None]:
    """Say where an error comes from that the user's callbacks raise, or that the entries of a checkpoint cause.

    Args:
        key: of the callbacks in the configuration.
        callbacks: those that the user brought; the project's own have no such errors.
        checkpoint: path of the one that the run goes on from, if it does.

    Raises:
        UserError: in the place of such an error; all others pass.
    """
    try:
        yield
    except (UserError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".: ")
        for frame in frames:
            guest = next((one for one in callbacks if frame.f_locals.get("self") is one), None)
            if guest is not None:
                raise UserError(
                    f"a callback of `{key}`, {type(guest).__name__}, failed in `{frame.f_code.co_name}` ({reason}):"
                    " change its settings, or leave it out"
                ) from error
        entry = None if checkpoint is None else _entry(frames)
        if entry is not None:
            raise CheckpointError(
                f"{checkpoint} cannot be gone on from: its `{entry}` cannot be used ({reason}). Take another"
                " checkpoint of this run"
            ) from error
        raise


def _entry(frames: Sequence[FrameType]) -> str | None:
    """The entry of a checkpoint that was being taken up, or that an optimizer was working with."""
    for frame in reversed(frames):
        file, function = frame.f_code.co_filename.replace("\\", "/"), frame.f_code.co_name
        if file.endswith("connectors/checkpoint_connector.py") and function in _RESTORED:
            return _RESTORED[function]
        if "/torch/optim/" in file:
            return "optimizer_states"
    return None


@contextlib.contextmanager
def named_classes(config: Mapping[str, Any]) -> Iterator[None]:
    """Say which setting names a class that cannot be made.

    Args:
        config: the settings, nested; classes have a `class_path`.

    Raises:
        UserError: in the place of what the class raised.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        for reason in _reasons(error):
            for frame, _ in traceback.walk_tb(reason.__traceback__):
                name = type(frame.f_locals.get("self")).__name__
                key = _key_of(name, config) if frame.f_code.co_name == "__init__" else None
                if key is not None:
                    raise _unmakeable(key, name, str(reason)) from error
            told = _PROBLEM.search(str(reason))
            name = "" if told is None else told["path"].rpartition(".")[2]
            if told is not None and (key := _key_of(name, config)) is not None:
                raise _unmakeable(key, name, told["reason"]) from error
        raise


def _unmakeable(key: str, name: str, reason: str) -> UserError:
    return UserError(f"`{key}` names {name}, which cannot be made so: {' '.join(reason.split())}")


def _reasons(error: BaseException) -> list[BaseException]:
    """An error and those that it was raised from, the first one first: the parser wraps what a class raises."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    return chain[::-1]


def _key_of(name: str, settings: Any, key: str = "") -> str | None:
    """Where a class of this name is named."""
    if isinstance(settings, list | tuple):
        return next((found for one in settings if (found := _key_of(name, one, key)) is not None), None)
    if not isinstance(settings, Mapping):
        return None
    if str(settings.get("class_path")).rpartition(".")[2] == name:
        return key
    below = ((f"{key}.{part}".lstrip("."), value) for part, value in settings.items())
    return next((found for part, value in below if (found := _key_of(name, value, part)) is not None), None)
