"""Implicit Q-learning: its targets, weights and losses by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_runs import HIDDEN, Stub, fit
from torch import Tensor, nn

from spar_lightning.algorithms import IQL, Batch
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import IQLModule


class ByFirst(nn.Module):
    """A state value: the first dimension."""

    def forward(self, observations: Tensor) -> Tensor:
        return observations[:, 0]


@pytest.fixture
def batch() -> Batch:
    """The middle of an episode and its termination."""
    return Batch(
        observations=torch.tensor([[1.0, 0.0], [4.0, 0.0]]),
        actions=torch.tensor([[0.5], [-0.5]]),
        rewards=torch.tensor([1.0, 2.0]),
        next_observations=torch.tensor([[6.0, 0.0], [8.0, 0.0]]),
        terminations=torch.tensor([0.0, 1.0]),
        columns={},
    )


@pytest.fixture
def iql() -> IQL:
    iql: Any = IQL(2, 1, hidden_dims=(4,), discount=0.5, expectile=0.7, beta=3.0)
    iql.value = ByFirst()
    iql.target_critic = Stub(torch.tensor([[3.0, 2.0], [5.0, 1.0]]))
    iql.critic = Stub(torch.tensor([[4.0, 2.0], [5.0, 5.0]]))
    return iql  # type: ignore[no-any-return]


def test_targets_and_advantages(iql: IQL, batch: Batch) -> None:
    value_target, target_q, advantages = iql.targets(batch)
    assert value_target.tolist() == [3.0, 1.0]  # the smaller target critic
    assert target_q.tolist() == [4.0, 2.0]  # 1 + 0.5 * V(s') = 1 + 3; a termination is its reward
    assert advantages.tolist() == [2.0, -3.0]  # less V(s) = 1 and 4


def test_loss_of_critics_and_value(iql: IQL, batch: Batch) -> None:
    loss, metrics = iql.critic_loss(batch)
    # Critics 4, 2 and 5, 5 against 4, 2: (0 + 0 + 1 + 9) / 2; V 1, 4 against 3, 1: 0.7 * 4 and 0.3 * 9, halved.
    assert metrics["critic/loss"].item() == pytest.approx(5.0)
    assert metrics["value/loss"].item() == pytest.approx((0.7 * 4 + 0.3 * 9) / 2)
    assert loss.item() == pytest.approx(5.0 + (0.7 * 4 + 0.3 * 9) / 2)


def test_loss_of_the_actor(iql: IQL, batch: Batch) -> None:
    actor: Any = Stub(torch.zeros(2, 1))
    iql.actor = actor
    loss, metrics = iql.actor_loss(batch, torch.tensor([2.0, -0.1]))
    # e^6 is more than 100; the Gaussian's deviation is 1: half of 0.25 each.
    weights = [100.0, torch.tensor(-0.3).exp().item()]
    assert metrics["actor/weights"].tolist() == pytest.approx(weights)
    assert loss.item() == pytest.approx(sum(weights) * 0.125 / 2)
    loss.backward()  # type: ignore[no-untyped-call]
    # d/d log sigma of (a^2 / (2 sigma^2) + log sigma) is 1 - a^2 = 0.75
    (log_std,) = iql.log_std
    assert log_std.grad is not None
    assert log_std.grad.item() == pytest.approx(0.75 * sum(weights) / 2)


def test_the_actors_rate_falls_by_a_cosine(iql: IQL) -> None:
    factor = iql.optimizers(100)["actor"].factor
    assert factor is not None
    assert [factor(update) for update in (0, 50, 100)] == pytest.approx([1.0, 0.5, 0.0])
    assert iql.optimizers(-1)["actor"].factor(10**9) == 1.0  # type: ignore[misc]
    assert iql.optimizers(100)["critic"].factor is None


def test_a_toy_is_learned(datamodule: OfflineDataModule) -> None:
    # The reward of a transition is the first dimension of its action, and every transition ends its episode.
    datamodule.setup()
    transitions = datamodule.transitions
    transitions.set_column("rewards", transitions.actions[:, 0].clone())
    transitions.set_column("terminations", torch.ones(len(transitions)))
    scores = {}
    for beta in (0.0, 10.0):
        torch.manual_seed(0)
        module = IQLModule(
            11, 3, hidden_dims=HIDDEN, beta=beta, expectile=0.5, learning_rate=3e-3, actor_learning_rate=3e-3
        )
        fit(module, datamodule, max_steps=600)
        scores[beta] = module.act(transitions.observations[:500])[:, 0].mean().item()
    assert scores[0.0] == pytest.approx(transitions.actions[:500, 0].mean().item(), abs=0.15)
    assert scores[10.0] > scores[0.0] + 0.2
