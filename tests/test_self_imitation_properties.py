"""What holds of the target of latent self-imitation whatever the critics say."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spar_lightning import functional as SF

FEW = settings(max_examples=60, deadline=None, derandomize=True, database=None)
SIGMA, BOUND = 0.5, 2.0

sizes = st.tuples(st.integers(1, 4), st.integers(2, 9), st.integers(1, 5), st.integers(1, 6))


def landscape(size: tuple[int, int, int, int], seed: int) -> tuple[Tensor, Tensor]:
    """Values (C, K, B) and candidates (K, B, L), around latents in the box."""
    critics, count, states, width = size
    random = torch.Generator().manual_seed(seed)
    latents = (torch.rand(states, width, generator=random) * 2 - 1) * BOUND
    noise = torch.randn(count - 1, states, width, generator=random)
    return torch.randn(critics, count, states, generator=random), SF.latent_candidates(latents, noise, SIGMA, BOUND)


@FEW
@given(sizes, st.integers(0, 2**31), st.floats(0, 10))
def test_the_target_is_in_the_box_and_in_the_hull(size: tuple[int, int, int, int], seed: int, kappa: float) -> None:
    values, candidates = landscape(size, seed)
    weights = SF.self_imitation_weights(values, candidates, SIGMA, kappa)
    target = SF.weighted_mean(weights, candidates)
    assert (weights >= 0).all()
    assert torch.allclose(weights.sum(0), torch.ones(size[2]), atol=1e-5)
    assert (target.abs() <= BOUND * (1 + 1e-5)).all()
    # In the hull: along no direction is it beyond all candidates.
    directions = torch.randn(20, size[3], generator=torch.Generator().manual_seed(seed))
    reached, found = candidates @ directions.T, target @ directions.T
    assert (found <= reached.amax(0) + 1e-4).all()
    assert (found >= reached.amin(0) - 1e-4).all()


@FEW
@given(sizes, st.integers(0, 2**31), st.floats(0.1, 1000), st.floats(-100, 100))
def test_the_target_knows_no_unit_of_the_reward(
    size: tuple[int, int, int, int], seed: int, scale: float, shift: float
) -> None:
    values, candidates = landscape(size, seed)
    one = SF.self_imitation_weights(values.double(), candidates, SIGMA, 1.4)
    other = SF.self_imitation_weights(scale * (values.double() + shift), candidates, SIGMA, 1.4)
    assert torch.allclose(one, other, atol=1e-2)


@FEW
@given(sizes, st.integers(0, 2**31))
def test_agreement_is_a_share(size: tuple[int, int, int, int], seed: int) -> None:
    values, _ = landscape(size, seed)
    assert -1e-6 <= float(SF.agreement(values)) <= 1 + 1e-6
