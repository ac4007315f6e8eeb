"""Fitted Q evaluation of several policies on a data set: values of the starts, gains over one of them, and how good."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spar_lightning.algorithms.algorithm import Batch
from spar_lightning.algorithms.fqe import FQE
from spar_lightning.offline_evaluation.folds import Folds
from spar_lightning.offline_evaluation.intervals import told
from spar_lightning.replay import Transitions, spread_rows
from spar_lightning.training.alone import train_alone
from spar_lightning.training.updates.stream import in_network_units
from spar_lightning.types import DatasetStatistics, Policy, UserError

MOST_STATES = 4096
"""States at which policies are compared: evenly spaced ones."""

BEHAVIOUR = "behaviour"
"""The name of what has recorded the data, among policies."""


_MAKING = threading.Lock()
"""Seeds in threads of one process share its random numbers."""


@dataclass(frozen=True)
class Settings:
    """Of a fitted Q evaluation.

    Args:
        updates: of the critics; 0 leaves the evaluation out.
        splits: times that the episodes are halved; one critic a policy learns from each half and judges the other.
        batch_size: transitions a critic and update.
        discount: per step; None takes the run's.
        seed: of halves, batches and first weights.
    """

    updates: int = 1500
    splits: int = 2
    batch_size: int = 128
    discount: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense.

        Raises:
            UserError: naming the setting.
        """
        bounds = {"updates": (0, 2**31), "splits": (2, 1000), "batch_size": (1, 2**20), "seed": (0, 2**63 - 1)}
        for name, (least, most) in bounds.items():
            if not least <= getattr(self, name) <= most:
                raise UserError(f"`{name}` is {getattr(self, name)}, expected {least} to {most:,}")
        if self.discount is not None and not 0 <= self.discount <= 1:
            raise UserError(f"`discount` is {self.discount}, expected a number from 0 to 1")


def fitted_q_evaluation(
    policies: Mapping[str, Policy | None],
    compared_with: str,
    transitions: Transitions,
    held_out: Transitions | None,
    statistics: DatasetStatistics,
    settings: Settings,
    goes_on: Callable[[int], bool] = lambda _: True,
) -> dict[str, Any] | None:
    """What policies are worth according to critics that never saw the episodes they are asked about.

    No random number of the process changes.

    Args:
        policies: by name; None is the behaviour in the data.
        compared_with: the name of one of them, over which the others' gains are told.
        transitions: to learn from, by halves; each half's starts are judged by critics of the other.
        held_out: further episodes, at whose states gains are told; None takes those of the other half.
        statistics: of the transitions.
        settings: with a discount.
        goes_on: asked after each update, with their number; False gives up.

    Returns:
        By name of the policy `values` of the episodes' starts, `gains` there and `state_gains` over all states (each
        `mean`, `low`, `high`, discounted), and `explained`, the share of the variance of unseen targets that critics
        explain; None where it was given up.

    Raises:
        DataError: if there are fewer than two episodes.
    """
    began, folds = time.perf_counter(), Folds(transitions.walks(), settings.splits, settings.seed)
    fqe = _make(policies, transitions, settings)
    batches = folds.batches(settings.batch_size)
    if not train_alone(fqe, transitions, statistics, batches, settings.updates, goes_on):
        return None
    judge = _Judge(fqe, transitions, folds)
    names, base = list(policies), list(policies).index(compared_with)
    starts, states = judge.starts(), judge.states(held_out)
    rest = [name for name in names if name != compared_with]
    return {
        "discount": settings.discount,
        "updates": settings.updates,
        "splits": settings.splits,
        "episodes": folds.episodes,
        "held_out_episodes": states.shape[-1],
        "compared_with": compared_with,
        "values": {name: told(starts[:, number]) for number, name in enumerate(names)},
        "gains": {name: told(starts[:, names.index(name)] - starts[:, base]) for name in rest},
        "state_gains": {name: told(states[:, names.index(name)] - states[:, base]) for name in rest},
        "explained": dict(zip(names, judge.explained().tolist(), strict=True)),
        "seconds": time.perf_counter() - began,
    }


def _make(policies: Mapping[str, Policy | None], transitions: Transitions, settings: Settings) -> FQE:
    assert settings.discount is not None
    dims, regression = (transitions.observation_dim, transitions.action_dim), min(1000, settings.updates // 4)
    with _MAKING, torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        return FQE(*dims, policies, 2 * settings.splits, discount=settings.discount, regression_updates=regression)


class _Judge:
    """Asks trained critics, each about what it did not see.

    Args:
        fqe: trained.
        transitions: from which it learned.
        folds: by which it did.
    """

    def __init__(self, fqe: FQE, transitions: Transitions, folds: Folds) -> None:
        self._fqe, self._transitions, self._folds = fqe, transitions, folds

    def starts(self) -> Tensor:
        """Values (F, P, E) of the first states of the episodes, NaN where a critic learned from one."""
        return self._unseen(self._folds.starts)

    def states(self, held_out: Transitions | None) -> Tensor:
        """The like of all states, means over those of an episode."""
        source = self._transitions if held_out is None else held_out
        rows = spread_rows(len(source), MOST_STATES)
        values = self._unseen(rows) if held_out is None else self._values(held_out, rows)
        return episode_means(values, source.walks()[rows])

    @torch.no_grad()
    def explained(self) -> Tensor:
        """Share (P,) of the variance of targets that critics explain, at transitions that they did not learn from."""
        fqe, rows = self._fqe, spread_rows(len(self._transitions), MOST_STATES)
        batch = self._batch(self._transitions, rows.repeat(fqe.folds))  # the same ones for every fold
        targets = fqe.targets(batch)
        errors = (fqe.data_values(fqe.target_critic, batch) - targets).double().square()
        errors = self._folds.unseen(errors, self._folds.episodes_of(rows)).nanmean(dim=(0, 2))
        return (1.0 - errors / targets.double().var(dim=2).mean(dim=0).clamp(min=1e-12)).cpu()

    def _unseen(self, rows: Tensor) -> Tensor:
        return self._folds.unseen(self._values(self._transitions, rows), self._folds.episodes_of(rows))

    @torch.no_grad()
    def _values(self, transitions: Transitions, rows: Tensor) -> Tensor:
        """By all critics, (F, P, B) on the CPU."""
        fqe, pieces = self._fqe, []
        for chosen in torch.split(rows, 512):
            batch = self._batch(transitions, chosen)
            actions = [
                batch.actions if policy is None else fqe.actions_of(policy, batch.observations)
                for policy in fqe.policies.values()
            ]
            pieces.append(fqe(batch.observations, torch.stack(actions)).cpu())
        return torch.cat(pieces, dim=-1)

    def _batch(self, transitions: Transitions, rows: Tensor) -> Batch:
        device = self._transitions.device
        return in_network_units(transitions.batch(rows.to(transitions.device)), self._fqe.normalizer, device)


def episode_means(values: Tensor, episodes: Tensor) -> Tensor:
    """Means (..., E) of values (..., B) over each episode that occurs among `episodes` (B,) int64."""
    _, numbers = torch.unique(episodes, return_inverse=True)
    counts = torch.bincount(numbers).to(values.dtype)
    totals = values.new_zeros(*values.shape[:-1], len(counts)).index_add_(-1, numbers, values)
    return totals / counts
