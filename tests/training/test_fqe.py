"""Fitted Q evaluation: its targets, columns and first weights by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_runs import HIDDEN, Stub
from torch import Tensor

from spar_lightning.algorithms.algorithm import Batch
from spar_lightning.algorithms.fqe import FQE
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training.alone import train_alone
from spar_lightning.training.updates.stream import NetworkUnits


class Still:
    """Takes the action 0, in the environment's units."""

    def act(self, observations: Tensor) -> Tensor:
        return observations.new_zeros(len(observations), 3)


def make(**settings: Any) -> FQE:
    torch.manual_seed(0)
    return FQE(11, 3, {"still": Still(), "behaviour": None}, folds=2, hidden_dims=HIDDEN, **settings)


@pytest.fixture
def data(datamodule: OfflineDataModule) -> OfflineDataModule:
    datamodule.setup("fit")
    return datamodule


def test_targets() -> None:
    fqe: Any = make(discount=0.5)
    fqe.return_mean.fill_(10.0)
    fqe.return_std.fill_(2.0)
    # Fold and policy, then the two transitions of the fold: standardized values of the next state.
    fqe.target_critic = Stub(torch.tensor([[1.0, 9.0], [2.0, 9.0], [-1.0, 0.0], [-2.0, 5.0]]))
    batch = Batch(
        observations=torch.zeros(4, 11),
        actions=torch.zeros(4, 3),
        rewards=torch.tensor([1.0, 2.0, 3.0, 4.0]),
        next_observations=torch.zeros(4, 11),
        terminations=torch.tensor([0.0, 1.0, 0.0, 0.0]),
        columns={fqe.actions_column: torch.zeros(4, 6)},
    )
    in_the_rewards_scale = fqe.targets(batch) * 2.0 + 10.0
    # r + 0.5 * (10 + 2 q), and a termination is its reward.
    assert in_the_rewards_scale.tolist() == [[[7.0, 2.0], [8.0, 2.0]], [[7.0, 9.0], [6.0, 14.0]]]
    fqe.value_bounds.copy_(torch.tensor([0.0, 7.5]))
    assert (fqe.targets(batch) * 2.0 + 10.0).max() == 7.5


def test_critics_of_a_fold_start_alike() -> None:
    fqe = make()
    values = fqe(torch.randn(5, 11), torch.zeros(2, 5, 3))
    assert values.shape == (2, 2, 5)  # folds, policies, states
    assert torch.equal(values[:, 0], values[:, 1])
    assert not torch.equal(values[0], values[1])


def test_next_actions_are_those_of_each_policy(data: OfflineDataModule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spar_lightning.algorithms.fqe.CHUNK", 97)  # pieces end within episodes
    fqe, transitions = make(), data.transitions
    fqe.take_statistics(data.statistics)
    stream = NetworkUnits(transitions, fqe.normalizer, transitions.device)
    stream.store(fqe.prepare(stream, 0, 1))
    still, behaviour = transitions.column(fqe.actions_column).split(3, dim=1)
    assert still.abs().max() < 1e-6
    actions, ends = fqe.normalizer.scale(transitions.actions), transitions.episode_ends
    (middle,) = torch.where(~ends)
    assert torch.equal(behaviour[middle], actions[middle + 1])
    assert torch.equal(behaviour[ends], actions[ends])


def test_a_training_without_a_trainer(data: OfflineDataModule) -> None:
    fqe = make(regression_updates=2)
    before = {name: weight.clone() for name, weight in fqe.critic.named_parameters()}
    rows, made = torch.arange(40), list[int]()
    assert train_alone(fqe, data.transitions, data.statistics, iter([rows] * 9), 4, lambda n: made.append(n) is None)
    assert made == [1, 2, 3, 4]
    assert all(not torch.equal(weight, before[name]) for name, weight in fqe.critic.named_parameters())
    values = fqe(torch.zeros(1, 11), torch.zeros(2, 1, 3))
    assert not torch.equal(values[:, 0], values[:, 1])  # they part when they bootstrap
