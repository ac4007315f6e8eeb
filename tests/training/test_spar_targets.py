"""SPAR's targets and losses, by hand: networks are stubs whose values can be read off."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spar_lightning.algorithms import BC, SPAR, Batch
from spar_lightning.algorithms.spar.improvement import SelfImitation, ValueGradient
from spar_lightning.algorithms.spar.policy import States
from spar_lightning.types import DatasetStatistics


class Stub(nn.Module):
    """A network that is a given function."""

    def __init__(self, function: Callable[..., Tensor], **attributes: Any) -> None:
        super().__init__()
        self.function = function
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


SCALES = torch.tensor([[0.5, 0.25]])


def _two_critics(observations: Tensor, actions: Tensor) -> Tensor:
    """The sum of all inputs, and twice it: the minimum is the first where the sum is positive."""
    total = observations.sum(1) + actions.sum(1)
    return torch.stack([total, 2 * total])


@pytest.fixture
def base() -> BC:
    base = BC(2, 2, hidden_dims=(4,), deviation="constant")
    # Normalized observations are (o - 1) / 2, scaled actions a / 4.
    base.normalizer.fit(
        DatasetStatistics(torch.ones(2), 2 * torch.ones(2), -4 * torch.ones(2), 4 * torch.ones(2)),
    )
    return base


@pytest.fixture
def batch() -> Batch:
    """The middle of an episode, its termination, and a time-out, in the networks' units."""
    return Batch(
        observations=torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 1.0]]),
        actions=torch.tensor([[1.0, 0.0], [0.5, 0.0], [0.0, 0.0]]),
        rewards=torch.tensor([1.0, 2.0, 3.0]),
        next_observations=torch.tensor([[1.0, 0.0], [2.0, 1.0], [3.0, 2.0]]),
        terminations=torch.tensor([0.0, 1.0, 0.0]),
        columns={
            "returns": torch.tensor([7.0, 8.0, 9.0]),
            "base_actions": torch.zeros(3, 2),
            "base_deviations": torch.ones(3, 2),
            "next_base_deviations": torch.ones(3, 2),
            "next_base_actions": torch.tensor([[0.1, 0.0], [0.2, 0.0], [0.3, -0.1]]),
        },
    )


def _spar(base: BC, **settings: Any) -> SPAR:
    spar = SPAR(
        base,
        hidden_dims=(4,),
        discount=0.5,
        warmup_steps=10,
        manifold="gaussian",
        num_check_critics=0,
        step=0.5,
        **({"conservative_deviations": None, "target_noise": 0.0} | settings),
    )
    critics: Any = spar.critics
    critics.return_mean.fill_(10.0)
    critics.return_std.fill_(2.0)
    critics.value = Stub(lambda observations: observations[:, 0])
    critics.target_critic = Stub(_two_critics)
    spar.policy.residual_scale.copy_(torch.tensor([0.5, 0.25]))
    average: Any = Stub(lambda observations, base_actions: torch.tensor([[0.4, 0.8]]).expand(len(observations), 2))
    spar.policy.average_actor = average
    return spar


def _targets(spar: SPAR, batch: Batch, *noise: Tensor) -> tuple[list[float], list[float], float]:
    kind: Any = spar.bootstrap or spar.returns
    target_q, value_target, expectile = kind(batch, *noise)
    assert not target_q.requires_grad
    return target_q.tolist(), value_target.tolist(), expectile


def test_in_sample_targets(base: BC, batch: Batch) -> None:
    target_q, value_target, expectile = _targets(_spar(base, critic_target="in_sample"), batch)
    # V(s') standardized is 1, 2, 3: 12, 14, 16 as rewards. 1 + 0.5 * 12 = 7; 2; 3 + 0.5 * 16 = 11; minus 10, over 2.
    assert target_q == pytest.approx([-1.5, -4.0, 0.5])
    # min Q(s, a): sums are 0 + 1 = 1; 1 + 0.5 = 1.5; 2 + 1 + 0 = 3.
    assert value_target == pytest.approx([1.0, 1.5, 3.0])
    assert expectile == 0.7


def test_policy_targets(base: BC, batch: Batch) -> None:
    target_q, value_target, expectile = _targets(_spar(base, critic_target="policy"), batch, torch.randn(3, 2))
    # Half of the actor's latents: next actions are base + (0.5 * 0.2, 0.25 * 0.4) = base + (0.1, 0.1): sums 0.3, 0.4,
    # 0.4; those of the normalized next observations 1, 3, 5. Q: 1.3, 3.4, 5.4, as rewards 12.6, 16.8, 20.8: targets
    # 7.3, 2, 13.4.
    assert target_q == pytest.approx([-1.35, -4.0, 1.7], abs=1e-6)
    assert value_target == pytest.approx(target_q)
    assert expectile == 0.5


def test_policy_targets_with_deviations_below_the_mean(base: BC, batch: Batch) -> None:
    spar = _spar(base, critic_target="policy", conservative_deviations=2.0)
    # Critics 1.3 and 2.6: mean 1.95, std 0.65: 0.65; as a reward 11.3, target 1 + 5.65 = 6.65.
    assert _targets(spar, batch, torch.randn(3, 2))[0][0] == pytest.approx((6.65 - 10) / 2, abs=1e-6)


def test_policy_targets_add_noise_inside_the_box(base: BC, batch: Batch) -> None:
    spar = _spar(base, critic_target="policy", sigma=1e6, target_noise=1.0)
    # Latents end at the corners (+-2, +-2), so that the first next action is (0.1, 0) + (+-1, +-0.5), clipped to 1.
    # With 1 for the observation: 1 + (1 or -0.9) + (0.5 or -0.5); the minimum doubles what is negative.
    possible = {2.5, 1.5, 0.6, -0.8}
    found = set()
    for _ in range(30):
        target_q = _targets(spar, batch, torch.randn(3, 2))[0][0]
        next_value = (target_q * 2 + 10 - 1) / 0.5  # as a reward: 10 + 2 * Q
        found.add(round((next_value - 10) / 2, 3))
    assert found == possible


def test_targets_are_the_column_of_returns(base: BC, batch: Batch) -> None:
    assert _targets(_spar(base, expectile=0.6), batch) == ([7.0, 8.0, 9.0], [7.0, 8.0, 9.0], 0.6)


@pytest.mark.parametrize(("critic_target", "bootstraps"), [("returns", False), ("in_sample", True), ("policy", True)])
def test_bootstrapping_begins_after_the_warm_up(base: BC, critic_target: str, bootstraps: bool) -> None:
    spar = _spar(base, critic_target=critic_target)
    assert not spar.phase(9).bootstraps
    assert spar.phase(10).bootstraps is bootstraps


def test_critic_loss_by_hand(base: BC, batch: Batch) -> None:
    spar = _spar(base, critic_target="in_sample")
    critics: Any = spar.critics
    critics.critic = Stub(_two_critics)
    loss, metrics = spar.bootstrapped_loss(batch)
    # Q 1, 1.5, 3 against -1.5, -4, 0.5: errors 2.5, 5.5, 2.5; twice Q: 3.5, 7, 5.5.
    q_loss = (6.25 + 30.25 + 6.25 + 12.25 + 49 + 30.25) / 3
    # V 0, 1, 2 below min Q 1, 1.5, 3: 0.7 * (1 + 0.25 + 1) / 3.
    assert metrics["critic/loss"].item() == pytest.approx(q_loss, rel=1e-5)
    assert loss.item() == pytest.approx(q_loss + 0.7 * 2.25 / 3, rel=1e-5)
    loss, metrics = spar.regression_loss(batch)
    # Q against 7, 8, 9: errors 6, 6.5, 6; twice Q: 5, 5, 3.
    q_loss = (36 + 42.25 + 36 + 25 + 25 + 9) / 3
    assert metrics["critic/loss"].item() == pytest.approx(q_loss, rel=1e-5)
    # V 0, 1, 2: errors 7, each squared and halved.
    assert loss.item() == pytest.approx(q_loss + 0.5 * 49, rel=1e-5)


def test_the_manifolds_loss_standardizes_residuals(base: BC, batch: Batch) -> None:
    spar = SPAR(base, hidden_dims=(4,), latent_dim=2, beta=0.5)
    spar.policy.residual_scale.copy_(torch.tensor([0.5, 0.25]))
    seen: list[Tensor] = []

    def encode(observations: Tensor, base_actions: Tensor, residuals: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(residuals)
        return torch.ones(1, 2), torch.full((1, 2), -50.0)

    manifold: Any = spar.policy.manifold
    manifold.encode, manifold.decode = encode, lambda observations, base_actions, latents: latents
    columns = {"base_actions": torch.tensor([[0.1, 0.2]]), "base_deviations": torch.ones(1, 2)}
    batch = batch.rows(slice(1))._replace(actions=torch.tensor([[0.6, -0.3]]), columns=columns)
    _, metrics = spar.manifold_loss(batch, torch.randn(1, 2))
    # (0.6 - 0.1) / 0.5 = 1 and (-0.3 - 0.2) / 0.25 = -2; decoded 1, 1: squared errors 0 + 9.
    assert torch.allclose(seen[0], torch.tensor([[1.0, -2.0]]))
    assert metrics["fit/reconstruction"].item() == pytest.approx(9.0, rel=1e-5)


def test_the_manifolds_fit_prefers_what_went_well(base: BC, batch: Batch) -> None:
    spar = SPAR(base, hidden_dims=(4,), latent_dim=2, beta=0.0, fit_temperature=0.5)
    manifold: Any = spar.policy.manifold
    manifold.encode = lambda *_: (torch.zeros(3, 2), torch.zeros(3, 2))
    manifold.decode = lambda *_: torch.zeros(3, 2)
    critics: Any = spar.critics
    critics.value = Stub(lambda observations: torch.tensor([1.0, 5.0, -2.0]))
    columns = {"base_actions": torch.zeros(3, 2), "base_deviations": torch.ones(3, 2)}
    columns["returns"] = torch.tensor([1.0, 4.0, -1.0])  # advantages 0, -1, 1, of deviation 0.8165
    actions = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    loss, metrics = spar.manifold_loss(batch._replace(actions=actions, columns=columns), torch.zeros(3, 2))
    weights = [math.exp(one / (0.5 * math.sqrt(2 / 3))) for one in (0.0, -1.0, 1.0)]
    expected = sum(weight * error for weight, error in zip(weights, (1.0, 4.0, 9.0), strict=True)) / sum(weights)
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert metrics["fit/reconstruction"].item() == pytest.approx(expected, rel=1e-4)


def test_actions_by_hand(base: BC) -> None:
    spar = _spar(base)
    states = States(torch.zeros(2, 2), torch.tensor([[0.5, 0.5], [-0.5, 0.0]]), SCALES.expand(2, 2))
    actions = spar.policy(states, torch.tensor([[2.0, -1.0], [1.0, 2.0]]))
    # 0.5 + 0.5 * 2 = 1.5 is clipped; 0.5 - 0.25; -0.5 + 0.5; 0.25 * 2
    assert actions.tolist() == [[1.0, 0.25], [0.0, 0.5]]
    assert spar.policy.decode(states, torch.tensor([[2.0, -1.0], [1.0, 2.0]]))[0, 0] == 1.5
    # Half of the stub's latents, (0.2, 0.4), moves the base's action by (0.1, 0.1), in units of 4.
    observations = torch.randn(3, 2)
    expected = (base.act(observations) / 4 + 0.1).clamp(-1, 1) * 4
    assert torch.allclose(spar.act(observations), expected, atol=1e-6)


def _self_imitation(spar: SPAR) -> SelfImitation:
    assert isinstance(spar.improvement, SelfImitation)
    return spar.improvement


def test_values_of_candidates_belong_to_their_states(base: BC) -> None:
    spar = _spar(base)
    critics: Any = spar.critics
    critics.average_critic = Stub(_two_critics)
    states = States(
        torch.tensor([[1.0, 0.0], [10.0, 0.0]]), torch.tensor([[0.0, 0.1], [0.2, 0.0]]), SCALES.expand(2, 2)
    )
    candidates = torch.tensor([[[0.0, 0.0], [0.2, 0.0]], [[1.0, 0.0], [0.0, 0.4]], [[0.0, 2.0], [0.4, 0.4]]])
    actions, values = _self_imitation(spar).evaluate(states, candidates)
    # rho (0.5, 0.25): residuals' sums 0, 0.1; 0.5, 0.1; 0.5, 0.3, on 1.1 and 10.2
    assert actions.shape == (3, 2, 2)
    first = torch.tensor([[1.1, 10.3], [1.6, 10.3], [1.6, 10.5]])
    assert torch.allclose(values, torch.stack([first, 2 * first]))
    assert torch.allclose(actions[1], torch.tensor([[0.5, 0.1], [0.2, 0.1]]))


def test_a_saturated_action_is_drawn_back_to_better_ones(base: BC, batch: Batch) -> None:
    spar = _spar(base, num_candidates=2, sigma=0.5, kappa=4.0)
    critics: Any = spar.critics
    policy: Any = spar.policy
    latents = torch.tensor([[2.0, 0.0]], requires_grad=True)
    policy.actor = Stub(lambda observations, base_actions: latents, bound=4.0)
    critics.average_critic = Stub(lambda _, actions: -torch.stack([actions.sum(1)] * 2))
    columns = {**batch.columns, "base_actions": torch.tensor([[0.9, 0.0]])}
    batch = batch._replace(columns={name: column[:1] for name, column in columns.items()}).rows(slice(1))
    loss, _ = _self_imitation(spar).loss(batch, torch.tensor([[[-8.0, 0.0]]]))
    loss.backward()  # type: ignore[no-untyped-call]
    # The policy's own action is 0.9 + 0.5 * 2, clipped to 1; the better candidate's 0.9 - 0.5 * 2: down.
    assert latents.grad is not None
    assert latents.grad[0, 0] > 0.1


def test_the_actor_never_takes_a_gradient_of_the_critic(base: BC, batch: Batch) -> None:
    spar = SPAR(base, hidden_dims=(4,))
    spar.policy.freeze_manifold()
    loss, _ = _self_imitation(spar).loss(batch, torch.randn(7, 3, 4))
    loss.backward()  # type: ignore[no-untyped-call]
    with_gradient = {name.split(".")[0] for name, weight in spar.policy.named_parameters() if weight.grad is not None}
    assert with_gradient == {"actor"}
    assert all(weight.grad is None for weight in spar.critics.parameters())


@pytest.mark.parametrize("regression", ["latent", "residual"])
def test_the_loss_of_self_imitation_by_hand(base: BC, batch: Batch, regression: str) -> None:
    spar = _spar(base, num_candidates=2, sigma=0.5, kappa=4.0, regression=regression)
    critics: Any = spar.critics
    policy: Any = spar.policy
    policy.actor = Stub(lambda observations, base_actions: torch.zeros(1, 2), bound=2.0)
    critics.average_critic = Stub(_two_critics)
    batch = batch.rows(slice(1))._replace(observations=torch.tensor([[1.0, 1.0]]))
    loss, metrics = _self_imitation(spar).loss(batch, torch.full((1, 1, 2), 2.0))
    # Candidates (0, 0) and (1, 1): actions (0, 0) and (0.5, 0.25), values 2 and 2.75 and twice that. Means 3 and
    # 4.125, stds 0.375 and 0.75: slope 1.125, which is the mean's own, since both critics agree:
    # J = 4 * -0.5625 / 1.125 = -2 and 2 - 1 = 1; std 1.5, weights softmax(-4/3, 2/3): a difference of 2.
    second = 1 / (1 + torch.e**-2)
    assert metrics["actor/weights"].squeeze(1).tolist() == pytest.approx([1 - second, second], rel=1e-4)
    # The target is second * (1, 1), the policy at (0, 0). As an action it is second * (0.5, 0.25), over rho the same.
    assert loss.item() == pytest.approx(2 * second**2, rel=1e-4)


def test_the_loss_of_the_value_gradient_by_hand(base: BC, batch: Batch) -> None:
    spar = _spar(base, improvement="value_gradient", kappa=1.4)
    critics: Any = spar.critics
    policy: Any = spar.policy
    policy.actor = Stub(lambda observations, base_actions: torch.zeros(len(observations), 2), bound=2.0)
    critics.average_critic = Stub(lambda _, actions: torch.stack([actions.sum(1), -0.5 * actions.sum(1)]))
    assert isinstance(spar.improvement, ValueGradient)
    loss, _ = spar.improvement.loss(batch.rows(slice(2)))
    # Gradients rho = (0.5, 0.25) and -0.5 of it: their mean is 0.25 of it, the mean of their sizes 0.75 of its size.
    # So the target is a third of what it were if both critics agreed: 1.4 / 3 along rho.
    assert loss.item() == pytest.approx((1.4 / 3) ** 2, rel=1e-4)
