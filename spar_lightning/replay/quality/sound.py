"""What a run does with what the checks find: it refuses, repairs when told to, or warns."""

from __future__ import annotations

from collections.abc import Callable

import torch

from spar_lightning.replay.quality.chunk import chunks_of
from spar_lightning.replay.quality.findings import Quality
from spar_lightning.replay.quality.reset_rows import reset_rows
from spar_lightning.replay.storage.transitions import Transitions
from spar_lightning.telling import tell, warn
from spar_lightning.types import DataError


def sound_transitions(
    name: str, transitions: Transitions, checks: Callable[[], Quality], drop_reset_rows: bool
) -> Transitions:
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
    found = _looked_at(transitions, checks())
    if drop_reset_rows and found.reset_rows.found:
        tell(f"{name}: {found.reset_rows.count:,} rows that are resets, and no steps, are left out")
        transitions = transitions.only(~torch.from_numpy(reset_rows(chunks_of(transitions))))
        found = _looked_at(transitions, checks())
    elif drop_reset_rows:
        warn(f"{name}: `data.drop_reset_rows` is set, but no rows look like resets: none are left out")
    for finding in found.findings():
        if finding.refused:
            raise DataError(f"{name} cannot be trained on. {finding.text}")
        warn(f"{name}: {finding.text}")
    return transitions


def _looked_at(transitions: Transitions, quality: Quality) -> Quality:
    for chunk in chunks_of(transitions):
        quality.add(chunk)
    return quality
