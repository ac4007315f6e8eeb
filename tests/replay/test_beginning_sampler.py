"""Draws from the beginnings of episodes."""

from __future__ import annotations

import torch

from spar_lightning.replay import BeginningSampler


def test_steps_are_drawn_with_their_weights_whatever_the_lengths() -> None:
    torch.manual_seed(0)
    episodes = torch.tensor([0] * 3 + [1] * 10)
    counts = torch.bincount(BeginningSampler(episodes, decay=0.5).draw(40_000), minlength=13) / 40_000
    expected = torch.cat([0.5 ** torch.arange(3), 0.5 ** torch.arange(10)]).double()
    expected[:3] /= 2 * expected[:3].sum()
    expected[3:] /= 2 * expected[3:].sum()
    assert torch.allclose(counts.double(), expected, atol=0.01)


def test_an_episode_of_one_step_and_a_decay_near_one() -> None:
    assert set(BeginningSampler(torch.arange(4), decay=1 - 1e-9).draw(200).tolist()) == {0, 1, 2, 3}
