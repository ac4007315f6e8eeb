"""What the data alone say of a policy: values of critics that did not guide it, on episodes that were held out."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from spar_lightning.evaluation import PairedImprovement
from spar_lightning.types import HasExpectedGain

CHUNK = 8192  # states a forward pass


def offline_check(trainer: pl.Trainer) -> dict[str, Any] | None:
    """The gain over the base that held-out data and critics expect, with an interval over episodes, and a verdict.

    One step of the policy is compared, after which the behaviour in the data goes on: it says whether improvement is
    supported by the data, not how far the policy gets. Critics learn from the same episodes as those that guide the
    policy, so an error that all share is not seen.

    Returns:
        `mean`, `low`, `high` (95%, None for one episode) of the discounted return, `episodes` and `verdict`; None where
        nothing is held out, or the module has no such critics.
    """
    module, datamodule = trainer.lightning_module, getattr(trainer, "datamodule", None)
    held_out = getattr(datamodule, "validation_transitions", None)
    if held_out is None or not isinstance(module, HasExpectedGain):
        return None
    gains = [module.expected_gain(chunk.observations) for chunk in held_out.chunks(CHUNK)]
    found = [gain for gain in gains if gain is not None]
    if not found:
        return None
    metric = PairedImprovement(sync_on_compute=False)  # every process holds all of these episodes
    means = _episode_means(torch.cat(found).double().cpu(), held_out.episode_ends.cpu())
    metric.update(means, torch.zeros_like(means))
    values = {name: float(value) for name, value in metric.compute().items()}
    mean, low, high = (values[name] for name in ("mean", "low", "high"))
    return {"mean": mean, "low": low, "high": high, "episodes": len(means), "verdict": verdict(low, high)}


def verdict(low: float, high: float) -> str:
    """An interval of a difference in words; a NaN bound distinguishes nothing.

    >>> verdict(0.1, 0.3), verdict(-0.1, 0.3), verdict(-0.3, -0.1)
    ('clearly better', 'not distinguishable', 'worse')
    """
    return "clearly better" if low > 0 else "worse" if high < 0 else "not distinguishable"


def _episode_means(values: Tensor, episode_ends: Tensor) -> Tensor:
    """Means (E,) of values (N,) over each episode."""
    ends = episode_ends.long()
    episode = ends.cumsum(0) - ends
    totals = torch.zeros(int(ends.sum()), dtype=values.dtype).index_add_(0, episode, values)
    return totals / torch.bincount(episode, minlength=len(totals))
