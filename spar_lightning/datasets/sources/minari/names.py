"""Names of Minari data sets that are known without asking anybody: on this machine, bundled, or published."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import minari

from spar_lightning.datasets.naming import did_you_mean
from spar_lightning.datasets.recording.recipes import BUNDLED_DATASETS

_ADROIT = ("human", "cloned", "expert")
_KINDS = {
    "mujoco/ant": ("simple", "medium", "expert"),
    "mujoco/halfcheetah": ("simple", "medium", "expert"),
    "mujoco/hopper": ("simple", "medium", "expert"),
    "mujoco/humanoid": ("simple", "medium", "expert"),
    "mujoco/inverteddoublependulum": ("medium", "expert"),
    "mujoco/invertedpendulum": ("medium", "expert"),
    "mujoco/pusher": ("medium", "expert"),
    "mujoco/reacher": ("medium", "expert"),
    "mujoco/swimmer": ("medium", "expert"),
    "mujoco/walker2d": ("simple", "medium", "expert"),
    "D4RL/pen": _ADROIT,
    "D4RL/hammer": _ADROIT,
    "D4RL/door": _ADROIT,
    "D4RL/relocate": _ADROIT,
    "D4RL/antmaze": ("umaze", "umaze-diverse", "medium-play", "medium-diverse", "large-play", "large-diverse"),
    "D4RL/pointmaze": (
        *("umaze", "umaze-dense", "open", "open-dense"),
        *("medium", "medium-dense", "large", "large-dense"),
    ),
    "D4RL/kitchen": ("complete", "partial", "mixed"),
}


def _version(task: str) -> int:
    return 0 if task.startswith("mujoco/") else 1 if task == "D4RL/antmaze" else 2


PUBLISHED_DATASETS = tuple(f"{task}/{kind}-v{_version(task)}" for task, kinds in _KINDS.items() for kind in kinds)
"""The published data sets of continuous control, as of 2025.

Source: `namespace_metadata.json` of the repositories `farama-minari/mujoco` and `farama-minari/D4RL` on the Hugging
Face Hub. For near names and lists only: what may be downloaded is what the Hub has when it is asked.
"""


def local_datasets() -> list[str]:
    """Ids of the Minari data sets on this machine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Minari warns of each misconfigured folder it meets
        try:
            return list(minari.list_local_datasets())
        except (OSError, ValueError, TypeError):  # a folder whose name is no id
            return []


def near_names(name: str, more: Iterable[str] = ()) -> str:
    """A sentence that offers the known names nearest to `name`, with `more` to choose from; empty if it is one."""
    known = dict.fromkeys([*local_datasets(), *BUNDLED_DATASETS, *PUBLISHED_DATASETS, *more])
    return "" if name in known else did_you_mean(name, known)
