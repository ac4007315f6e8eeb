"""Rewards of one task for a file without any, by OGBench's own rule."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spar_lightning.datasets.dataset import FloatArray
from spar_lightning.datasets.sources.column import Column
from spar_lightning.simulators.environments import make_environment, register_environments
from spar_lightning.types import DataError, UserError

MODULE = "ogbench"
_BLOCK = 1 << 16  # rows
_STATES = ("qpos", "button_states")


class Labels(NamedTuple):
    """Of N rows."""

    rewards: FloatArray  # (N,)
    terminations: npt.NDArray[np.bool_]  # (N,), where the task is done


def label(arrays: Mapping[str, Column], rows: int, task: str) -> Labels:
    """Reward each state as a task does, by `ogbench.relabel_utils`.

    Args:
        arrays: with the states of the simulator.
        rows: N.
        task: Gymnasium id of an environment with one task, such as `antmaze-large-singletask-task1-v0`.

    Raises:
        DataError: OGBench is not installed or has no such environment, or the states are not stored.
    """
    states = {name: arrays[name] for name in _STATES if name in arrays}
    if "qpos" not in states or any(column.shape[:1] != (rows,) for column in states.values()):
        raise DataError(
            f"`task` is {task}, but there is no `qpos` with the states of the simulator, by which it is judged."
        )
    try:
        register_environments(MODULE)
        relabel = importlib.import_module(f"{MODULE}.relabel_utils").relabel_dataset
        environment = make_environment(task)
    except (UserError, ImportError) as error:
        raise DataError(
            f"`task` is {task}, for which OGBench cannot be used here: {error} `pip install ogbench` brings it; its "
            "tasks are called like `antmaze-large-singletask-task1-v0`."
        ) from error
    parts: dict[str, list[npt.NDArray[np.float32]]] = {"rewards": [], "masks": []}
    with contextlib.closing(environment):
        for start in range(0, rows, _BLOCK):
            block = {name: np.asarray(column[start : min(start + _BLOCK, rows)]) for name, column in states.items()}
            try:
                relabel(task, environment, block)
            except (AssertionError, ValueError, IndexError, AttributeError, KeyError) as error:
                raise DataError(f"`task` is {task}, by which these states cannot be judged: {error!r}.") from error
            for name, values in parts.items():
                values.append(np.asarray(block[name], dtype=np.float32))
    return Labels(np.concatenate(parts["rewards"]), np.concatenate(parts["masks"]) == 0)
