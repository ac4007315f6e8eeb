"""Whether recorded actions look like a function of the observations, by the Gamma test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from spar_lightning.datasets.dataset import FloatArray
from spar_lightning.replay.quality import Chunk, IntArray

Verdict = Literal["deterministic", "stochastic", "cannot tell"]
Float64Array = npt.NDArray[np.float64]

_SAMPLE = 60_000  # transitions kept for the test
_QUERIES = 2_000
_NEIGHBOURS = 10
_FEWEST = 1_000  # transitions on each side; with 300 the test sees noise where there is none
_SAMPLE_SEED = 0

# Measured on 60,000 transitions of each bundled medium and medium-replay set, and on recordings of the same policies
# with less noise. The share that came out: without noise at most 0.002, with a tenth of the noise's deviation 0.001 to
# 0.01, with three tenths 0.007 to 0.085, with the whole of it 0.09 to 0.48.
_MOST_DETERMINISTIC = 0.01
_LEAST_STOCHASTIC = 0.03
_NEAR = 0.05  # mean squared distance of the nearest neighbours, in units of that of random pairs
_NEAR_ENOUGH = 0.12  # for noise that is as large as what the distance explains


@dataclass(frozen=True)
class BehaviorVerdict:
    """What the Gamma test says of the actions."""

    verdict: Verdict
    reason: str
    noise_share: float | None  # of the variance of the actions, 0 to 1, that the observation does not explain


class TransitionSample:
    """A uniform sample of the transitions, of bounded size, taken in one pass over chunks."""

    def __init__(self, size: int = _SAMPLE) -> None:
        self._size = size
        self._random = np.random.default_rng(_SAMPLE_SEED)
        self._kept: list[tuple[Float64Array, FloatArray, FloatArray, IntArray]] = []
        self._rows = 0
        self._threshold = 1.0  # rows whose random number is below are the sample

    def add(self, chunk: Chunk) -> None:
        """Offer transitions; those with a value that is not finite are left out."""
        numbers = self._random.random(len(chunk.observations))
        chosen = numbers < self._threshold
        chosen &= np.isfinite(chunk.observations).all(1) & np.isfinite(chunk.actions).all(1)
        self._kept.append((numbers[chosen], chunk.observations[chosen], chunk.actions[chosen], chunk.episodes[chosen]))
        self._rows += int(chosen.sum())
        if self._rows > 2 * self._size:
            self._shrink()

    def _shrink(self) -> None:
        """Keep the rows with the smallest numbers."""
        numbers, observations, actions, episodes = (np.concatenate(parts) for parts in zip(*self._kept, strict=True))
        if len(numbers) > self._size:
            self._threshold = float(np.partition(numbers, self._size)[self._size])
        chosen = numbers < self._threshold
        self._kept = [(numbers[chosen], observations[chosen], actions[chosen], episodes[chosen])]
        self._rows = int(chosen.sum())

    def judge(self) -> BehaviorVerdict:
        """Say whether the actions look like a function of the observations."""
        if not self._rows:
            return _cannot_tell("there are no transitions")
        self._shrink()
        numbers, observations, actions, episodes = self._kept[0]
        order = np.argsort(numbers)  # which is a random one
        return judge(observations[order], actions[order], episodes[order])


def judge(observations: FloatArray, actions: FloatArray, episodes: IntArray) -> BehaviorVerdict:
    """Apply the Gamma test (Evans and Jones, 2002): does the difference of actions vanish as observations come near?

    Half the mean squared difference of the actions at p-th nearest neighbours, against their squared distance, lies on
    a line for a smooth policy; where the line meets distance 0 is the variance that the observation does not explain.
    Neighbours are taken from other episodes, since within one the noise may be correlated. What looks like noise may
    also be several policies, or one that sees more than the observation.

    Args:
        observations: (N, O), in random order.
        actions: (N, A).
        episodes: (N,) numbers of their episodes.
    """
    variance = float(actions.var(0, dtype=np.float64).sum())
    if variance == 0:
        return BehaviorVerdict("deterministic", "all actions are the same", 0.0)
    std = observations.std(0, dtype=np.float64)
    varied = std > 1e-6 * np.abs(observations).max(0, initial=0)
    if not varied.any():
        return BehaviorVerdict("stochastic", "actions differ at observations that are all the same", 1.0)
    scaled = (observations[:, varied] - observations[:, varied].mean(0, dtype=np.float64)) / std[varied]
    asked = np.random.default_rng(_SAMPLE_SEED).random(int(episodes.max()) + 1)[episodes] < 0.5
    if min(asked.sum(), (~asked).sum()) < _FEWEST:
        return _cannot_tell(f"too few transitions or episodes, expected some {2 * _FEWEST:,} in two or more")
    distances, differences = _neighbours(scaled, actions, asked)
    return _verdict(distances, differences / variance)


def _neighbours(
    observations: Float64Array, actions: FloatArray, asked: npt.NDArray[np.bool_]
) -> tuple[Float64Array, Float64Array]:
    """Mean squared distances (P,) of the p-th nearest neighbours, 1 for random pairs, and of their actions."""
    queries = np.flatnonzero(asked)[:_QUERIES]
    others = np.flatnonzero(~asked)
    distances, found = cKDTree(observations[others]).query(observations[queries], k=_NEIGHBOURS)
    apart = actions[queries, None].astype(np.float64) - actions[others[found]]
    return np.square(distances).mean(0) / (2 * observations.shape[1]), np.square(apart).sum(2).mean(0) / 2


def _verdict(distances: Float64Array, differences: Float64Array) -> BehaviorVerdict:
    """The verdict from both (P,), differences in units of the actions' variance."""
    spread = distances - distances.mean()
    slope = float(spread @ differences / (spread @ spread)) if (spread @ spread) > 1e-20 else 0.0
    noise = float(differences.mean() - slope * distances.mean())
    share, nearest = min(max(noise, 0.0), 1.0), float(distances[0])
    if noise < _MOST_DETERMINISTIC and nearest < _NEAR:
        return BehaviorVerdict("deterministic", f"{_explained(share)}: no noise, or very little", share)
    if noise > _LEAST_STOCHASTIC and nearest < _NEAR_ENOUGH and noise > differences[0] / 2:
        return BehaviorVerdict("stochastic", f"{_explained(share)}: noise, or several policies", share)
    if nearest >= _NEAR:
        return _cannot_tell("no two episodes come near enough to one another to compare their actions")
    return _cannot_tell(f"{_explained(share)}, too little to tell noise from a policy that is not smooth", share)


def _explained(share: float) -> str:
    return f"{share:.1%} of the actions' variance does not follow from the observations"


def _cannot_tell(reason: str, share: float | None = None) -> BehaviorVerdict:
    return BehaviorVerdict("cannot tell", reason, share)
