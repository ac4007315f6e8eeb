"""One pass over a data set that finds what there is to know of it, defects included."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from spar_lightning.datasets.dataset import OfflineDataset
from spar_lightning.documents import json_ready
from spar_lightning.inspection.description.chunks import chunks
from spar_lightning.inspection.description.columns import BoundsSummary, BoundsSums, ColumnSummary, ColumnSums
from spar_lightning.inspection.description.determinism import BehaviorVerdict, TransitionSample
from spar_lightning.inspection.description.environment import EnvironmentReport, inspect_environment
from spar_lightning.inspection.description.episodes import Distribution, Ends
from spar_lightning.inspection.description.reading import COLUMNS, Reading
from spar_lightning.inspection.listing.on_disk import bytes_on_disk, path_on_disk
from spar_lightning.replay.quality import Chunk, Quality

_FLOAT = 4  # bytes


@dataclass(frozen=True)
class ReferenceScores:
    """The scale of normalized scores, and where the data's own episodes lie on it."""

    low: float | None  # return that scores 0; None where no scale is defined
    high: float | None  # return that scores 100
    note: str  # where the scale comes from, or why there is none
    mean: float | None  # normalized scores of the data's own episodes
    median: float | None
    maximum: float | None


@dataclass(frozen=True)
class Description:
    """What a data set holds. Returns are undiscounted sums of rewards, lengths are in transitions."""

    name: str
    episodes: int
    chosen_from: int | None  # episodes, where only some of them are described
    transitions: int  # that can be trained on: without those that lack their next observation
    observation_dim: int
    action_dim: int
    observation_keys: tuple[str, ...] | None
    bytes_on_disk: int | None
    bytes_in_memory: int  # packed, with room for a base action and a return
    returns: Distribution
    lengths: Distribution
    ends: Ends
    observations: ColumnSummary
    actions: ColumnSummary
    action_bounds: BoundsSummary
    rewards: ColumnSummary
    environment: EnvironmentReport
    scores: ReferenceScores
    behavior: BehaviorVerdict
    notes: list[str]  # what is left out of the files or made up, in words
    defects: list[str]  # sentences; empty where all is well

    def as_dict(self) -> dict[str, Any]:
        """For JSON: numbers, texts, lists and dicts; None in the place of NaN and infinity."""
        return {name: json_ready(value) for name, value in dataclasses.asdict(self).items()}


def describe(dataset: OfflineDataset) -> Description:
    """Read a data set once, episode by episode, and sum up what it holds.

    Memory: some megabytes and 17 bytes an episode, beside a sample of 60,000 transitions. Defects of the data are
    counted and told, not raised: what can be read is described.

    Raises:
        DataError: not one episode can be read.
    """
    reading = Reading(dataset)
    sums = {name: ColumnSums(width) for name, width in _widths(dataset).items()}
    environment, (low, high) = inspect_environment(dataset)
    bounds, sample = BoundsSums(low, high), TransitionSample()
    quality = Quality(
        low,
        high,
        dataset.observation_dim,
        environment.time_limit,
        dataset.ends_flagged_twice,
        dataset.ends_are_successes,
    )
    for chunk in chunks(reading.sound_episodes()):
        _add(chunk, sums)
        bounds.add(chunk.actions)
        sample.add(chunk)
        quality.add(chunk)
    columns = {name: column.summary() for name, column in sums.items()}
    episodes, path = reading.sums, path_on_disk(dataset.name)
    returns = Distribution.of(episodes.returns)
    ends = episodes.ends(environment.time_limit)
    transitions = episodes.transitions - ends.lack_next_observation
    return Description(
        name=dataset.name,
        episodes=episodes.count,
        chosen_from=dataset.chosen_from,
        transitions=transitions,
        observation_dim=dataset.observation_dim,
        action_dim=dataset.action_dim,
        observation_keys=dataset.observation_keys,
        bytes_on_disk=None if path is None else bytes_on_disk(path),
        bytes_in_memory=_FLOAT * transitions * (2 * dataset.observation_dim + 2 * dataset.action_dim + 3),
        returns=returns,
        lengths=Distribution.of(episodes.lengths),
        ends=ends,
        observations=columns["observations"],
        actions=columns["actions"],
        action_bounds=bounds.summary(),
        rewards=columns["rewards"],
        environment=environment,
        scores=ReferenceScores(None, None, "none: the environment is not that of the data", None, None, None)
        if environment.differs and dataset.environment_named
        else _scores(dataset, returns, Distribution.of(episodes.lengths)),
        behavior=sample.judge(),
        notes=[*dataset.notes],
        defects=[
            *_other_environment(environment),
            *_not_finite(columns),
            *(finding.text for finding in quality.findings()),
            *reading.defects(),
        ],
    )


def _widths(dataset: OfflineDataset) -> dict[str, int]:
    return dict(zip(COLUMNS, (dataset.observation_dim, dataset.action_dim, 1, dataset.observation_dim), strict=True))


def _add(chunk: Chunk, sums: dict[str, ColumnSums]) -> None:
    for name, column in sums.items():
        column.add(getattr(chunk, name), chunk.episodes, chunk.steps)


def _other_environment(environment: EnvironmentReport) -> Iterator[str]:
    if environment.differs:
        yield (
            f"The environment {environment.id} is not that of the data: {environment.note}. Name the one in which they"
            " were recorded with `environment`, or none."
        )


def _not_finite(columns: dict[str, ColumnSummary]) -> Iterator[str]:
    for name, column in columns.items():
        if column.first_non_finite is not None:
            place = column.first_non_finite
            yield (
                f"`{name}` has {column.non_finite:,} NaN or infinite value(s), the first in dimension "
                f"{place.dimension} at step {place.step} of episode {place.episode}. Training refuses them: remove or "
                "repair those episodes."
            )


def _scores(dataset: OfflineDataset, returns: Distribution, lengths: Distribution) -> ReferenceScores:
    reference, note = dataset.scale
    if reference is None:
        return ReferenceScores(None, None, note, None, None, None)
    low, high = reference
    if lengths.median == 1:  # as in D4RL's AntMaze, which ends an episode at each step that the ant stays at the goal
        note += "; most of these episodes are single steps, whose returns are no scores"
        return ReferenceScores(low, high, note, None, None, None)
    own = (100 * (value - low) / (high - low) for value in (returns.mean, returns.median, returns.maximum))
    return ReferenceScores(low, high, note, *own)
