"""What an algorithm is: networks, losses, and one update of them; no trainer, no file and no simulator."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from spar_lightning.algorithms.acting import ActsOnArrays
from spar_lightning.networks import Normalizer
from spar_lightning.types import DatasetStatistics, Policy

Network = TypeVar("Network", bound=nn.Module)
Metrics = dict[str, Tensor]
Loss = Callable[..., tuple[Tensor, Metrics]]
Columns = Mapping[str, Tensor]


class Batch(NamedTuple):
    """Transitions in the networks' units, with the columns that the algorithm derived.

    Where several seeds are trained at once, those of each lie along a first dimension: an update slices batches by
    `rows` and asks for their `size`, and losses see one seed.
    """

    observations: Tensor  # (B, O), normalized
    actions: Tensor  # (B, A), scaled to [-1, 1]
    rewards: Tensor  # (B,), as `data.reward_scale` and `data.reward_shift` make them
    next_observations: Tensor  # (B, O), normalized
    terminations: Tensor  # (B,), 1 where the environment ended the episode; a time-out is 0
    columns: dict[str, Tensor]  # name -> (B,) or (B, K)

    @property
    def size(self) -> int:
        """B."""
        return self.rewards.shape[-1]

    def rows(self, rows: slice) -> Batch:
        """Some of the transitions."""
        chosen = (*(slice(None),) * (self.rewards.ndim - 1), rows)
        return Batch(
            self.observations[chosen],
            self.actions[chosen],
            self.rewards[chosen],
            self.next_observations[chosen],
            self.terminations[chosen],
            {name: column[chosen] for name, column in self.columns.items()},
        )


class Beginnings(NamedTuple):
    """Transitions near the starts of episodes: an episode uniformly, then its step `t` with weight `decay ** t`."""

    size: int = 0  # of them in a batch
    decay: float = 0.98  # in (0, 1)


class TrainingData(Protocol):
    """The whole training data, in order of time and in the networks' units, in pieces that fit into memory."""

    def __len__(self) -> int:
        """Number of transitions."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the pieces are."""
        ...

    @property
    def episode_ends(self) -> Tensor:
        """(N,) bool, true at the last transition of each episode."""
        ...

    def column(self, name: str) -> Tensor:
        """A whole column, (N,) or (N, K), in the data's own units."""
        ...

    def pieces(self, size: int) -> Iterator[Batch]:
        """All transitions, `size` at a time."""
        ...

    def at(self, rows: Tensor) -> Batch:
        """Those at `rows` (B,) int64."""
        ...


class Optimized(NamedTuple):
    """What one optimizer, an Adam, does."""

    networks: Sequence[nn.Module]  # that it steps
    learning_rate: float
    factor: Callable[[int], float] | None = None  # of the learning rate, at the update of this number
    decays: Sequence[float] = ()  # of each network's weights, as AdamW has it; () is none


class Learner(Protocol):
    """What carries out an update: by itself, compiled, in one captured graph, or for several seeds at once."""

    def descend(self, name: str, loss: Loss, *arguments: Any) -> Metrics:
        """Step the optimizer `name` down the gradient of `loss(*arguments)`; gives the metrics of the loss."""
        ...

    def follow(self, average: nn.Module, source: nn.Module, tau: float | Callable[[int], float]) -> None:
        """Move a network's slow copy: `average += tau * (source - average)`; tau may depend on the update's number.

        One average always follows by the same `tau`.
        """
        ...

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, for one seed of this shape."""
        ...


class Algorithm(ActsOnArrays, nn.Module, ABC):
    """A method of offline reinforcement learning.

    A subclass makes its networks, names what optimizers step, and writes losses and `update`. A loss is a method of a
    batch and of noise that returns a scalar and detached metrics; it draws no random numbers, steps nothing and reads
    no value of a tensor, so that it can be compiled, captured, and computed for several seeds at once. `forward` maps
    normalized observations to scaled actions.

    Args:
        observation_dim: size of an observation.
        action_dim: size of an action.
    """

    normalizer: Normalizer

    shown: tuple[str, ...] = ()
    """Metrics that a progress bar shows, under the first part of their names."""

    beginnings = Beginnings()
    """Transitions near the starts of episodes, which lead the rows of each batch."""

    def __init__(self, observation_dim: int, action_dim: int) -> None:
        super().__init__()
        self.observation_dim, self.action_dim = observation_dim, action_dim
        self._make_normalizer()

    def _make_normalizer(self) -> None:
        self.normalizer = Normalizer(self.observation_dim, self.action_dim)

    # ----------------------------------------------------------------------------------------------- what it must say

    @abstractmethod
    def optimizers(self, max_updates: int) -> dict[str, Optimized]:
        """Optimizers by name, for a training of `max_updates`; of one without an end where that is not positive."""

    @abstractmethod
    def update(self, batch: Batch, phase: Any, learner: Learner) -> Metrics:
        """Make one update; returns its metrics, of any shape.

        What it does depends on nothing but the phase: compiled, it is written down once for each. It changes nothing
        but by the learner, and draws no random numbers but the learner's.
        """

    # ------------------------------------------------------------------------------------------------- what it may say

    def phase(self, update: int) -> Hashable:  # noqa: ARG002
        """What kind of update the one of this number, from 0, is."""
        return None

    def stage(self, update: int) -> str:  # noqa: ARG002
        """The part of the training that an update belongs to, in words; each starts with metrics of its own."""
        return "training"

    def warms_up(self, updates: int) -> bool:  # noqa: ARG002
        """Whether the policy is still being prepared after so many updates, and has not begun to improve."""
        return False

    def take_statistics(self, statistics: DatasetStatistics) -> None:
        """Take over the units of the training data, unless there are some, as in a run that goes on."""
        if not self.normalizer.is_fitted:
            self.normalizer.fit(statistics)
        elif not self.normalizer.matches(statistics):
            warnings.warn(
                "the policy was trained on other data: its normalization statistics and action bounds differ from this"
                " data set's. They are kept, since its weights depend on them.",
                stacklevel=2,
            )

    def check_start(self, max_updates: int) -> None:  # noqa: ARG002
        """Refuse, or warn of, settings with which a training from the beginning comes to nothing; asked before it.

        Raises:
            UserError: if there are such.
        """
        return

    def prepare(self, data: TrainingData, updates: int, max_updates: int) -> Iterable[Columns]:  # noqa: ARG002
        """Derive columns before a training, or before it goes on after a number of updates: pieces, in order."""
        return ()

    def is_due(self, updates: int) -> bool:  # noqa: ARG002
        """Whether columns are to be derived anew after this number of updates."""
        return False

    def refresh(self, data: TrainingData, updates: int) -> Iterable[Columns]:  # noqa: ARG002
        """Derive them."""
        return ()

    def summary(self, batch: Batch, metrics: Metrics) -> Metrics:  # noqa: ARG002
        """What is logged of the last update, a scalar each: computed only when it is time."""
        return {name: value.float().mean() for name, value in metrics.items()}

    def validation(self, batch: Batch) -> Metrics:  # noqa: ARG002
        """Losses on held-out episodes, a scalar each, averaged over transitions."""
        return {}

    def reference_policies(self) -> dict[str, Policy]:
        """Fixed policies to compare with; `base` is what improvement is measured against."""
        return {}

    def policy_version(self, updates: int) -> int:
        """A number that is another one whenever the policy after so many updates is."""
        return updates

    # ---------------------------------------------------------------------------------------------------- as a policy

    def select_actions(self, observations: Tensor) -> Tensor:
        """Raw observations (B, O) -> actions (B, A) in the environment's units."""
        return self.normalizer.unscale(self(self.normalizer.normalize(observations)))

    def _policy_device(self) -> torch.device:
        return self.normalizer.observation_mean.device


def frozen_copy(network: Network) -> Network:
    """A copy that takes no gradients: a target network, a slow policy."""
    copy = deepcopy(network)
    copy.requires_grad_(False)
    return copy


def remaining(update: int, start: int, end: int) -> float:
    """The share of the updates from `start` to `end` that is still to come; 1 if they have no end.

    >>> remaining(0, 0, 10), remaining(7, 5, 10), remaining(12, 5, 10), remaining(3, 0, -1)
    (1.0, 0.6, 0.0, 1.0)
    """
    return min(1.0, max(0.0, (end - update) / max(1, end - start))) if end > 0 else 1.0
