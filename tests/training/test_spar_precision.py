"""Under mixed precision candidates differ by less than bfloat16 holds: their ranking must survive."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from small_runs import fit
from torch import Tensor

from spar_lightning.algorithms.returns import ReturnSweep
from spar_lightning.algorithms.spar.improvement import SelfImitation
from spar_lightning.functional import latent_candidates, self_imitation_weights, weighted_mean
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import SPARModule
from spar_lightning.training.updates.stream import NetworkUnits, in_network_units


@pytest.fixture
def module(make_spar: Callable[..., SPARModule], datamodule: OfflineDataModule) -> SPARModule:
    """As wide as by default: averaging over many units is what keeps the noise of bfloat16 down."""
    module = make_spar(
        hidden_dims=(256, 256),
        critic_hidden_dims=(256, 256),
        warmup_steps=250,
        critic_tau=0.05,
        critic_learning_rate=1e-3,
    )
    fit(module, datamodule, max_steps=300)
    return module


def _rank_correlation(left: Tensor, right: Tensor) -> float:
    """Spearman's, over the first dimension, mean over the second."""
    ranks = [values.argsort(0).argsort(0).float() for values in (left, right)]
    centred = [rank - rank.mean(0) for rank in ranks]
    return (
        ((centred[0] * centred[1]).mean(0) / (centred[0].std(0, correction=0) * centred[1].std(0, correction=0)))
        .mean()
        .item()
    )


@torch.no_grad()
def test_bf16_ranks_candidates_as_float32_does(module: SPARModule, datamodule: OfflineDataModule) -> None:
    states = module.policy.locate(datamodule.transitions.observations[::8])
    latents = module.policy.actor(*states.inputs)
    candidates = latent_candidates(latents, torch.randn(7, *latents.shape), sigma=0.5, bound=2.0)
    improvement = module.algorithm.improvement
    assert isinstance(improvement, SelfImitation)
    _, exact = improvement.evaluate(states, candidates)
    with torch.autocast("cpu", torch.bfloat16):
        actions, mixed = improvement.evaluate(states, candidates)
    assert actions.dtype == mixed.dtype == torch.float32
    assert not torch.equal(exact, mixed)
    exact_mean, mixed_mean = exact.mean(0), mixed.mean(0)
    assert _rank_correlation(exact_mean, mixed_mean) > 0.88
    assert (exact_mean.argmax(0) == mixed_mean.argmax(0)).float().mean() > 0.75
    # What the policy would imitate is the same to within a few per cent of the step that it takes.
    target, mixed_target = (
        weighted_mean(self_imitation_weights(v, candidates, 0.5, 2.0), candidates) for v in (exact, mixed)
    )
    assert torch.cosine_similarity(target - latents, mixed_target - latents).mean() > 0.95

    # Values themselves rounded to bfloat16 would tie.
    def ties(values: Tensor) -> int:
        return sum(8 - len(state.unique()) for state in values.T)

    assert ties(mixed[0]) < 0.1 * ties(exact[0].bfloat16())


@pytest.mark.parametrize("critic_target", ["returns", "in_sample", "policy"])
def test_losses_are_float32_under_autocast(
    make_spar: Callable[..., SPARModule], datamodule: OfflineDataModule, critic_target: str
) -> None:
    module = make_spar(critic_target=critic_target)
    fit(module, datamodule, max_steps=10)
    spar, base = module.algorithm, module.base
    batch = in_network_units(datamodule.transitions.batch(slice(0, 64)), base.normalizer, module.device)
    noise = torch.randn(64, 6)
    with torch.autocast("cpu", torch.bfloat16):
        outcomes = [
            spar.regression_loss(batch),
            spar.manifold_loss(batch, noise),
            spar.improvement.loss(batch, torch.randn(3, 64, 6)),
            base.imitation_loss(batch),
        ]
        if spar.bootstrap is not None:
            outcomes.append(spar.bootstrapped_loss(batch, *([noise] if critic_target == "policy" else [])))
    for loss, metrics in outcomes:
        assert loss.dtype == torch.float32
        assert {metric.dtype for metric in metrics.values()} == {torch.float32}


def test_returns_are_swept_in_float32_whatever_the_precision(
    make_spar: Callable[..., SPARModule], datamodule: OfflineDataModule
) -> None:
    module = make_spar(hidden_dims=(64, 64), critic_hidden_dims=(64, 64))
    fit(module, datamodule, max_steps=12, precision="bf16-mixed")
    spar, transitions = module.algorithm, datamodule.transitions
    assert spar.num_sweeps == 2
    sweep = ReturnSweep(NetworkUnits(transitions, spar.normalizer, module.device), spar.discount, spar.trace_decay)
    with torch.no_grad():
        returns = sweep.bootstrapped(lambda states: spar.critics.unstandardized(spar.sweep_value(states)))
        expected = spar.critics.standardized(returns)
    assert torch.equal(transitions.column("returns"), expected)
