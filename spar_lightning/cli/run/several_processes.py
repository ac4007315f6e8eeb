"""What a run in several processes needs: one folder for all, and an end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch.distributed
from lightning.pytorch.utilities import rank_zero_only

RUN_FOLDER = "SPAR_LIGHTNING_RUN_FOLDER"
"""Environment variable in which the first process tells those that it starts where the run is."""


def rank() -> int:
    """Number of this process among those that train; known before there is a trainer."""
    return int(getattr(rank_zero_only, "rank", 0))


def is_first_process() -> bool:
    """Whether this is the process that writes."""
    return rank() == 0


def same_folder(choose: Callable[[], Path]) -> Path:
    """The folder that the first process chooses, on every rank.

    Processes that Lightning starts run the same command line, when the first one has made its choice: a choice of their
    own would be another one. Where something else starts them, such as torchrun, a rank beside the first keeps its own
    guess until Lightning broadcasts the folder; it writes nothing.
    """
    if is_first_process():
        os.environ[RUN_FOLDER] = str(folder := choose())
        return folder
    told = os.environ.get(RUN_FOLDER)
    return choose() if told is None else Path(told)


def lost_process(error: RuntimeError) -> bool:
    """Whether an error says that another process is there no more."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return False
    words = ("connection closed by peer", "connection reset by peer", "broken pipe", "remote process exited")
    return any(word in str(error).lower() for word in words)


def leave_processes() -> None:
    """End what connects the processes, if anything does: left to the interpreter's end, it now and then aborts."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
