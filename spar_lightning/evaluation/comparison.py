"""A policy against fixed reference policies, on the same seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torchmetrics.utilities.data import dim_zero_cat

from spar_lightning.evaluation.metrics import EpisodeScores, PairedImprovement
from spar_lightning.evaluation.rollout import Environment, EpisodeRunner
from spar_lightning.evaluation.scores import normalized_score
from spar_lightning.types import Policy

POLICY = "policy"
BASE = "base"


class Episodes(NamedTuple):
    """What the episodes of one policy came to, in the order of their seeds."""

    returns: npt.NDArray[np.float64]  # (n,), undiscounted
    lengths: npt.NDArray[np.int64]  # (n,), steps


class Scores(NamedTuple):
    """How one policy did: means over episodes; `score` is on D4RL's scale, None where it is not defined."""

    episodes: int
    mean_return: float
    return_std: float
    mean_length: float
    score: float | None
    score_std: float | None
    returns: tuple[float, ...] = ()  # of every episode, in the order of the seeds


class Improvement(NamedTuple):
    """Policy minus base, paired by seed, with a 95% interval; in scores, or in returns where there are no scores.

    The interval is over start states of one training: it says nothing of another training seed.
    """

    mean: float
    low: float
    high: float
    episodes: int


class Comparison(NamedTuple):
    """Scores by policy name, `policy` first; the improvement exists where a `base` does."""

    scores: dict[str, Scores]
    improvement: Improvement | None

    @property
    def policy(self) -> Scores:
        """How the policy itself did."""
        return self.scores[POLICY]


class PolicyEvaluator:
    """Rolls a policy and its references out on the same seeds; each reference once a seed, since it does not change.

    Args:
        make_environment: makes one environment.
        reference_scores: returns of a random and an expert policy, if there are any.
        rank: of this process; it rolls out `seeds[rank::world_size]`.
        world_size: number of processes; results are reduced over all of them and equal on each.
        device: on which the results are reduced.
    """

    def __init__(
        self,
        make_environment: Callable[[], Environment],
        reference_scores: tuple[float, float] | None = None,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self.runner = EpisodeRunner(make_environment)
        self.reference_scores = reference_scores
        self._rank, self._world_size, self._device = rank, world_size, device
        self._episodes: dict[str, dict[int, tuple[float, int]]] = {}  # reference -> seed -> return, length

    def evaluate(
        self, policy: Policy, references: Mapping[str, Policy], seeds: Sequence[int], action_noise: float = 0.0
    ) -> Comparison:
        """One episode a seed for the policy, and for each reference that has not met the seed.

        With `action_noise`, which `EpisodeRunner.run` adds to the actions of all, references are run anew.

        Raises:
            UserError: if an action is not finite.
        """
        return self.compare(self.episodes(policy, references, seeds, action_noise))

    def episodes(
        self, policy: Policy, references: Mapping[str, Policy], seeds: Sequence[int], action_noise: float = 0.0
    ) -> dict[str, Episodes]:
        """The episodes of `evaluate` by policy name, `policy` first; on several ranks, those of this one."""
        own_seeds = list(seeds)[self._rank :: self._world_size]
        rollouts = self.runner.run(policy, own_seeds, action_noise=action_noise)
        episodes = {POLICY: Episodes(rollouts.returns, rollouts.lengths)}
        for name, reference in references.items():
            if action_noise:
                rollouts = self.runner.run(reference, own_seeds, action_noise=action_noise)
                episodes[name] = Episodes(rollouts.returns, rollouts.lengths)
            else:
                episodes[name] = self._reference_episodes(name, reference, own_seeds)
        return episodes

    def compare(self, episodes: Mapping[str, Episodes]) -> Comparison:
        """Scores of all policies, and the improvement of `policy` on `base` where there is one."""
        scores = {name: self._score(*results) for name, results in episodes.items()}
        improvement = None
        if BASE in episodes:
            improvement = self._improvement(episodes[POLICY].returns, episodes[BASE].returns)
        return Comparison(scores, improvement)

    def close(self) -> None:
        """Close the environments."""
        self.runner.close()

    def state_dict(self) -> dict[str, Any]:
        """The references' episodes, as primitives."""
        return {name: dict(episodes) for name, episodes in self._episodes.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over episodes of an earlier run; seeds of other ranks do no harm."""
        self._episodes = {name: dict(episodes) for name, episodes in state_dict.items()}

    def _reference_episodes(self, name: str, reference: Policy, seeds: list[int]) -> Episodes:
        known = self._episodes.setdefault(name, {})
        rollouts = self.runner.run(reference, [seed for seed in seeds if seed not in known])
        for seed, total, length in zip(rollouts.seeds, rollouts.returns, rollouts.lengths, strict=True):
            known[seed] = (float(total), int(length))
        returns, lengths = ([known[seed][part] for seed in seeds] for part in (0, 1))
        return Episodes(np.array(returns, np.float64), np.array(lengths, np.int64))

    def _score(self, returns: npt.NDArray[np.float64], lengths: npt.NDArray[np.int64]) -> Scores:
        metric = EpisodeScores(self.reference_scores).to(self._device)
        metric.update(torch.from_numpy(returns), torch.from_numpy(lengths))
        values = {name: float(value) for name, value in metric.compute().items()}
        with metric.sync_context():
            gathered: list[float] = dim_zero_cat(metric.returns).tolist()
        return Scores(
            episodes=int(values["episodes"]),
            mean_return=values["return"],
            return_std=values["return_std"],
            mean_length=values["length"],
            score=values.get("normalized_score"),
            score_std=values.get("normalized_score_std"),
            returns=tuple(self._in_order_of_seeds(gathered)),
        )

    def _in_order_of_seeds(self, values: list[float]) -> list[float]:
        """Values that were gathered rank by rank, each rank's of every `world_size`-th seed."""
        places = [place for rank in range(self._world_size) for place in range(rank, len(values), self._world_size)]
        return [value for _, value in sorted(zip(places, values, strict=True))]

    def _improvement(self, policy: npt.NDArray[np.float64], base: npt.NDArray[np.float64]) -> Improvement:
        if self.reference_scores is not None:
            policy, base = (normalized_score(returns, self.reference_scores) for returns in (policy, base))
        metric = PairedImprovement().to(self._device)
        metric.update(torch.from_numpy(policy), torch.from_numpy(base))
        values = {name: float(value) for name, value in metric.compute().items()}
        return Improvement(values["mean"], values["low"], values["high"], int(values["episodes"]))
