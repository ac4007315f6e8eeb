"""What a run would lack on this machine: a file, an extra, a simulator."""

from __future__ import annotations

from gymnasium.envs.registration import EnvSpec

from spar_lightning.datasets import open_dataset
from spar_lightning.datasets.recording.recipes import BUNDLED_DATASETS
from spar_lightning.datasets.sources.d4rl_names import PREFIX
from spar_lightning.datasets.sources.paths import is_path
from spar_lightning.inspection.listing.on_disk import path_on_disk
from spar_lightning.simulators.d4rl_environments import d4rl_environment
from spar_lightning.simulators.environments import make_environment
from spar_lightning.suite.runs import Run
from spar_lightning.types import EnvironmentUnavailableError, UserError


def missing(run: Run) -> tuple[str, ...]:
    """In words, nothing where all is there; reads metadata only, and fetches nothing."""
    name = str(run.settings["data.dataset"])
    here = path_on_disk(name) is not None
    lacks = []
    if not here:
        lacks.append(_absent(name))
    try:
        spec = run.settings.get("data.environment") or _environment(name, here)
        if spec is not None:
            make_environment(spec).close()
    except EnvironmentUnavailableError as error:
        lacks.append(f"simulator: {error}")
    except UserError as error:
        lacks.append(str(error))
    return tuple(lacks)


def _environment(name: str, here: bool) -> EnvSpec | None:
    if name.startswith(PREFIX):
        found = d4rl_environment(name.removeprefix(PREFIX))
        return None if found is None else found[0]
    return open_dataset(name).environment_spec if here else None


def _absent(name: str) -> str:
    if name in BUNDLED_DATASETS:
        return f"data: {name} is not on this machine yet; it is recorded before its first run"
    if is_path(name) and "://" not in name and not name.startswith(PREFIX):
        return f"file: there is no {name}"
    return f"data: {name} is not on this machine; it is downloaded before its first run"


def fetch(name: str) -> str | None:
    """Record or download a data set, so that runs that start together do not all do it.

    Returns:
        Why it could not be had, which its runs will tell as well; else None.
    """
    try:
        if path_on_disk(name) is None:
            open_dataset(name)
    except UserError as error:
        return str(error)
    return None
