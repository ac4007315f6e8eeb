"""Who learned from which episodes, and who is asked about them."""

from __future__ import annotations

import pytest
import torch

from spar_lightning.offline_evaluation.folds import Folds
from spar_lightning.types import DataError

EPISODES = torch.tensor([0, 0, 1, 2, 2, 2, 3, 3])


def test_a_split_halves_the_episodes() -> None:
    folds = Folds(EPISODES, splits=3)
    assert folds.members.shape == (6, 4)
    assert folds.members.sum(dim=1).tolist() == [2] * 6
    for split in range(3):
        assert torch.equal(folds.members[2 * split], ~folds.members[2 * split + 1])
    assert folds.starts.tolist() == [0, 2, 3, 6]


def test_each_part_of_a_batch_is_of_its_own_fold() -> None:
    folds = Folds(EPISODES, splits=2)
    for _, batch in zip(range(100), folds.batches(5), strict=False):
        for held, rows in zip(folds.members, batch.split(5), strict=True):
            assert held[EPISODES[rows]].all()


def test_episodes_are_judged_by_critics_that_did_not_see_them() -> None:
    folds = Folds(EPISODES, splits=2)
    episodes = torch.tensor([3, 0, 1, 2])
    judges = folds.unseen(torch.ones(4, 1, 4), episodes)
    assert judges.nansum(dim=0).tolist() == [[2.0] * 4]  # one of each split
    assert torch.equal(judges.squeeze(1).isnan(), folds.members[:, episodes])


def test_one_episode_cannot_be_halved() -> None:
    with pytest.raises(DataError, match="1 episodes"):
        Folds(torch.tensor([0, 0]), splits=2)
