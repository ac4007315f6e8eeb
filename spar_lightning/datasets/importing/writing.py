"""Writing a Minari data set a few episodes at a time."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer

from spar_lightning.datasets.importing.spaces import StatedSpaces
from spar_lightning.datasets.minari_folder import minari_root
from spar_lightning.types import DataError

_EPISODES = 100  # written while the file is open; HDF5 keeps some 50 kB of each until it is closed


def write_minari(
    root: Path,
    name: str,
    buffers: Iterator[EpisodeBuffer],
    environment: gym.Env[Any, Any] | None,
    spaces: StatedSpaces,
    description: dict[str, str],
) -> minari.MinariDataset:
    """Write a new data set, one episode in memory at a time.

    Args:
        root: folder of data sets that this one goes into.
        name: id of the data set.
        buffers: the episodes.
        environment: whose spec is stored.
        spaces: that are stated.
        description: entries of the metadata, such as `author`.

    Raises:
        DataError: there is no episode, or the data cannot be written.
    """
    nameless = None if environment is None else _without_class(environment.spec)
    try:
        with minari_root(root), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`[a-z_]+` is set to None|env_spec is None")
            stored = minari.create_dataset_from_buffers(
                name,
                itertools.islice(buffers, _EPISODES),
                env=None if nameless is not None else environment,
                observation_space=spaces.observations,
                action_space=spaces.actions,
                data_format="hdf5",
                **description,
            )
            written = 0
            while stored.storage.total_episodes == written + _EPISODES:
                written += _EPISODES
                stored.storage.update_episodes(itertools.islice(buffers, _EPISODES))
            if nameless is not None:
                stored.storage.update_metadata({"env_spec": nameless.to_json()})
            _read_again(stored)
    except (OSError, RuntimeError, KeyError) as error:  # of HDF5, also for a full disk
        raise DataError(
            f"`{name}` cannot be written to {root.parent}: {error}. Free space, or pass another `--root`."
        ) from error
    if stored.storage.total_episodes == 0:
        raise DataError("The source holds no transition that can be stored; expected at least one.")
    return stored


def _without_class(spec: EnvSpec | None) -> EnvSpec | None:
    """The spec of an environment that is registered by its class, which cannot be written, under its id alone."""
    return replace(spec, entry_point=None) if spec is not None and callable(spec.entry_point) else None


def _read_again(stored: minari.MinariDataset) -> None:
    """See that all is there: what fails when HDF5 closes a file, as on a full disk, is not reported."""
    total = stored.storage.total_episodes
    steps = 0
    for start in range(0, total, _EPISODES):
        for episode in stored.iterate_episodes(range(start, min(start + _EPISODES, total))):
            steps += len(episode)
    if steps != stored.storage.total_steps:
        raise OSError(f"{steps:,} of {stored.storage.total_steps:,} transitions arrived in the file")
