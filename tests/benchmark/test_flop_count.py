"""Counted operations against those on paper."""

from __future__ import annotations

import pytest

from spar_lightning.benchmark.contenders import count_flops
from spar_lightning.benchmark.settings import ACTION_DIM, OBSERVATION_DIM, Setting

BATCH, WIDTH = 8, 16


def products(*layers: tuple[int, int]) -> list[int]:
    return [2 * BATCH * before * after for before, after in layers]


def test_cloning_by_hand() -> None:
    """Forward, gradients of all weights, and gradients of all layers' inputs but the first's."""
    layers = products((OBSERVATION_DIM, WIDTH), (WIDTH, WIDTH), (WIDTH, 2 * ACTION_DIM))  # mean and deviation
    expected = 2 * sum(layers) + sum(layers[1:])
    assert count_flops(Setting("bc", batch_size=BATCH, hidden_dim=WIDTH)) == expected


def test_plain_td3_bc_by_hand() -> None:
    actor = products((OBSERVATION_DIM, WIDTH), (WIDTH, WIDTH), (WIDTH, ACTION_DIM))
    critic = products((OBSERVATION_DIM + ACTION_DIM, WIDTH), (WIDTH, WIDTH), (WIDTH, 1))
    targets = sum(actor) + 2 * sum(critic)
    critic_step = 2 * (2 * sum(critic) + sum(critic[1:]))
    # The critic's weights get gradients that nobody uses, as in the code that this one is like.
    actor_step = 2 * sum(actor) + sum(actor[1:]) + 3 * sum(critic)
    expected = targets + critic_step + actor_step / 2
    assert count_flops(Setting("plain", batch_size=BATCH, hidden_dim=WIDTH)) == expected


@pytest.mark.parametrize("contender", ["td3_bc", "spar"])
def test_an_update_is_an_update(contender: str) -> None:
    """One of a hundred too, after which a training step is logged, with derivatives that the counter cannot follow."""
    one = count_flops(Setting(contender, batch_size=BATCH, hidden_dim=WIDTH))
    assert count_flops(Setting(contender, batch_size=BATCH, hidden_dim=WIDTH, updates_per_batch=100)) == one
