"""Collecting the bundled data sets: behaviour policies rolled out and stored with Minari."""

from __future__ import annotations

import shutil
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage
from tqdm.auto import tqdm

from spar_lightning.datasets.minari_folder import (
    datasets_folder,
    minari_root,
    register_namespace,
    scratch_folder,
)
from spar_lightning.datasets.recording.recipe import Recipe
from spar_lightning.datasets.recording.recipes import parse_bundled_id
from spar_lightning.datasets.recording.rollout import RecordedEpisode
from spar_lightning.given_path import given_path
from spar_lightning.types import DataError
from spar_lightning.whole_file import move_into_place

_SPARE_BYTES = 50_000_000


def collect(
    dataset_id: str,
    *,
    steps: int = 200_000,
    seed: int = 0,
    num_envs: int = 8,
    root: str | Path | None = None,
    progress: bool = True,
    overwrite: bool = False,
) -> str:
    """Collect a bundled data set and store it as a local Minari data set.

    The same id, steps and seed give the same arrays, whatever `num_envs`. The data set appears in its place complete
    or not at all.

    Args:
        dataset_id: `spar/<env>/<kind>-v0`, or `spar/pointmaze/stitch-v0`.
        steps: transitions to record; the last episode is cut there, as a truncated one.
        seed: of initial states and action noise.
        num_envs: environments that are stepped together.
        root: folder of the Minari data sets; by default Minari's own (`MINARI_DATASETS_PATH`, else
            `~/.minari/datasets`).
        progress: whether to show a progress bar.
        overwrite: whether to replace a data set of this id that was collected with other settings.

    Returns:
        The id, for `minari.load_dataset` and `open_dataset`.

    Raises:
        DataError: an unknown id, an argument out of range, a data set of that id with other settings is there, or the
            folder cannot be written to or is too full.
        EnvironmentUnavailableError: the simulator is missing.
    """
    recipe = parse_bundled_id(dataset_id)
    _check_at_least(1, steps=steps, num_envs=num_envs)
    _check_at_least(0, seed=seed)
    with minari_root(given_path(str(root)) if root is not None else datasets_folder()) as folder:
        if _is_collected(recipe, folder, steps, seed, overwrite):
            return dataset_id
        _check_space(recipe, folder, steps)
        episodes, spec = _record(recipe, steps, seed, num_envs, progress)
        with scratch_folder(folder) as scratch:
            _store(recipe, scratch, episodes, spec, {"steps": steps, "seed": seed})
            if not _is_collected(recipe, folder, steps, seed, overwrite):  # another process may have been faster
                move_into_place(scratch / dataset_id, folder / dataset_id)
        register_namespace(dataset_id.rpartition("/")[0])
    return dataset_id


def _check_at_least(least: int, **arguments: int) -> None:
    for name, value in arguments.items():
        if value < least:
            raise DataError(f"`{name}` is {value}, expected at least {least}.")


def _check_space(recipe: Recipe, folder: Path, steps: int) -> None:
    needed, free = 16 * steps * recipe.row_size + _SPARE_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder} has {free / 1e6:,.0f} MB left, expected about {needed / 1e6:,.0f} MB for {steps:,} steps of "
            f"`{recipe.dataset_id}`: collect fewer `steps`, or pass another `root`."
        )


def _is_collected(recipe: Recipe, root: Path, steps: int, seed: int, overwrite: bool) -> bool:
    if overwrite or not (root / recipe.dataset_id).exists():
        return False
    wanted = {"steps": steps, "seed": seed}
    try:
        found = MinariStorage.read_raw_metadata(root / recipe.dataset_id / "data").get("collection")
    except (OSError, ValueError, AttributeError) as error:
        found = f"settings that cannot be read ({error})"
    if found == wanted:
        return True
    raise DataError(
        f"`{recipe.dataset_id}` is already in {root}, collected with {found}; expected {wanted}. "
        f"Pass `overwrite=True`: `python -m spar_lightning collect {recipe.dataset_id} --steps {steps} --seed {seed} "
        "--overwrite true`."
    )


def _record(
    recipe: Recipe, steps: int, seed: int, num_envs: int, progress: bool
) -> tuple[list[RecordedEpisode], EnvSpec]:
    with tqdm(total=steps, desc=f"collecting {recipe.dataset_id}", unit="step", disable=not progress) as bar:
        return recipe.record(steps, seed, num_envs, lambda recorded: bar.update(recorded - bar.n))


def _store(
    recipe: Recipe, scratch: Path, episodes: list[RecordedEpisode], spec: EnvSpec, collection: dict[str, int]
) -> None:
    low, high = recipe.reference
    with minari_root(scratch), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`(code_permalink|author_email)` is set to None")
        stored = minari.create_dataset_from_buffers(
            recipe.dataset_id,
            [_buffer(number, episode) for number, episode in enumerate(episodes)],
            env=spec,
            eval_env=spec,
            algorithm_name=recipe.algorithm,
            author="The spar-lightning developers",
            ref_min_score=low,
            ref_max_score=high,
            description=recipe.description(**collection),
            requirements=[f"mujoco=={metadata.version('mujoco')}"],
            data_format="hdf5",
        )
        stored.storage.update_metadata({"collection": collection})


def _buffer(number: int, episode: RecordedEpisode) -> EpisodeBuffer:
    ends = np.zeros((2, len(episode)), dtype=bool)
    ends[:, -1] = episode.terminated, episode.truncated
    arrays: dict[str, Any] = {
        "observations": _stacked(episode.observations),
        "actions": np.stack(episode.actions),
        "rewards": np.array(episode.rewards),
        "terminations": ends[0],
        "truncations": ends[1],
    }
    return EpisodeBuffer(id=number, seed=episode.seed, **arrays)


def _stacked(observations: list[Any]) -> Any:
    if isinstance(observations[0], dict):
        return {name: np.stack([one[name] for one in observations]) for name in observations[0]}
    return np.stack(observations)
