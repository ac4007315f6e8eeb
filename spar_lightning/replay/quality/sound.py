"""What a run does with what the checks find: it refuses, repairs when told to, or warns."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from spar_lightning.replay.quality.chunk import chunks_of
from spar_lightning.replay.quality.findings import Quality
from spar_lightning.replay.quality.reset_rows import reset_rows
from spar_lightning.replay.storage.transitions import Transitions
from spar_lightning.telling import tell, warn
from spar_lightning.types import DataError


class Sound(NamedTuple):
    """What can be trained on."""

    transitions: Transitions
    lost: list[int]  # numbers, before, of the episodes of which nothing is left


def sound_transitions(
    name: str, transitions: Transitions, checks: Callable[[], Quality], drop_reset_rows: bool
) -> Sound:
    """See that transitions are what their names say, before anything is trained on them.

    Args:
        name: of the data set.
        transitions: all of them, as recorded, on the CPU; not to be used any more.
        checks: gives what looks at them.
        drop_reset_rows: leave out the resets of a vector environment instead of refusing them.

    Returns:
        The transitions that remain. What looks wrong, and can be trained on all the same, is warned of.

    Raises:
        DataError: there are resets among them, or actions in other units than the environment's.
    """
    found, lost = _looked_at(transitions, checks()), []
    if drop_reset_rows and found.reset_rows.found:
        tell(f"{name}: {found.reset_rows.count:,} rows that are resets, and no steps, are left out")
        kept = ~torch.from_numpy(reset_rows(chunks_of(transitions)))
        lost = _lost(transitions.episode_ends, kept)
        transitions = transitions.only(kept)
        found = _looked_at(transitions, checks())
    elif drop_reset_rows:
        warn(f"{name}: `data.drop_reset_rows` is set, but no rows look like resets: none are left out")
    for finding in found.findings():
        if finding.refused:
            raise DataError(f"{name} cannot be trained on. {finding.text}")
        warn(f"{name}: {finding.text}")
    return Sound(transitions, lost)


def _lost(episode_ends: Tensor, kept: Tensor) -> list[int]:
    """Numbers of the episodes none of whose rows is kept."""
    episodes = episode_ends.cumsum(0) - episode_ends.long()
    rows = torch.bincount(episodes[kept], minlength=int(episode_ends.sum()))
    return torch.where(rows == 0)[0].tolist()


def _looked_at(transitions: Transitions, quality: Quality) -> Quality:
    for chunk in chunks_of(transitions):
        quality.add(chunk)
    return quality
