"""A reproducible choice of steps from a data set, and the spread of its columns, in one pass over its episodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.dataset import OfflineDataset

_STD_FLOOR = 1e-3  # of a dimension that hardly changes

Array = npt.NDArray[np.float64]


_ENDS_OF_STEPS = 4  # one end of an episode beside so many steps


class StepChoice:
    """Which steps to replay: any of the data set, or where the horizon is limited, the first ones of some episodes.

    Beside any steps also the last ones of some episodes: among all steps they are too few to be met by chance.

    Args:
        dataset: whose numbers of transitions and episodes are known.
        horizon: how many first steps of an episode can be replayed, None for all.
        steps: how many to choose.
        seed: of the choice.
    """

    def __init__(self, dataset: OfflineDataset, horizon: int | None, steps: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self._horizon = horizon
        total, wanted = (
            (dataset.num_transitions, steps) if horizon is None else (dataset.num_episodes, -(-steps // horizon))
        )
        self._chosen = np.sort(random.choice(total, size=min(wanted, total), replace=False))
        ends = min(-(-steps // _ENDS_OF_STEPS), dataset.num_episodes) if horizon is None else 0
        self._ends = frozenset(random.choice(dataset.num_episodes, size=ends, replace=False).tolist())

    def steps(self, number: int, first: int, length: int) -> list[int]:
        """Those of the episode of this number, whose first step has the number `first` in the data set."""
        if self._horizon is not None:
            place = np.searchsorted(self._chosen, number)
            chosen = place < len(self._chosen) and self._chosen[place] == number
            return list(range(min(self._horizon, length))) if chosen else []
        start, end = np.searchsorted(self._chosen, (first, first + length))
        return [int(step) - first for step in self._chosen[start:end]]

    def end(self, number: int) -> bool:
        """Whether the last step of the episode of this number is replayed too."""
        return number in self._ends


@dataclass
class Spread:
    """Mean and standard deviation of columns (N, K), in one pass and float64."""

    count: int = 0
    shift: Array | None = None  # near the mean, so that squares do not lose digits
    sums: Array | float = 0.0
    squares: Array | float = 0.0

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Take rows (T, K) into account, but for those with a number that is not finite."""
        rows = values[np.isfinite(values).all(1)].astype(np.float64)
        if not len(rows):
            return
        self.shift = rows.mean(0) if self.shift is None else self.shift
        self.count += len(rows)
        self.sums = self.sums + (rows - self.shift).sum(0)
        self.squares = self.squares + ((rows - self.shift) ** 2).sum(0)

    @property
    def std(self) -> Array:
        """(K,), at least the floor."""
        mean = np.asarray(self.sums) / self.count
        variance = np.asarray(self.squares) / self.count - mean**2
        return np.maximum(np.sqrt(np.maximum(variance, 0)), _STD_FLOOR)
