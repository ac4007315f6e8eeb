"""How a data set is read, where its layout leaves that open."""

from __future__ import annotations

from typing import TypedDict

from spar_lightning.datasets.sources.arrays.flat_columns import SuccessReward
from spar_lightning.datasets.sources.robomimic.dones import Dones


class ReadingSettings(TypedDict, total=False):
    """What may be said of a data set beside its name; what is left out, or None, is up to its source.

    Args:
        columns: of a table, which of its columns make up which array, as in
            `{observations: [x, "joint_*"], actions: [torque], episode: run}`; those called like an array are found.
        success_reward: where no rewards are recorded, a reward of 1 at the end of `all` episodes, or of those marked as
            a `success`, and a termination there.
        dones: what these mark in a robomimic file, where nothing there tells: that the task was done (`success`), or
            that the recording was (`end`).
        mask: name of the filter of a robomimic file whose demonstrations are taken.
        task: id of the environment whose task rewards an OGBench file without rewards, such as
            `antmaze-large-singletask-task1-v0`; needs `ogbench`.
    """

    columns: dict[str, str | list[str]] | None
    success_reward: SuccessReward | None
    dones: Dones | None
    mask: str | None
    task: str | None


READING_SETTINGS = tuple(ReadingSettings.__annotations__)
"""Their names."""
