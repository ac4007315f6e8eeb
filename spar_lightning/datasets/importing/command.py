"""The `import` command: a data set in a file becomes a Minari data set on this machine."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from tqdm.auto import tqdm
from typing_extensions import Unpack

from spar_lightning.datasets.dataset import Episode, OfflineDataset
from spar_lightning.datasets.importing.buffers import Conversion, StartStates
from spar_lightning.datasets.importing.space import check_space
from spar_lightning.datasets.importing.spaces import stated_spaces
from spar_lightning.datasets.importing.starts import start_states
from spar_lightning.datasets.importing.writing import write_minari
from spar_lightning.datasets.minari_folder import (
    datasets_folder,
    minari_root,
    register_namespace,
    scratch_folder,
)
from spar_lightning.datasets.recording.recipes import BUNDLED_PREFIX
from spar_lightning.datasets.sources.minari.loading import check_minari_id
from spar_lightning.datasets.sources.reading_settings import ReadingSettings
from spar_lightning.datasets.sources.registry import open_dataset
from spar_lightning.given_path import given_path
from spar_lightning.simulators.environments import make_environment
from spar_lightning.types import DataError
from spar_lightning.whole_file import move_into_place


def import_dataset(
    source: str,
    *,
    id: str,
    environment: str | None = None,
    max_episode_steps: int | None = None,
    observation_keys: list[str] | None = None,
    author: str | None = None,
    description: str | None = None,
    root: str | Path | None = None,
    progress: bool = True,
    overwrite: bool = False,
    **reading: Unpack[ReadingSettings],
) -> str:
    """Convert a data set into a local Minari data set, which every program that knows Minari can read.

    Episodes are read and written one by one. The data set appears in its place complete or not at all. Actions are
    kept as they were logged, also outside of the environment's bounds. An episode that lacks its last next
    observation loses its last transition, unless that terminated: then its last observation is repeated, since nothing
    is learned from it. The arrays of an `.npz` or HDF5 file that have a vector for each episode (`init_qpos` and the
    like) become the options that reset Gymnasium-Robotics' hands to the start of that episode.

    Args:
        source: what `open_dataset` opens, such as the path or URL of an `.npz` or of a D4RL `.hdf5` file.
        id: of the new data set, `<namespace>/<name>-v<number>`.
        environment: Gymnasium id of the environment that the data come from; by default what the source says, if it
            does.
        max_episode_steps: the environment's time limit, if it is not the registered one.
        observation_keys: for an environment with dict observations, which of their parts the source's vectors hold,
            in their order; by default those that the environment's family needs.
        author: of the data.
        description: of the data.
        root: folder of the Minari data sets; by default Minari's own (`MINARI_DATASETS_PATH`, else
            `~/.minari/datasets`).
        progress: whether to show a progress bar.
        overwrite: whether to replace a data set of this id.
        reading: how the source is read, where its layout leaves that open.

    Returns:
        The id, for `minari.load_dataset` and `open_dataset`.

    Raises:
        DataError: the source cannot be opened or read, does not fit the environment, or is not what Minari can
            express; the id is none of Minari's, is taken, or is a bundled one's; or the folder cannot be written to
            or is too full.
        EnvironmentUnavailableError: the environment cannot be made here.
    """
    _check_id(id)
    dataset = open_dataset(source, observation_keys, **reading).evaluated_in(environment, max_episode_steps)
    starts = start_states(source, dataset.num_episodes)
    with minari_root(given_path(str(root)) if root is not None else datasets_folder()) as folder:
        place = folder / id
        _check_place(folder, id, overwrite)
        with scratch_folder(folder) as scratch:
            check_space(scratch, dataset)
            found = _convert(dataset, starts, scratch, id, progress, {"author": author, "description": description})
            _check_place(folder, id, overwrite)  # another process may have been faster
            move_into_place(scratch / id, place)
        if "/" in id:
            register_namespace(id.rpartition("/")[0])
    print("\n".join([_summary(source, place, found, starts), *(f"  note: {note}" for note in dataset.notes)]))
    return id


def _check_id(name: str) -> None:
    check_minari_id(name)
    if re.search(r"-v\d+$", name) is None:
        raise DataError(f"`{name}` states no version, expected `-v<number>` at its end, as in `{name}-v0`.")
    if name.startswith(BUNDLED_PREFIX):
        raise DataError(f"`{name}` is a name of the bundled data sets, expected another namespace, as in `my/data-v0`.")


def _check_place(folder: Path, name: str, overwrite: bool) -> None:
    """See that nothing is where the data set goes, or else nothing but the one that it is to replace."""
    place = folder / name
    around = next((str(outer) for outer in Path(name).parents if (folder / outer / "data").is_dir() and outer.name), "")
    if around:
        raise DataError(f"`{name}` would lie inside of the data set `{around}` in {folder}: choose another `--id`.")
    if place.is_dir() and any(entry.is_dir() and entry.name != "data" for entry in place.iterdir()):
        raise DataError(f"`{name}` is a namespace in {folder}, with data sets of its own: choose another `--id`.")
    if place.exists() and not overwrite:
        raise DataError(f"`{name}` is already in {place}: choose another `--id`, or pass `--overwrite true`.")


def _convert(
    dataset: OfflineDataset, starts: StartStates, scratch: Path, name: str, progress: bool, told: dict[str, str | None]
) -> Conversion:
    """Write the data set into the scratch folder."""
    found = Conversion()
    with contextlib.ExitStack() as stack:
        environment = None
        if dataset.environment_spec is not None:
            environment = stack.enter_context(contextlib.closing(make_environment(dataset.environment_spec)))
        spaces = stated_spaces(dataset, environment)
        episodes = _with_progress(dataset, name, progress)
        bounds = (spaces.actions.low, spaces.actions.high)
        buffers = found.buffers(episodes, spaces.as_stored, bounds, starts)
        description = {"description": f"Imported from {Path(dataset.name).name}."}
        description |= {key: value for key, value in told.items() if value is not None}
        stored = write_minari(scratch, name, buffers, environment, spaces, description)
    further: dict[str, object] = {"imported": {"source": Path(dataset.name).name, **found.counts()}}
    if dataset.scale.reference is not None:
        further["ref_min_score"], further["ref_max_score"] = dataset.scale.reference
    stored.storage.update_metadata(further)
    return found


def _with_progress(dataset: OfflineDataset, name: str, progress: bool) -> Iterator[Episode]:
    total = dataset.num_episodes
    yield from tqdm(
        dataset.episodes(), total=total, desc=f"importing {name}", unit="episode", disable=not progress, leave=False
    )


def _summary(source: str, place: Path, found: Conversion, starts: StartStates) -> str:
    facts: dict[str, object] = {
        "episodes": f"{found.episodes:,}",
        "transitions": f"{found.transitions:,}",
        "dropped transitions, since what came after them is not known": f"{found.dropped:,}",
        "repeated last observations, after terminations": f"{found.repeated:,}",
        "actions outside of the bounds, kept as they are": f"{found.outside:,}",
        "values that are NaN or infinite, with which no policy is trained": f"{found.not_finite:,}",
        "start states, kept as reset options": ", ".join(starts) or "none",
    }
    return "\n".join([f"Imported {source} to {place}", *(f"  {fact}: {value}" for fact, value in facts.items())])
