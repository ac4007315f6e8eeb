"""ReBRAC: the data's next actions, and its targets and losses by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_runs import HIDDEN, Stub, fit

from spar_lightning.algorithms import Batch, ReBRAC, rebrac
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import ReBRACModule


@pytest.fixture
def batch() -> Batch:
    """The middle of an episode, its termination, and a time-out."""
    return Batch(
        observations=torch.zeros(3, 2),
        actions=torch.tensor([[0.5, 0.0], [0.0, 0.0], [0.0, 0.5]]),
        rewards=torch.tensor([1.0, 2.0, 3.0]),
        next_observations=torch.zeros(3, 2),
        terminations=torch.tensor([0.0, 1.0, 0.0]),
        columns={"next_actions": torch.full((3, 2), 0.5), "has_next_action": torch.tensor([1.0, 0.0, 0.0])},
    )


@pytest.fixture
def algorithm() -> ReBRAC:
    found: Any = ReBRAC(2, 2, hidden_dims=(4,), discount=0.5, actor_penalty=0.1, critic_penalty=2.0)
    found.target_actor = Stub(torch.zeros(3, 2))
    found.target_critic = Stub(torch.tensor([[10.0, 10.0, 10.0], [8.0, 20.0, 12.0]]))
    found.critic = Stub(torch.tensor([[2.0, 2.0, 4.0], [4.0, 3.0, 5.0]]))
    return found  # type: ignore[no-any-return]


def test_targets_are_penalized_where_there_is_a_next_action(algorithm: ReBRAC, batch: Batch) -> None:
    _, metrics = algorithm.critic_loss(batch, torch.zeros(3, 2))
    # 8 - 2 * 0.5 = 7, so 1 + 3.5; a termination is its reward; a time-out has no next action: 3 + 0.5 * 10.
    assert metrics["critic/target_q"].tolist() == [4.5, 2.0, 8.0]
    _, metrics = algorithm.critic_loss(batch, torch.full((3, 2), 100.0))
    # The noise is clipped to 0.5, which is the data's own next action: no penalty is left.
    assert metrics["critic/target_q"].tolist() == [5.0, 2.0, 8.0]


def test_loss_of_the_critics(algorithm: ReBRAC, batch: Batch) -> None:
    loss, _ = algorithm.critic_loss(batch, torch.zeros(3, 2))
    assert loss.item() == pytest.approx((2.5**2 + 0 + 4**2) / 3 + (0.5**2 + 1 + 3**2) / 3)


def test_loss_of_the_actor(algorithm: ReBRAC, batch: Batch) -> None:
    actor: Any = Stub(torch.zeros(3, 2))
    algorithm.actor = actor
    loss, metrics = algorithm.actor_loss(batch)
    assert metrics["critic/q_policy"].tolist() == [2.0, 2.0, 4.0]  # the smaller critic
    # Squared distances 0.25, 0, 0.25; the value is divided by its own size.
    assert loss.item() == pytest.approx(0.1 * 0.5 / 3 - 1.0, abs=1e-5)


@pytest.mark.parametrize("piece", [7, 65_536])
def test_the_column_of_next_actions(datamodule: OfflineDataModule, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(rebrac, "PIECE", piece)
    fit(ReBRACModule(11, 3, hidden_dims=HIDDEN), datamodule, max_steps=1)
    transitions = datamodule.transitions
    goes_on = transitions.column("has_next_action") == 1
    assert torch.equal(goes_on, ~transitions.episode_ends)
    (rows,) = torch.where(goes_on)
    expected = transitions.actions[rows + 1].clamp(-1, 1)
    assert torch.allclose(transitions.column("next_actions")[rows], expected, atol=1e-6)


def test_a_toy_is_learned(datamodule: OfflineDataModule) -> None:
    # The reward of a transition is the first dimension of its action, and every transition ends its episode.
    datamodule.setup()
    transitions = datamodule.transitions
    transitions.set_column("rewards", transitions.actions[:, 0].clone())
    transitions.set_column("terminations", torch.ones(len(transitions)))
    scores = {}
    for penalty in (0.3, 10.0):
        torch.manual_seed(0)
        module = ReBRACModule(11, 3, hidden_dims=HIDDEN, actor_penalty=penalty)
        fit(module, datamodule, max_steps=600)
        scores[penalty] = module.act(transitions.observations[:500])[:, 0].mean().item()
    assert scores[0.3] > scores[10.0] + 0.3
