"""The generator that updates draw their noise from: one for each process, and its place is kept in checkpoints."""

from __future__ import annotations

from typing import cast

import lightning.pytorch as pl
import torch
from torch import Tensor

from spar_lightning.types import CheckpointError

NOISE_KEY = "noise"
"""Where a checkpoint holds the generators' states: (G,), or (P, G) of P processes."""


def make_noise(module: pl.LightningModule, seed: int, state: Tensor | None, updates: int) -> torch.Generator:
    """The generator of this process: anew on every rank, or where a checkpoint left it.

    Args:
        module: whose trainer runs, on the device of the noise.
        seed: of the first rank's.
        state: what `NOISE_KEY` of a checkpoint holds.
        updates: that are made.

    Raises:
        CheckpointError: if that is no state.
    """
    trainer, noise = module.trainer, torch.Generator(module.device)
    states = [] if state is None else [*state] if state.ndim == 2 else [state]
    if len(states) == trainer.world_size:
        state = states[trainer.global_rank].clone()  # a generator reads what lies at the beginning
    if len(states) != trainer.world_size or state is None or state.shape != noise.get_state().shape:
        # What a generator's state is differs between devices, and a checkpoint may be of fewer processes, or more.
        noise.manual_seed(seed + trainer.global_rank + (0 if state is None else updates))
        return noise
    try:
        noise.set_state(state)
    except (RuntimeError, TypeError) as error:
        raise CheckpointError(
            f"the checkpoint's `{NOISE_KEY}` is no state of a generator ({error}): take another one of this run"
        ) from error
    return noise


def noise_state(module: pl.LightningModule, noise: torch.Generator) -> Tensor:
    """What a checkpoint holds of it; every process must ask."""
    state = noise.get_state()
    return state if module.trainer.world_size == 1 else cast(Tensor, module.all_gather(state)).cpu()
