"""What `dones` mark: that the task was done, that the demonstration ended, or both.

robomimic's `dataset_states_to_obs.py` writes one of the three (`--done_mode` 0, 1, 2), and does not say which.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from spar_lightning.types import DataError

BoolArray = npt.NDArray[np.bool_]
Dones = Literal["success", "end"]


class Marks(NamedTuple):
    """What tells the ends of one demonstration of T steps."""

    dones: BoolArray | None  # (T,), None where the file has none
    rewarded: BoolArray | None  # (T,) where a reward is a success; None where it is not, or there are none


def terminations_of(demos: Sequence[Marks], stated: Dones | None) -> list[BoolArray]:
    """The terminations (T,) of each demonstration.

    Rewards tell where they are successes. Else, where some demonstration ends without a mark, marks are successes;
    where all are equally long, and only their ends are marked, they were cut off.

    Args:
        demos: at least one.
        stated: what the user says of them, which counts.

    Raises:
        DataError: nothing tells.
    """
    marks = [np.zeros(0, np.bool_) if demo.dones is None else demo.dones for demo in demos]
    if stated == "end" or all(demo.dones is None for demo in demos):
        return [np.zeros_like(dones) for dones in marks]
    if stated == "success":
        return marks
    rewarded = [demo.rewarded for demo in demos if demo.rewarded is not None]
    if len(rewarded) == len(demos):
        return [dones & successes for dones, successes in zip(marks, rewarded, strict=True)]
    if any(len(dones) and not dones[-1] for dones in marks):
        return marks
    only_ends = all(dones.sum() <= 1 for dones in marks)
    if only_ends and len(marks) > 1 and len({len(dones) for dones in marks}) == 1:
        return [np.zeros_like(dones) for dones in marks]
    raise DataError(
        "`dones` is set in the last step of every demonstration, which may mean that the task was done there, or only "
        "that the recording ended: say which with `dones`, `success` or `end`."
    )
