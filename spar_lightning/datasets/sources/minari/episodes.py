"""Reading the episodes of a Minari data set: vectors of the shapes that its spaces state, and ends at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from minari.dataset.minari_dataset import EpisodeData, MinariDataset

from spar_lightning.datasets.dataset import Episode, FloatArray
from spar_lightning.datasets.sources.arrays.flat_source import warn_of_lost_differences
from spar_lightning.types import DataError

_EPISODES = 100  # read while the file is open; HDF5 keeps some 50 kB of each until it is closed


class Shape(NamedTuple):
    """What the arrays of the episodes must look like."""

    observation_dim: int
    action_dim: int
    as_vectors: Callable[[Any], Any]  # observations of an episode as they are stored -> (T+1, O)


def read_episodes(name: str, stored: MinariDataset, shape: Shape, remedy: str) -> Iterator[Episode]:
    """Read the episodes one by one, in the order in which they were recorded.

    Args:
        name: of the data set, for messages.
        stored: the data set.
        shape: what to expect, and how to get there.
        remedy: what to do with a damaged file.

    Raises:
        DataError: a file cannot be read, or does not hold what the spaces state.
    """
    try:
        for start in range(0, len(stored.episode_indices), _EPISODES):
            for episode in stored.iterate_episodes(stored.episode_indices[start : start + _EPISODES]):
                yield _episode(name, episode, shape, episode.id == stored.episode_indices[0])
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(
            f"An episode of `{name}` does not fit into memory: {error}. Is the file damaged? {remedy}"
        ) from error
    except (OSError, KeyError, RuntimeError, AssertionError, ValueError, TypeError) as error:
        folder = stored.storage.data_path
        file = next(folder.glob("*.hdf5"), folder)
        reason = str(error).rstrip(".") or type(error).__name__
        raise DataError(
            f"The data of `{name}` cannot be read from {file}: {reason}. The file may be truncated. {remedy}"
        ) from error


def _episode(name: str, episode: EpisodeData, shape: Shape, first: bool) -> Episode:
    steps = len(episode.actions)
    where = f"episode {episode.id} of `{name}`"
    try:
        vectors = shape.as_vectors(episode.observations)
    except DataError as error:
        raise DataError(f"In {where}: {error}") from error
    observations = _checked(vectors, (steps + 1, shape.observation_dim), "observations", where)
    if first:  # it speaks for all of them
        warn_of_lost_differences(np.asarray(vectors), observations, f"`observations` of {where}")
    _ends(episode.truncations, steps, "truncations", where)
    return Episode(
        observations=observations[:-1],
        actions=_checked(episode.actions, (steps, shape.action_dim), "actions", where),
        rewards=_checked(episode.rewards, (steps,), "rewards", where),
        next_observations=observations[1:],
        termination=_ends(episode.terminations, steps, "terminations", where),
    )


def _ends(flags: Any, steps: int, array: str, where: str) -> bool:
    """Whether the flag is set at the last step; it must not be at any other."""
    found = _checked(flags, (steps,), array, where) != 0
    if found[:-1].any():
        raise DataError(
            f"`{array}` of {where} is set at step {int(found.argmax())} of {steps}; expected it at the last step only: "
            "split the recording there."
        )
    return bool(found[-1]) if steps else False


def _checked(values: Any, shape: tuple[int, ...], array: str, where: str) -> FloatArray:
    found = np.asarray(values)
    if found.shape != shape:
        raise DataError(f"`{array}` of {where} has shape {found.shape}, expected {shape}: the recording is damaged.")
    if found.dtype.kind not in "fiub":
        raise DataError(f"`{array}` of {where} has the type {found.dtype}, expected numbers: the recording is damaged.")
    with np.errstate(over="ignore"):  # infinite, which is told where it is trained on
        return found.astype(np.float32, copy=False)
