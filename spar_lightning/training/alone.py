"""A training without Lightning: for what is fitted on the way, and leaves nothing behind but its networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from spar_lightning.algorithms import Algorithm
from spar_lightning.replay import Minibatches, Transitions
from spar_lightning.training.updates.batched import BatchedExecution
from spar_lightning.training.updates.optimizers import FlatAdam
from spar_lightning.training.updates.stack import Training
from spar_lightning.training.updates.stream import NetworkUnits
from spar_lightning.types import DatasetStatistics


def train_alone(
    algorithm: Algorithm,
    transitions: Transitions,
    statistics: DatasetStatistics,
    indices: Iterable[Tensor],
    max_updates: int,
    goes_on: Callable[[int], bool] = lambda _: True,
) -> bool:
    """Train an algorithm on the CPU, or on the device that its data are on.

    Args:
        algorithm: to be trained; columns that it derives from the data are taken once, and never become due again.
        transitions: its data, in their own units; such columns are added.
        statistics: of the data.
        indices: of the transitions (B,) int64 of each batch, at least `max_updates` of them.
        max_updates: to be made.
        goes_on: asked after each update, with the number that were made.

    Returns:
        Whether all were made.
    """
    device = transitions.device
    algorithm.to(device).take_statistics(statistics)
    stream = NetworkUnits(transitions, algorithm.normalizer, device)
    with torch.autocast(device.type, enabled=False), torch.enable_grad():
        with torch.no_grad():
            stream.store(algorithm.prepare(stream, 0, max_updates))
        optimizers = {name: FlatAdam(one, True) for name, one in algorithm.optimizers(max_updates).items()}
        noise = torch.Generator(device).manual_seed(0)
        execution = BatchedExecution([Training(algorithm, stream, optimizers, noise, settings={}, clip_norm=None)])
        for update, rows in zip(range(max_updates), indices, strict=False):
            execution.run([Minibatches(transitions, rows.to(device).unsqueeze(0))], update)
            if not goes_on(update + 1):
                return False
    return True
