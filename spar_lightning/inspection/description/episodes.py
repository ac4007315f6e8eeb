"""Returns, lengths and ends of episodes."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.dataset import Episode

_BINS = 12
_OFF_BY_ONE = 1  # D4RL's flags cut some episodes one step before the time limit


@dataclass(frozen=True)
class Histogram:
    """Counts of values in bins of equal width, the last of which includes its upper edge."""

    edges: list[float]  # one more than there are bins
    counts: list[int]

    @property
    def of_integers(self) -> bool:
        """Whether each bin holds one whole number, in its middle."""
        return all(edge % 1 == 0.5 for edge in self.edges)


@dataclass(frozen=True)
class Distribution:
    """What some finite numbers are like; NaN where there are none."""

    mean: float
    std: float  # population
    minimum: float
    median: float
    maximum: float
    histogram: Histogram

    @classmethod
    def of(cls, values: npt.NDArray[np.float64]) -> Distribution:
        """The distribution of numbers (N,).

        >>> found = Distribution.of(np.array([1.0, 2.0, 6.0]))
        >>> found.mean, found.median, found.maximum
        (3.0, 2.0, 6.0)
        """
        if not len(values):
            return cls(np.nan, np.nan, np.nan, np.nan, np.nan, Histogram([], []))
        ordered = float(values.mean()), float(values.std()), float(values.min()), float(np.median(values))
        return cls(*ordered, float(values.max()), _histogram(values))


def _histogram(values: npt.NDArray[np.float64]) -> Histogram:
    """At most 12 bins between round numbers; of few whole numbers, such as returns that are 0 or 1, a bin for each."""
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # narrower bins than floats can tell apart
        return Histogram([low, high], [len(values)])
    if high - low < _BINS and bool((values == np.round(values)).all()):
        edges = np.arange(low, high + 2) - 0.5
    else:
        step = _round_step((high - low) / (_BINS - 1))
        edges = np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step
        edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)  # where rounding left an end outside
    counts, _ = np.histogram(values, bins=edges)
    return Histogram(edges.tolist(), counts.tolist())


def _round_step(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below `least`."""
    power = 10.0 ** np.floor(np.log10(least))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9)))


@dataclass(frozen=True)
class Ends:
    """How episodes end, in numbers of episodes."""

    terminated: int
    at_time_limit: int | None  # truncated at the environment's time limit, or one step before; None: no limit is known
    terminated_at_limit: int  # at the time limit, or one step before: time-outs, if there are many
    longer: int  # than the time limit, however they end
    cut: int  # truncated otherwise: their returns are not those of whole episodes
    lack_next_observation: int  # truncated without the last next observation: that transition is not trained on


class EpisodeSums:
    """Gathers what is known of whole episodes: 17 bytes for each."""

    def __init__(self) -> None:
        self._returns = array("d")
        self._lengths = array("q")
        self._terminations = bytearray()
        self.lacking = 0  # truncated episodes without the last next observation

    def add(self, episode: Episode) -> None:
        """Add an episode of at least one transition."""
        self._returns.append(float(episode.rewards.sum(dtype=np.float64)))
        self._lengths.append(len(episode.rewards))
        self._terminations.append(episode.termination)
        self.lacking += len(episode.next_observations) < len(episode.observations) and not episode.termination

    @property
    def count(self) -> int:
        """Episodes so far."""
        return len(self._lengths)

    @property
    def transitions(self) -> int:
        """Transitions so far."""
        return sum(self._lengths)

    @property
    def returns(self) -> npt.NDArray[np.float64]:
        """The finite undiscounted returns (E,)."""
        returns = np.array(self._returns, dtype=np.float64)
        finite: npt.NDArray[np.float64] = returns[np.isfinite(returns)]
        return finite

    @property
    def lengths(self) -> npt.NDArray[np.float64]:
        """Numbers of transitions (E,)."""
        return np.array(self._lengths, dtype=np.float64)

    def ends(self, time_limit: int | None) -> Ends:
        """How the episodes end, given the environment's time limit in steps."""
        limit = np.inf if time_limit is None else time_limit
        truncated = ~np.array(self._terminations, dtype=bool)
        at_limit = (self.lengths >= limit - _OFF_BY_ONE) & (self.lengths <= limit)
        whole = truncated & (self.lengths >= limit - _OFF_BY_ONE)
        return Ends(
            terminated=int((~truncated).sum()),
            at_time_limit=None if time_limit is None else int(whole.sum()),
            terminated_at_limit=int((~truncated & at_limit).sum()),
            longer=int((self.lengths > limit).sum()),
            cut=int((truncated & ~whole).sum()),
            lack_next_observation=self.lacking,
        )
