"""Reading Minari data sets that are on this machine."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import gymnasium as gym
import minari
import numpy as np
from minari.dataset.minari_dataset import EpisodeData, MinariDataset

from spar_lightning.data.dataset import Episode, OfflineDataset
from spar_lightning.data.recipes import BUNDLED_DATASETS, did_you_mean
from spar_lightning.data.reference_scores import reference_scores_for
from spar_lightning.types import DataError


def open_minari(name: str) -> OfflineDataset:
    """Open a local Minari data set with flat continuous observations and actions, reading metadata only.

    Raises:
        DataError: it is not on this machine, its metadata cannot be read, or its spaces are of another kind.
    """
    stored = _load(name)
    observations, actions = _vector_space(name, stored, "observation"), _vector_space(name, stored, "action")
    return OfflineDataset(
        name=name,
        observation_dim=observations.shape[0],
        action_dim=actions.shape[0],
        action_low=actions.low.astype(np.float32),
        action_high=actions.high.astype(np.float32),
        num_episodes=int(stored.total_episodes),
        num_transitions=int(stored.total_steps),
        environment_spec=stored.env_spec,
        reference_scores=_reference_scores(stored),
        read=partial(_read, name, stored, observations.shape[0], actions.shape[0]),
    )


def _load(name: str) -> MinariDataset:
    try:
        return minari.load_dataset(name)
    except FileNotFoundError:
        raise DataError(_unknown(name)) from None
    except ImportError as error:
        raise DataError(f"Reading the Minari data set `{name}` needs another package: {error}") from error
    except (OSError, ValueError, KeyError, AssertionError, json.JSONDecodeError) as error:
        raise DataError(
            f"The metadata of the Minari data set `{name}` cannot be read: {error}. Delete it (`minari delete {name}`) "
            "and fetch or collect it again."
        ) from error


def _unknown(name: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Minari warns of each misconfigured folder it meets
        known = [*minari.list_local_datasets(), *BUNDLED_DATASETS]
    return (
        f"The data set `{name}` is not on this machine, and it is no bundled one; {did_you_mean(name, known)} "
        f"`minari list local` shows what is here, `minari download {name}` fetches a published one."
    )


def _vector_space(name: str, stored: MinariDataset, role: str) -> gym.spaces.Box:
    space = stored.observation_space if role == "observation" else stored.action_space
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and np.issubdtype(space.dtype, np.floating):
        return space
    raise DataError(
        f"`{name}` has the {role} space {space}; expected a one-dimensional Box of floats, since the policies here "
        "take vectors and give continuous actions. Discrete, image and dict spaces are not supported."
    )


def _reference_scores(stored: MinariDataset) -> tuple[float, float] | None:
    metadata = stored.storage.metadata
    low, high = metadata.get("ref_min_score"), metadata.get("ref_max_score")
    if low is not None and high is not None:
        return float(low), float(high)
    return reference_scores_for(stored.env_spec.id if stored.env_spec is not None else None)


def _read(name: str, stored: MinariDataset, observation_dim: int, action_dim: int) -> Iterator[Episode]:
    try:
        for episode in stored.iterate_episodes():
            yield _episode(name, episode, observation_dim, action_dim)
    except (OSError, KeyError, RuntimeError, AssertionError) as error:
        folder = stored.storage.data_path
        file = next(folder.glob("*.hdf5"), folder)
        raise DataError(
            f"The data of `{name}` cannot be read from {file}: {error}. The file may be truncated: "
            f"delete it (`minari delete {name}`) and fetch or collect it again."
        ) from error


def _episode(name: str, episode: EpisodeData, observation_dim: int, action_dim: int) -> Episode:
    steps = len(episode.rewards)
    where = f"episode {episode.id} of `{name}`"
    observations = _checked(episode.observations, (steps + 1, observation_dim), "observations", where)
    terminations = np.asarray(episode.terminations, dtype=bool)
    if terminations[:-1].any():
        raise DataError(
            f"`terminations` of {where} is set at step {int(terminations.argmax())} of {steps}; expected it at the "
            "last step only: split the recording there."
        )
    return Episode(
        observations=observations[:-1],
        actions=_checked(episode.actions, (steps, action_dim), "actions", where),
        rewards=_checked(episode.rewards, (steps,), "rewards", where),
        next_observations=observations[1:],
        termination=bool(terminations[-1]) if steps else False,
    )


def _checked(values: Any, shape: tuple[int, ...], array: str, where: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    found = np.asarray(values, dtype=np.float32)
    if found.shape != shape:
        raise DataError(f"`{array}` of {where} has shape {found.shape}, expected {shape}: the recording is damaged.")
    return found
