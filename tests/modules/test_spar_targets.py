"""Targets of the critic, by hand: networks are stubs whose values can be read off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spar_lightning.modules import BCModule, SPARModule
from spar_lightning.modules.residual_policy import States
from spar_lightning.types import DatasetStatistics, TransitionBatch


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
def base() -> BCModule:
    base = BCModule(2, 2, hidden_dims=(4,), deviation="constant")
    # Normalized observations are (o - 1) / 2, scaled actions a / 4.
    base.normalizer.fit(
        DatasetStatistics(torch.ones(2), 2 * torch.ones(2), -4 * torch.ones(2), 4 * torch.ones(2)),
    )
    return base


@pytest.fixture
def batch() -> TransitionBatch:
    """The middle of an episode, its termination, and a time-out."""
    return TransitionBatch(
        observations=torch.tensor([[1.0, 1.0], [3.0, 1.0], [5.0, 3.0]]),
        actions=torch.tensor([[4.0, 0.0], [2.0, 0.0], [0.0, 0.0]]),
        rewards=torch.tensor([1.0, 2.0, 3.0]),
        next_observations=torch.tensor([[3.0, 1.0], [5.0, 3.0], [7.0, 5.0]]),
        terminations=torch.tensor([0.0, 1.0, 0.0]),
        columns={
            "returns": torch.tensor([7.0, 8.0, 9.0]),
            "base_actions": torch.zeros(3, 2),
            "base_deviations": torch.ones(3, 2),
            "next_base_deviations": torch.ones(3, 2),
            "next_base_actions": torch.tensor([[0.1, 0.0], [0.2, 0.0], [0.3, -0.1]]),
        },
    )


def _module(base: BCModule, updates: int = 10, **settings: Any) -> SPARModule:
    module = SPARModule(
        base,
        hidden_dims=(4,),
        discount=0.5,
        warmup_steps=10,
        manifold="gaussian",
        target_noise=0.0,
        num_check_critics=0,
        **({"conservative_deviations": None} | settings),
    )
    module.return_mean.fill_(10.0)
    module.return_std.fill_(2.0)
    module.policy.residual_scale.copy_(torch.tensor([0.5, 0.25]))
    module.value = Stub(lambda observations: observations[:, 0])
    module.target_critic = Stub(_two_critics)
    module.policy.average_actor = Stub(lambda observations, base_actions: torch.tensor([[0.2, 0.4]]).expand(3, 2))
    module._updates = updates
    return module


def _targets(module: SPARModule, batch: TransitionBatch) -> tuple[list[float], list[float], float]:
    states = module._states(batch)
    target_q, value_target, expectile = module._critic_targets(
        batch, states, module.base.normalizer.scale(batch.actions)
    )
    assert not target_q.requires_grad
    return target_q.tolist(), value_target.tolist(), expectile


def test_in_sample_targets(base: BCModule, batch: TransitionBatch) -> None:
    target_q, value_target, expectile = _targets(_module(base, critic_target="in_sample"), batch)
    # V(s') standardized is 1, 2, 3: 12, 14, 16 as rewards. 1 + 0.5 * 12 = 7; 2; 3 + 0.5 * 16 = 11; minus 10, over 2.
    assert target_q == pytest.approx([-1.5, -4.0, 0.5])
    # min Q(s, a): sums are 0 + 1 = 1; 1 + 0.5 = 1.5; 2 + 1 + 0 = 3.
    assert value_target == pytest.approx([1.0, 1.5, 3.0])
    assert expectile == 0.7


def test_policy_targets(base: BCModule, batch: TransitionBatch) -> None:
    target_q, value_target, expectile = _targets(_module(base, critic_target="policy"), batch)
    # Next actions are base + (0.5 * 0.2, 0.25 * 0.4) = base + (0.1, 0.1): sums 0.3, 0.4, 0.4; those of the normalized
    # next observations 1, 3, 5. Q: 1.3, 3.4, 5.4, as rewards 12.6, 16.8, 20.8: targets 7.3, 2, 13.4.
    assert target_q == pytest.approx([-1.35, -4.0, 1.7], abs=1e-6)
    assert value_target == pytest.approx(target_q)
    assert expectile == 0.5


def test_policy_targets_with_deviations_below_the_mean(base: BCModule, batch: TransitionBatch) -> None:
    module = _module(base, critic_target="policy", conservative_deviations=2.0)
    # Critics 1.3 and 2.6: mean 1.95, std 0.65: 0.65; as a reward 11.3, target 1 + 5.65 = 6.65.
    assert _targets(module, batch)[0][0] == pytest.approx((6.65 - 10) / 2, abs=1e-6)


def test_policy_targets_add_noise_inside_the_box(base: BCModule, batch: TransitionBatch) -> None:
    module = _module(base, critic_target="policy", sigma=1e6)
    module.hparams["target_noise"] = 1.0
    # Latents end at the corners (+-2, +-2), so that the first next action is (0.1, 0) + (+-1, +-0.5), clipped to 1.
    # With 1 for the observation: 1 + (1 or -0.9) + (0.5 or -0.5); the minimum doubles what is negative.
    possible = {2.5, 1.5, 0.6, -0.8}
    found = set()
    for _ in range(30):
        target_q = _targets(module, batch)[0][0]
        next_value = (target_q * 2 + 10 - 1) / 0.5  # as a reward: 10 + 2 * Q
        found.add(round((next_value - 10) / 2, 3))
    assert found == possible


@pytest.mark.parametrize(
    ("critic_target", "updates"), [("returns", 0), ("returns", 10), ("in_sample", 9), ("policy", 9)]
)
def test_targets_are_the_column_of_returns(
    base: BCModule, batch: TransitionBatch, critic_target: str, updates: int
) -> None:
    module = _module(base, updates, critic_target=critic_target, expectile=0.6)
    if critic_target == "returns":
        module.target_critic = None
    assert _targets(module, batch) == ([7.0, 8.0, 9.0], [7.0, 8.0, 9.0], 0.6)


def test_critic_loss_by_hand(base: BCModule, batch: TransitionBatch) -> None:
    module = _module(base, critic_target="in_sample")
    module.critic = Stub(_two_critics)
    states = module._states(batch)
    loss, metrics = module.critic_loss(batch, states, base.normalizer.scale(batch.actions))
    # Q 1, 1.5, 3 against -1.5, -4, 0.5: errors 2.5, 5.5, 2.5; twice Q: 3.5, 7, 5.5.
    q_loss = (6.25 + 30.25 + 6.25 + 12.25 + 49 + 30.25) / 3
    # V 0, 1, 2 below min Q 1, 1.5, 3: 0.7 * (1 + 0.25 + 1) / 3.
    assert metrics["critic/loss"].item() == pytest.approx(q_loss, rel=1e-5)
    assert loss.item() == pytest.approx(q_loss + 0.7 * 2.25 / 3, rel=1e-5)


def test_fit_loss_standardizes_residuals(base: BCModule) -> None:
    module = SPARModule(base, hidden_dims=(4,), latent_dim=2, beta=0.5)
    seen: list[Tensor] = []

    def encode(observations: Tensor, base_actions: Tensor, residuals: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(residuals)
        return torch.ones(1, 2), torch.full((1, 2), -50.0)

    module.policy.manifold.encode = encode  # type: ignore[method-assign]
    module.policy.manifold.decode = lambda observations, base_actions, latents: latents  # type: ignore[method-assign]
    states = States(torch.zeros(1, 2), torch.tensor([[0.1, 0.2]]), torch.tensor([[0.5, 0.25]]))
    _, metrics = module.fit_loss(states, torch.tensor([[0.6, -0.3]]))
    # (0.6 - 0.1) / 0.5 = 1 and (-0.3 - 0.2) / 0.25 = -2; decoded 1, 1: squared errors 0 + 9.
    assert torch.allclose(seen[0], torch.tensor([[1.0, -2.0]]))
    assert metrics["fit/reconstruction"].item() == pytest.approx(9.0, rel=1e-5)


def test_actions_by_hand(base: BCModule) -> None:
    module = _module(base)
    states = States(torch.zeros(2, 2), torch.tensor([[0.5, 0.5], [-0.5, 0.0]]), SCALES.expand(2, 2))
    actions = module.policy(states, torch.tensor([[2.0, -1.0], [1.0, 2.0]]))
    # 0.5 + 0.5 * 2 = 1.5 is clipped; 0.5 - 0.25; -0.5 + 0.5; 0.25 * 2
    assert actions.tolist() == [[1.0, 0.25], [0.0, 0.5]]
    assert module.policy.decode(states, torch.tensor([[2.0, -1.0], [1.0, 2.0]]))[0, 0] == 1.5
    with torch.no_grad():
        # The stub's latents (0.2, 0.4) move the base's action by (0.1, 0.1), in units of 4.
        observations = torch.randn(3, 2)
        expected = (base.act(observations) / 4 + 0.1).clamp(-1, 1) * 4
    assert torch.allclose(module.act(observations), expected, atol=1e-6)


def test_values_of_candidates_belong_to_their_states(base: BCModule) -> None:
    module = _module(base)
    module.average_critic = Stub(_two_critics)
    states = States(
        torch.tensor([[1.0, 0.0], [10.0, 0.0]]), torch.tensor([[0.0, 0.1], [0.2, 0.0]]), SCALES.expand(2, 2)
    )
    candidates = torch.tensor([[[0.0, 0.0], [0.2, 0.0]], [[1.0, 0.0], [0.0, 0.4]], [[0.0, 2.0], [0.4, 0.4]]])
    actions, values = module._evaluate(states, candidates)
    # rho (0.5, 0.25): residuals' sums 0, 0.1; 0.5, 0.1; 0.5, 0.3, on 1.1 and 10.2
    assert actions.shape == (3, 2, 2)
    first = torch.tensor([[1.1, 10.3], [1.6, 10.3], [1.6, 10.5]])
    assert torch.allclose(values, torch.stack([first, 2 * first]))
    assert torch.allclose(actions[1], torch.tensor([[0.5, 0.1], [0.2, 0.1]]))


def test_the_actor_never_takes_a_gradient_of_the_critic(base: BCModule) -> None:
    module = SPARModule(base, hidden_dims=(4,))
    states = States(torch.randn(5, 2), torch.rand(5, 2), torch.ones(5, 2))
    loss, _ = module.actor_loss(states)
    loss.backward()
    with_gradient = {name.split(".")[0] for name, weight in module.policy.named_parameters() if weight.grad is not None}
    assert with_gradient == {"actor"}
    assert all(weight.grad is None for weight in [*module.critic.parameters(), *module.average_critic.parameters()])


def test_actor_loss_by_hand(base: BCModule, monkeypatch: pytest.MonkeyPatch) -> None:
    module = _module(base, num_candidates=2, sigma=0.5, kappa=4.0)
    module.policy.actor = Stub(lambda observations, base_actions: torch.zeros(1, 2), bound=2.0)
    module.average_critic = Stub(_two_critics)
    monkeypatch.setattr(torch, "randn", lambda *shape, device=None: torch.full(shape, 2.0))
    states = States(torch.tensor([[1.0, 1.0]]), torch.zeros(1, 2), SCALES)
    loss, metrics = module.actor_loss(states)
    # Candidates (0, 0) and (1, 1): actions (0, 0) and (0.5, 0.25), values 2 and 2.75 and twice that. Means 3 and
    # 4.125, stds 0.375 and 0.75: slope 1.125, which is the mean's own, since both critics agree:
    # J = 4 * -0.5625 / 1.125 = -2 and 2 - 1 = 1; std 1.5, weights softmax(-4/3, 2/3): a difference of 2.
    second = 1 / (1 + torch.e**-2)
    assert metrics["actor/weights"].squeeze(1).tolist() == pytest.approx([1 - second, second], rel=1e-4)
    # The target is second * (1, 1), the policy at (0, 0).
    assert loss.item() == pytest.approx(2 * second**2, rel=1e-4)

    module.hparams["regression"] = "residual"
    # Weighted action second * (0.5, 0.25), over rho second * (1, 1): the same number.
    assert module.actor_loss(states)[0].item() == pytest.approx(2 * second**2, rel=1e-4)
