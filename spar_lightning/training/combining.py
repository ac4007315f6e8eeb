"""One checkpoint of several, which acts by their mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from spar_lightning.training.checkpoints import (
    FORMAT,
    FORMAT_KEY,
    MODULE_KEY,
    OBSERVATIONS_KEY,
    SIMULATOR_KEY,
    load_module,
    module_name,
    read_checkpoint,
)
from spar_lightning.training.modules import ALGORITHMS, MeanModule
from spar_lightning.types import CheckpointError
from spar_lightning.whole_file import whole_file

KEPT = (SIMULATOR_KEY, OBSERVATIONS_KEY, "datamodule_hyper_parameters", "pytorch-lightning_version")
"""What the new checkpoint has of the first."""


def combine(checkpoints: Sequence[Path], out: Path) -> MeanModule:
    """Write a checkpoint whose policy is the mean of those in others.

    Args:
        checkpoints: two or more, of this package's algorithms, for the same task.
        out: the file to write; it replaces another mean that is there.

    Raises:
        CheckpointError: if there are too few, one is none, of an own algorithm, or of another task; or if something
            else would be replaced.
    """
    if len(checkpoints) < 2:
        raise CheckpointError(f"`checkpoints` are {len(checkpoints)}, expected two or more to take the mean of")
    if not out.name or out.is_dir():
        raise CheckpointError(f"`out` is {out}, expected the name of a file, such as mean.ckpt")
    if any(out.absolute() == path.absolute() for path in checkpoints):
        raise CheckpointError(f"`out` is {out}, one of the checkpoints, expected another file")
    if out.is_file() and not _is_mean(out):
        raise CheckpointError(f"{out} is there and holds no mean of policies, and would be replaced: name another file")
    modules = {module.__name__: module for module in ALGORITHMS.values()}
    contents = [read_checkpoint(path) for path in checkpoints]
    for path, content in zip(checkpoints, contents, strict=True):
        if module_name(content) not in modules:
            raise CheckpointError(
                f"{path} holds a {module_name(content)}, expected one of {', '.join(modules)}: another's class is not"
                " imported, and a mean is not taken of means"
            )
        _check_task(contents[0], content, checkpoints[0], path)
    trained = [load_module(modules[module_name(of)], path) for path, of in zip(checkpoints, contents, strict=True)]
    module = MeanModule(
        members=[{"module": type(one).__name__, "settings": dict(one.hparams)} for one in trained]  # as it is read
    )
    for member, one in zip(module.algorithm.members, trained, strict=True):
        member.load_state_dict(one.algorithm.state_dict())
    document = {key: contents[0][key] for key in KEPT if key in contents[0]} | {
        MODULE_KEY: type(module).__name__,
        FORMAT_KEY: FORMAT,
        "hyper_parameters": dict(module.hparams),
        "state_dict": module.state_dict(),
        "global_step": max(content.get("global_step", 0) for content in contents),
        "finished": True,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(out) as stream:
        torch.save(document, stream)
    return module.eval()


def _is_mean(path: Path) -> bool:
    """Whether a file is a checkpoint that this has written."""
    try:
        return module_name(read_checkpoint(path)) == MeanModule.__name__
    except CheckpointError:
        return False


def _check_task(first: dict[str, Any], other: dict[str, Any], first_path: Path, path: Path) -> None:
    """Refuse policies that expect other observations: the simulator's description tells, where there is one."""
    entries = [{**of[SIMULATOR_KEY], "scale": None} for of in (first, other) if SIMULATOR_KEY in of]
    if len(entries) == 2 and entries[0] != entries[1]:
        raise CheckpointError(
            f"{path} is evaluated in another environment than {first_path}, or with other settings of it, expected the"
            " same: only policies for one task have a mean"
        )
