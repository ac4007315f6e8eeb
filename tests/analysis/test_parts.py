"""What figures are computed from, on numbers that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spar_lightning.analysis.distance import nearest_distances
from spar_lightning.analysis.scaled import ScaledResidual
from spar_lightning.analysis.values import calibration, critic_values
from spar_lightning.datasets import Episode
from spar_lightning.evaluation import Rollouts, split_change
from spar_lightning.networks import Normalizer
from spar_lightning.replay import PackedTransitions
from spar_lightning.training import BCModule, SPARModule


@pytest.fixture
def module() -> SPARModule:
    found = SPARModule(BCModule(3, 2, hidden_dims=(8,)), hidden_dims=(8,), critic_hidden_dims=(8,)).eval()
    torch.nn.init.normal_(found.policy.average_actor.mlp.head.weight)  # it starts near the latent's origin
    return found


def test_the_parts_of_a_change_are_orthogonal_and_add_up() -> None:
    change, jacobians = torch.randn(50, 4), torch.randn(50, 4, 2)
    tangential, normal = split_change(change, jacobians)
    torch.testing.assert_close(tangential + normal, change)
    assert (tangential * normal).sum(dim=1).abs().max() < 1e-4
    assert (jacobians.transpose(1, 2) @ normal.unsqueeze(2)).abs().max() < 1e-4  # nothing of it can be reached


def test_distances_are_to_the_nearest_other_pair() -> None:
    # Four states on a line, 1 apart; the actions are 0 but for the last.
    states = np.array([[0.0], [1.0], [2.0], [3.0]], dtype=np.float32)
    actions = np.array([[0.0], [0.0], [0.0], [0.5]], dtype=np.float32)
    episode = Episode(states, actions, np.zeros(4, dtype=np.float32), states, termination=True)
    transitions = PackedTransitions.from_episodes([episode])
    rows = torch.tensor([0, 3])
    asked = torch.stack([torch.tensor([[0.0], [0.5]]), torch.tensor([[1.0], [0.0]])])
    found = nearest_distances(transitions, Normalizer(1, 1), rows, asked)
    # By the data's own actions: state 0 is 1 from the next; state 3 is 1 from state 2, whose action is 0.5 off.
    np.testing.assert_allclose(found[0], [1.0, 1.25**0.5], rtol=1e-5)
    np.testing.assert_allclose(found[1], [2.0**0.5, 1.0], rtol=1e-5)


def test_a_factor_of_0_is_the_base_and_1_the_policy(module: SPARModule) -> None:
    observations = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    for factor, expected in ((0.0, module.base), (1.0, module)):
        np.testing.assert_allclose(
            ScaledResidual(module, factor).act(observations), expected.act(observations), atol=1e-6
        )


def test_critics_are_compared_where_the_return_is_known(module: SPARModule) -> None:
    module.algorithm.critics.return_std.fill_(0.0)
    module.algorithm.critics.return_mean.fill_(7.0)
    lengths, random = [4, 400], np.random.default_rng(0)
    trajectories = [(random.normal(size=(n, 3)), random.uniform(-1, 1, size=(n, 2))) for n in lengths]
    rewards = [np.ones(n) for n in lengths]
    rollouts = Rollouts(
        [0, 1], np.array(lengths, float), np.array(lengths), trajectories, rewards, np.array([True, False])
    )
    found = calibration(module, rollouts, discount=0.5, factor=2.0, shift=-1.0)
    # A reward of 1 that counts as 1; of the episode that was cut, the last 5 steps are not known to 5%.
    assert len(found.returns) == 4 + 395
    np.testing.assert_allclose(found.returns[:4], [1.875, 1.75, 1.5, 1.0])
    np.testing.assert_allclose(found.expected, 7.0)
    assert critic_values(module, *trajectories[0]).shape == (4,)
