"""Data sets in one file of flat arrays: D4RL's `.hdf5`, or a user's own in the same layout, also as `.npz`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from spar_lightning.datasets.dataset import OfflineDataset, fingerprint_of
from spar_lightning.datasets.sources.arrays.array_file import check_kind, open_columns
from spar_lightning.datasets.sources.arrays.flat_columns import SuccessReward
from spar_lightning.datasets.sources.arrays.flat_source import FlatSource, open_flat
from spar_lightning.datasets.sources.d4rl_names import d4rl_name_of
from spar_lightning.datasets.sources.paths import path_of
from spar_lightning.simulators.d4rl_environments import d4rl_environment


def open_file(
    name: str, observation_keys: Sequence[str] | None = None, success_reward: SuccessReward | None = None
) -> OfflineDataset:
    """Open a file by its path, absolute, relative or with `~`; reads shapes and flags only.

    A file that is named like one of D4RL's is taken for it: it has an environment, scores, and actions in [-1, 1]. Of
    another neither is known.

    Args:
        name: the path.
        observation_keys: the parts of the environment's dict observations, in the order in which the file has them
            side by side; by default those of D4RL.
        success_reward: as in `flat_columns`.

    Raises:
        DataError: there is no such file, it is damaged, or its arrays are not those of `flat_columns`.
    """
    path = path_of(name)
    return open_arrays(path, str(path), d4rl_name_of(path.name), observation_keys, success_reward)


def open_arrays(
    path: Path,
    name: str,
    d4rl_name: str | None,
    observation_keys: Sequence[str] | None = None,
    success_reward: SuccessReward | None = None,
) -> OfflineDataset:
    """Open a file as the data set `name`.

    Args:
        path: the file.
        name: of the data set.
        d4rl_name: what D4RL calls it, such as `walker2d-medium-v2`; None if it is not D4RL's.
        observation_keys: as in `open_file`.
        success_reward: as in `flat_columns`.

    Raises:
        DataError: as `open_file`.
    """
    check_kind(path)
    environment = None if d4rl_name is None else d4rl_environment(d4rl_name)
    spec, keys = (None, None) if environment is None else environment
    source = FlatSource(str(path), partial(open_columns, path), fingerprint_of([path], success_reward), success_reward)
    dataset = open_flat(source, name, spec, bound=np.inf if d4rl_name is None else 1)
    return replace(dataset, observation_keys=keys if observation_keys is None else tuple(observation_keys))
