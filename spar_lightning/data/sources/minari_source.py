"""Reading Minari data sets that are on this machine."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
from minari.dataset.minari_dataset import DATASET_ID_RE, EpisodeData, MinariDataset
from minari.dataset.minari_storage import MinariStorage

from spar_lightning.data.dataset import Episode, OfflineDataset, fingerprint_of
from spar_lightning.data.minari_folder import datasets_folder
from spar_lightning.data.recording.recipes import BUNDLED_DATASETS, did_you_mean
from spar_lightning.data.simulators.reference_scores import ScoreScale, score_scale
from spar_lightning.types import DataError

_EPISODES = 100  # read while the file is open; HDF5 keeps some 50 kB of each until it is closed


def open_minari(name: str, observation_keys: Sequence[str] | None = None) -> OfflineDataset:
    """Open a local Minari data set with flat continuous observations and actions, reading metadata only.

    Raises:
        DataError: the name is no id of Minari's, the data set is not on this machine, its metadata cannot be read or
            make no sense, or its spaces are of another kind.
    """
    _check_id(name)
    stored = _load(name)
    observations, actions = _vector_space(name, stored, "observation"), _vector_space(name, stored, "action")
    return OfflineDataset(
        name=name,
        observation_dim=observations.shape[0],
        action_dim=actions.shape[0],
        action_low=_float32(actions.low),
        action_high=_float32(actions.high),
        num_episodes=int(stored.total_episodes),
        num_transitions=int(stored.total_steps),
        environment_spec=stored.env_spec,
        observation_keys=None if observation_keys is None else tuple(observation_keys),
        scale=_scale(name, stored),
        fingerprint=fingerprint_of(stored.storage.data_path.iterdir()),
        read=partial(_read, name, stored, observations.shape[0], actions.shape[0]),
    )


def _check_id(name: str) -> None:
    if DATASET_ID_RE.fullmatch(name) is None or "//" in name:
        raise DataError(
            f"`{name}` is no id of a Minari data set, expected `<namespace>/<name>-v<number>` of letters, digits, `-` "
            "and `_`, such as `mujoco/hopper/expert-v0`."
        )


def _load(name: str) -> MinariDataset:
    folder = datasets_folder() / name
    if not (folder / "data").exists():
        raise DataError(_unknown(name))
    try:
        _check_spaces_are_stated(folder / "data")
        return minari.load_dataset(name)
    except ImportError as error:
        raise DataError(f"Reading the Minari data set `{name}` needs another package: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError, RecursionError) as error:
        raise DataError(
            f"The metadata of the Minari data set `{name}` cannot be read: {_reason(error)}. {_remedy(name, folder)}"
        ) from error


def _check_spaces_are_stated(data: Path) -> None:
    """Without its spaces Minari makes the environment that the metadata name, whatever code that runs."""
    metadata = MinariStorage.read_raw_metadata(data)
    missing = [name for name in ("observation_space", "action_space") if name not in metadata]
    if missing:
        raise ValueError(f"they state no {' and no '.join(missing)}")


def _reason(error: BaseException) -> str:
    return str(error).rstrip(".") or type(error).__name__


def _remedy(name: str, folder: Path) -> str:
    if name in BUNDLED_DATASETS:
        return f"Collect it again: `python -m spar_lightning collect {name} --overwrite true`."
    return f"Delete it (`rm -r {folder}`) and fetch it again."


def _unknown(name: str) -> str:
    known = [*_local_datasets(), *BUNDLED_DATASETS]
    return (
        f"The data set `{name}` is not on this machine, and it is no bundled one; {did_you_mean(name, known)} "
        f"`minari list local` shows what is here, `minari download {name}` fetches a published one."
    )


def _local_datasets() -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Minari warns of each misconfigured folder it meets
        try:
            return list(minari.list_local_datasets())
        except (OSError, ValueError, TypeError):  # a folder whose name is no id
            return []


def _vector_space(name: str, stored: MinariDataset, role: str) -> gym.spaces.Box:
    space = stored.observation_space if role == "observation" else stored.action_space
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and np.issubdtype(space.dtype, np.floating):
        if space.shape[0] == 0:
            raise DataError(f"`{name}` has the {role} space {space}, expected at least one dimension.")
        return space
    raise DataError(
        f"`{name}` has the {role} space {space}; expected a one-dimensional Box of floats, since the policies here "
        "take vectors and give continuous actions. Discrete, image and dict spaces are not supported."
    )


def _float32(bounds: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    with np.errstate(over="ignore"):  # a float64 that is too large becomes infinite, that is unbounded
        return bounds.astype(np.float32)


def _scale(name: str, stored: MinariDataset) -> ScoreScale:
    metadata = stored.storage.metadata
    stated = metadata.get("ref_min_score"), metadata.get("ref_max_score")
    if None not in stated:
        try:
            low, high = map(float, stated)
        except (TypeError, ValueError, OverflowError):
            low = high = math.nan
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise DataError(
                f"`{name}` has the reference scores {stated[0]!r} and {stated[1]!r} in its metadata, expected finite "
                "numbers, the first below the second: correct or remove `ref_min_score` and `ref_max_score`."
            )
        return ScoreScale((low, high), "stated by the data set")
    return score_scale(stored.env_spec)


def _read(name: str, stored: MinariDataset, observation_dim: int, action_dim: int) -> Iterator[Episode]:
    try:
        for start in range(0, len(stored.episode_indices), _EPISODES):
            for episode in stored.iterate_episodes(stored.episode_indices[start : start + _EPISODES]):
                yield _episode(name, episode, observation_dim, action_dim)
    except DataError:
        raise
    except (OSError, KeyError, RuntimeError, AssertionError, ValueError, TypeError) as error:
        folder = stored.storage.data_path
        file = next(folder.glob("*.hdf5"), folder)
        raise DataError(
            f"The data of `{name}` cannot be read from {file}: {_reason(error)}. The file may be truncated. "
            f"{_remedy(name, folder.parent)}"
        ) from error


def _episode(name: str, episode: EpisodeData, observation_dim: int, action_dim: int) -> Episode:
    steps = len(episode.actions)
    where = f"episode {episode.id} of `{name}`"
    observations = _checked(episode.observations, (steps + 1, observation_dim), "observations", where)
    _ends(episode.truncations, steps, "truncations", where)
    return Episode(
        observations=observations[:-1],
        actions=_checked(episode.actions, (steps, action_dim), "actions", where),
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


def _checked(values: Any, shape: tuple[int, ...], array: str, where: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    found = np.asarray(values, dtype=np.float32)
    if found.shape != shape:
        raise DataError(f"`{array}` of {where} has shape {found.shape}, expected {shape}: the recording is damaged.")
    return found
