"""The global random number generators as something that a weights-only checkpoint may hold."""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed
from lightning.pytorch.utilities.seed import isolate_rng

from spar_lightning.types import CheckpointError


def collect_random_state() -> dict[str, Any]:
    """State of Python, numpy, torch and, where it is in use, this process's CUDA device: tensors and primitives."""
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002 - the global generator
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (
            str(name),
            torch.from_numpy(np.asarray(keys).astype(np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state_of(rank: int, states: Sequence[dict[str, Any]]) -> None:
    """Set a rank's generators back, where a checkpoint holds a state of it: of fewer ranks it does not.

    Raises:
        CheckpointError: it holds none at all, or they do not take it.
    """
    if not states:
        raise CheckpointError(
            "the checkpoint's `random_states` are empty, expected one of each process that wrote it: take another"
            " checkpoint of this run"
        )
    if rank < len(states):
        restore_random_state(states[rank])


def restore_random_state(state: dict[str, Any]) -> None:
    """Set the generators back to what `collect_random_state` found.

    Raises:
        CheckpointError: they do not take it.
    """
    try:
        _restore(state)
    except (AttributeError, LookupError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"the checkpoint's `random_states` cannot be restored ({type(error).__name__}: {reason}): take another"
            " checkpoint of this run"
        ) from error


def _restore(state: dict[str, Any]) -> None:
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002 - the global generator
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


@contextmanager
def unchanged_random_state() -> Generator[None]:
    """A block that draws random numbers of its own, however it ends."""
    with isolate_rng():  # of all CUDA devices, but only if the block ends well
        state = collect_random_state()
        try:
            yield
        finally:
            restore_random_state(state)


def gather_random_states() -> list[dict[str, Any]]:
    """The state of every rank, in order; all ranks must call it. Only rank 0 writes a checkpoint."""
    state = collect_random_state()
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [state]
    states: list[dict[str, Any]] = [{}] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(states, state)
    return states
