"""TD3+BC in plain PyTorch, one file: the reference point that other speeds are divided by.

Written the way that single-file implementations of this algorithm (Fujimoto and Gu, arXiv 2106.06860) commonly are:
separate layers, Adam as it comes, a loop over parameters for the targets, arrays sampled field by field. It logs
nothing and does nothing slowly on purpose. It imports nothing of this project and runs by itself:
`python spar_lightning/benchmark/plain_td3_bc.py`.
"""

from __future__ import annotations

import time
from copy import deepcopy

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Batch = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


class ReplayBuffer:
    """Observations (N, O), actions (N, A), rewards (N, 1), next observations (N, O), terminations (N, 1); float32."""

    def __init__(self, *fields: npt.NDArray[np.float32], device: str = "cpu") -> None:
        self.fields = fields
        self.device = device

    def sample(self, batch_size: int) -> Batch:
        """Rows drawn uniformly with replacement, as tensors."""
        rows = np.random.randint(0, len(self.fields[0]), size=batch_size)  # noqa: NPY002 - as is usual there
        observations, actions, rewards, following, ends = (
            torch.from_numpy(field[rows]).to(self.device) for field in self.fields
        )
        return observations, actions, rewards, following, ends


class Actor(nn.Module):
    """Observations (B, O) -> actions (B, A) in [-1, 1]."""

    def __init__(self, observation_dim: int, action_dim: int, width: int = 256) -> None:
        super().__init__()
        self.l1, self.l2, self.l3 = (
            nn.Linear(observation_dim, width),
            nn.Linear(width, width),
            nn.Linear(width, action_dim),
        )

    def forward(self, observations: Tensor) -> Tensor:
        """Choose actions."""
        return torch.tanh(self.l3(F.relu(self.l2(F.relu(self.l1(observations))))))


class Critic(nn.Module):
    """Two Q-networks: observations (B, O), actions (B, A) -> (B, 1) each."""

    def __init__(self, observation_dim: int, action_dim: int, width: int = 256) -> None:
        super().__init__()
        inputs = observation_dim + action_dim
        self.l1, self.l2, self.l3 = nn.Linear(inputs, width), nn.Linear(width, width), nn.Linear(width, 1)
        self.l4, self.l5, self.l6 = nn.Linear(inputs, width), nn.Linear(width, width), nn.Linear(width, 1)

    def forward(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Both values."""
        inputs = torch.cat([observations, actions], 1)
        second = self.l6(F.relu(self.l5(F.relu(self.l4(inputs)))))
        return self.q1(observations, actions), second

    def q1(self, observations: Tensor, actions: Tensor) -> Tensor:
        """The first value alone, which the actor climbs."""
        inputs = torch.cat([observations, actions], 1)
        values: Tensor = self.l3(F.relu(self.l2(F.relu(self.l1(inputs)))))
        return values


class PlainTD3BC:
    """The algorithm, with its usual settings; `learning_rate` is Adam's, rates and noises are the paper's."""

    discount, tau, noise, noise_clip, policy_delay, alpha = 0.99, 0.005, 0.2, 0.5, 2, 2.5

    def __init__(self, observation_dim: int, action_dim: int, width: int = 256, device: str = "cpu") -> None:
        self.actor = Actor(observation_dim, action_dim, width).to(device)
        self.target_actor = deepcopy(self.actor)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=3e-4)
        self.critic = Critic(observation_dim, action_dim, width).to(device)
        self.target_critic = deepcopy(self.critic)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=3e-4)
        self.updates = 0

    def update(self, batch: Batch) -> None:
        """One update of the critics, and every second time one of actor and targets."""
        self.updates += 1
        self.update_critic(batch)
        if self.updates % self.policy_delay == 0:
            self.update_actor(batch)
            self.update_targets()

    def target_q(self, batch: Batch) -> Tensor:
        """The smaller target value of a smoothed next action, discounted: (B, 1)."""
        _, actions, rewards, next_observations, terminations = batch
        with torch.no_grad():
            noise = (torch.randn_like(actions) * self.noise).clamp(-self.noise_clip, self.noise_clip)
            next_actions = (self.target_actor(next_observations) + noise).clamp(-1.0, 1.0)
            first, second = self.target_critic(next_observations, next_actions)
            target_q: Tensor = rewards + (1.0 - terminations) * self.discount * torch.min(first, second)
        return target_q

    def update_critic(self, batch: Batch) -> None:
        """Regress both critics on the target."""
        target_q = self.target_q(batch)
        first, second = self.critic(batch[0], batch[1])
        loss = F.mse_loss(first, target_q) + F.mse_loss(second, target_q)
        self.critic_optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.critic_optimizer.step()

    def update_actor(self, batch: Batch) -> None:
        """Climb the first critic, held by cloning."""
        observations, actions = batch[:2]
        chosen = self.actor(observations)
        values = self.critic.q1(observations, chosen)
        loss = -self.alpha / values.abs().mean().detach() * values.mean() + F.mse_loss(chosen, actions)
        self.actor_optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.actor_optimizer.step()

    def update_targets(self) -> None:
        """Move both targets a little."""
        for network, target in ((self.critic, self.target_critic), (self.actor, self.target_actor)):
            for source, slow in zip(network.parameters(), target.parameters(), strict=True):
                slow.data.copy_(self.tau * source.data + (1.0 - self.tau) * slow.data)


if __name__ == "__main__":
    shapes = ((10_000, 17), (10_000, 6), (10_000, 1), (10_000, 17))
    fields = [np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32) for shape in shapes]
    buffer = ReplayBuffer(*fields, np.zeros((10_000, 1), np.float32))
    agent, began = PlainTD3BC(17, 6), time.perf_counter()
    for _ in range(2000):
        agent.update(buffer.sample(256))
    print(f"{2000 / (time.perf_counter() - began):.0f} updates/s")
