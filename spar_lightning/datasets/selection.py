"""Choosing episodes of a data set: by their numbers, by their returns, or the best of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.dataset import Episode, OfflineDataset
from spar_lightning.types import DataError

BoolArray = npt.NDArray[np.bool_]


class EpisodeFilter(TypedDict, total=False):
    """Which episodes are kept: those that meet all that is stated."""

    min_return: float  # undiscounted return that they have at least, of the data's own rewards
    episodes: list[int]  # their numbers, as recorded, from 0


class Selection(NamedTuple):
    """A filter, and then the best share of the episodes that it keeps."""

    top_fraction: float | None = None  # of the episodes, by return; a rounded number of them, at least one
    filter: EpisodeFilter | None = None

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is asked for."""
        return self.top_fraction is None and not self.filter

    def check(self) -> None:
        """See that it can be met.

        Raises:
            DataError: it cannot.
        """
        if self.top_fraction is not None and not 0 < self.top_fraction <= 1:
            raise DataError(f"`top_fraction` is {self.top_fraction}, expected more than 0 and at most 1.")
        if unknown := sorted(set(self.filter or {}) - set(EpisodeFilter.__annotations__)):
            known = " or ".join(f"`{name}`" for name in EpisodeFilter.__annotations__)
            raise DataError(f"`filter` has `{unknown[0]}`, expected {known}.")


class _Facts(NamedTuple):
    """What is known of E episodes."""

    returns: npt.NDArray[np.float64]  # (E,), -inf where a reward is not finite
    steps: npt.NDArray[np.int64]  # (E,), transitions that can be trained on


class Chosen(NamedTuple):
    """Of E episodes, in the order of the recording."""

    episodes: BoolArray  # (E,), whether each is chosen
    steps: npt.NDArray[np.int64]  # (E,), its transitions that can be trained on

    @property
    def numbers(self) -> list[int]:
        """Those chosen, counted among the episodes that have such transitions."""
        return np.flatnonzero(self.episodes[self.steps > 0]).tolist()


def chosen_episodes(dataset: OfflineDataset, selection: Selection, lost: Sequence[int] = ()) -> Chosen:
    """Choose episodes in one pass over the data.

    The returns are those of whole episodes as they were recorded, before any scaling; a step that lacks its next
    observation counts, though it is not trained on. Of equal returns the earlier ones are chosen.

    Args:
        dataset: all of it.
        selection: what is asked for.
        lost: episodes whose transitions were left out, counted among those that have any: they are not to be chosen.

    Raises:
        DataError: no episode is chosen, or a number is none of an episode's; or the data cannot be read.
    """
    selection.check()
    facts = _facts(dataset)
    facts.steps[np.flatnonzero(facts.steps)[np.array(lost, dtype=np.int64)]] = 0
    kept = _filtered(facts, selection.filter or {}, dataset.name)
    if selection.top_fraction is not None:
        (numbers,) = np.nonzero(kept)
        best = np.argsort(-facts.returns[numbers], kind="stable")
        count = max(1, int(selection.top_fraction * len(numbers) + 0.5))
        kept[numbers[best[count:]]] = False
    return Chosen(kept, facts.steps)


def select_episodes(dataset: OfflineDataset, selection: Selection) -> OfflineDataset:
    """The same data set with the chosen episodes alone.

    Raises:
        DataError: as `chosen_episodes`.
    """
    if selection.keeps_all:
        return dataset
    kept, steps = chosen_episodes(dataset, selection)

    def read() -> Iterator[Episode]:
        return (episode for episode, chosen in zip(dataset.episodes(), kept, strict=True) if chosen)

    return replace(
        dataset,
        num_episodes=int(kept.sum()),
        num_transitions=int(steps[kept].sum()),
        chosen_from=len(kept),
        read=read,
    )


def _facts(dataset: OfflineDataset) -> _Facts:
    returns, steps = [], []
    for episode in dataset.episodes():
        total = float(episode.rewards.sum(dtype=np.float64))
        returns.append(total if np.isfinite(total) else -np.inf)
        steps.append(len(episode.observations) if episode.termination else len(episode.next_observations))
    return _Facts(np.array(returns, dtype=np.float64), np.array(steps, dtype=np.int64))


def _filtered(facts: _Facts, wanted: EpisodeFilter, name: str) -> BoolArray:
    kept = facts.steps > 0
    if "episodes" in wanted:
        numbers = wanted["episodes"]
        outside = [number for number in numbers if not 0 <= number < len(kept)]
        if outside or not numbers:
            found = f"names {outside[0]}" if outside else "names none"
            raise DataError(f"`filter.episodes` {found}, but `{name}` has episodes 0 to {len(kept) - 1}.")
        kept &= np.isin(np.arange(len(kept)), numbers)
    if "min_return" in wanted:
        kept &= facts.returns >= wanted["min_return"]
    if not kept.any():
        returns = facts.returns[np.isfinite(facts.returns)]
        reach = f"{returns.min():g} to {returns.max():g}" if len(returns) else "not finite"
        raise DataError(
            f"`filter` is {dict(wanted)}, which no episode of `{name}` meets: their returns are {reach}. Ask for less."
        )
    return kept
