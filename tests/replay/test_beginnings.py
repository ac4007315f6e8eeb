"""Draws from the beginnings of episodes."""

from __future__ import annotations

import torch

from spar_lightning.replay import Beginnings


def test_steps_are_drawn_with_their_weights_whatever_the_lengths() -> None:
    torch.manual_seed(0)
    ends = torch.zeros(13, dtype=torch.bool)
    ends[[2, 12]] = True  # episodes of 3 and 10 steps
    counts = torch.bincount(Beginnings(ends, decay=0.5).draw(40_000), minlength=13) / 40_000
    expected = torch.cat([0.5 ** torch.arange(3), 0.5 ** torch.arange(10)]).double()
    expected[:3] /= 2 * expected[:3].sum()
    expected[3:] /= 2 * expected[3:].sum()
    assert torch.allclose(counts.double(), expected, atol=0.01)


def test_an_episode_of_one_step_and_a_decay_near_one() -> None:
    ends = torch.ones(4, dtype=torch.bool)
    assert set(Beginnings(ends, decay=1 - 1e-9).draw(200).tolist()) == {0, 1, 2, 3}
