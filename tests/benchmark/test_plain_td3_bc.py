"""The reference point is TD3+BC: its target and first step by hand, and that it learns."""

from __future__ import annotations

import subprocess
import sys
from copy import deepcopy

import numpy as np
import pytest
import torch

from spar_lightning.benchmark import plain_td3_bc
from spar_lightning.benchmark.plain_td3_bc import Batch, PlainTD3BC, ReplayBuffer

WIDTH = 8


def make_batch(terminated: bool = False, size: int = 16) -> Batch:
    actions = torch.rand(size, 2) * 2 - 1
    return (
        torch.randn(size, 3),
        actions,
        torch.randn(size, 1),
        torch.randn(size, 3),
        torch.full((size, 1), terminated * 1.0),
    )


@pytest.mark.parametrize("terminated", [False, True])
def test_target_by_hand(monkeypatch: pytest.MonkeyPatch, terminated: bool) -> None:
    agent, batch = PlainTD3BC(3, 2, WIDTH), make_batch(terminated)
    monkeypatch.setattr(PlainTD3BC, "noise", 0.0)
    actor, critic, following = agent.target_actor, agent.target_critic, batch[3]
    hidden = torch.relu(actor.l2(torch.relu(actor.l1(following))))
    inputs = torch.cat([following, torch.tanh(actor.l3(hidden))], dim=1)
    first = critic.l3(torch.relu(critic.l2(torch.relu(critic.l1(inputs)))))
    second = critic.l6(torch.relu(critic.l5(torch.relu(critic.l4(inputs)))))
    expected = batch[2] + 0.99 * torch.minimum(first, second) * (0.0 if terminated else 1.0)
    torch.testing.assert_close(agent.target_q(batch), expected)


def test_smoothing_noise_is_clipped(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, batch = PlainTD3BC(3, 2, WIDTH), make_batch()
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(PlainTD3BC, "noise", 100.0)
    monkeypatch.setattr(agent, "target_critic", lambda _, actions: (seen.append(actions), (batch[2], batch[2]))[1])
    agent.target_q(batch)
    distance = (seen[0] - agent.target_actor(batch[3])).abs()
    assert distance.max() <= 0.5 + 1e-6
    assert seen[0].abs().max() <= 1.0


def test_first_critic_update_by_hand() -> None:
    agent, batch = PlainTD3BC(3, 2, WIDTH), make_batch(terminated=True)  # the target is the reward
    before = deepcopy(agent.critic)
    first, second = before(batch[0], batch[1])
    ((first - batch[2]).square().mean() + (second - batch[2]).square().mean()).backward()
    agent.update(batch)
    for old, new in zip(before.parameters(), agent.critic.parameters(), strict=True):
        assert old.grad is not None
        # Adam's first step: the gradient's sign, but where the gradient is as small as its epsilon.
        expected = old - 3e-4 * old.grad / (old.grad.abs() + 1e-8)
        torch.testing.assert_close(new.data, expected.data, atol=1e-6, rtol=1e-4)


def test_actor_and_targets_move_every_second_time() -> None:
    agent, batch = PlainTD3BC(3, 2, WIDTH), make_batch()
    actor, target = deepcopy(agent.actor), deepcopy(agent.target_critic)
    agent.update(batch)
    assert torch.equal(agent.actor.l1.weight, actor.l1.weight)
    assert torch.equal(agent.target_critic.l4.weight, target.l4.weight)
    agent.update(batch)
    assert not torch.equal(agent.actor.l1.weight, actor.l1.weight)
    moved = 0.005 * agent.critic.l4.weight + 0.995 * target.l4.weight
    torch.testing.assert_close(agent.target_critic.l4.weight, moved)


def test_it_finds_the_better_action() -> None:
    """One-step tasks whose reward is the first action: the policy goes up there, and stays near the data."""
    random = np.random.default_rng(0)
    observations, actions = random.normal(size=(1000, 3)), random.uniform(-1, 1, (1000, 2))
    columns = [observations, actions, actions[:, :1], observations, np.ones((1000, 1))]
    buffer = ReplayBuffer(*(column.astype(np.float32) for column in columns))
    agent = PlainTD3BC(3, 2, 32)
    for _ in range(600):
        agent.update(buffer.sample(64))
    chosen = agent.actor(torch.from_numpy(observations.astype(np.float32))).mean(dim=0)
    assert chosen[0] > 0.5
    assert chosen[1].abs() < 0.2


def test_it_runs_alone() -> None:
    found = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys, runpy; runpy.run_path({plain_td3_bc.__file__!r});"
         "assert not any(name.startswith('spar_lightning') for name in sys.modules)"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
