"""Fitted Q evaluation: what fixed policies are worth, said by critics that learn from the data alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from einops import rearrange, repeat
from torch import Tensor

from spar_lightning import functional as SF
from spar_lightning.algorithms.algorithm import (
    Algorithm,
    Batch,
    Columns,
    Learner,
    Metrics,
    Optimized,
    TrainingData,
    frozen_copy,
    remaining,
)
from spar_lightning.algorithms.returns import CHUNK, ReturnSweep
from spar_lightning.algorithms.settings import check_settings
from spar_lightning.networks import EnsembleCritic
from spar_lightning.types import Policy


class FQE(Algorithm):
    r"""Fitted Q evaluation: for each fixed policy critics that regress on their own values of its next actions.

    .. math::
        \min_{Q_{f\pi}} E_f \, (Q_{f\pi}(s, a) - y)^2, \qquad y = r + \gamma (1 - d) Q'_{f\pi}(s', \pi(s'))

    There is one critic for each fold `f` and policy. A fold is a part of the episodes, and the rows of a batch come in
    as many equal parts, one of each fold, so that every critic can be asked about episodes that it never saw. Critics
    of one fold start from the same weights and see the same batches, whatever their policy: what they disagree on is
    the policies. Their first updates regress on the data's returns, the values of the behaviour, so that too few
    updates make policies look alike rather than good. Targets are kept within what rewards of the data can add up to.

    Source: Le, Voloshin & Yue, "Batch Policy Learning under Constraints", 2019.

    Args:
        observation_dim: size of an observation.
        action_dim: size of an action.
        policies: by name; None is the behaviour in the data, whose next actions the data hold.
        folds: parts of a batch, and critics a policy.
        hidden_dims: widths of the hidden layers.
        discount: per step.
        target_tau: rate of the target critics, whose values are the result.
        regression_updates: the first updates, which regress on the data's returns.
        learning_rate: of Adam; it falls linearly to 0.
    """

    return_mean: Tensor
    return_std: Tensor
    value_bounds: Tensor

    shown = ("fqe/loss",)

    def __init__(
        self,
        observation_dim: int,
        action_dim: int,
        policies: Mapping[str, Policy | None],
        folds: int = 8,
        hidden_dims: Sequence[int] = (128, 128),
        discount: float = 0.99,
        target_tau: float = 0.05,
        regression_updates: int = 1000,
        learning_rate: float = 1e-3,
    ) -> None:
        super().__init__(observation_dim, action_dim)
        check_settings({name: value for name, value in locals().items() if name != "policies"})
        self.policies, self.folds, self.discount = dict(policies), folds, discount
        self.target_tau, self.regression_updates, self.learning_rate = target_tau, regression_updates, learning_rate
        self.critic = EnsembleCritic(observation_dim, action_dim, hidden_dims, folds * len(policies))
        self._start_alike()
        self.target_critic = frozen_copy(self.critic)
        self.register_buffer("return_mean", torch.zeros(()))
        self.register_buffer("return_std", torch.ones(()))
        self.register_buffer("value_bounds", torch.tensor([-torch.inf, torch.inf]))

    @property
    def actions_column(self) -> str:
        """Name of the column of next actions (N, P * A); of another number of policies it is another one."""
        return f"next_actions_of_{len(self.policies)}"

    @torch.no_grad()
    def _start_alike(self) -> None:
        """Give the critics of a fold the weights of its first."""
        for weight in self.critic.parameters():
            by_fold = weight.view(self.folds, len(self.policies), *weight.shape[1:])
            by_fold.copy_(by_fold[:, :1].clone().expand_as(by_fold))

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Discounted returns of each policy by each fold's critic, which takes an action first and then follows it.

        Args:
            observations: (B, O), normalized.
            actions: (P, B, A), scaled to [-1, 1]; each policy's own.

        Returns:
            (F, P, B), in the reward's scale.
        """
        repeated = (observations.expand(self.folds, -1, -1), actions.expand(self.folds, -1, -1, -1))
        return self._unstandardized(self._values(self.target_critic, *repeated))

    def _values(self, critic: EnsembleCritic, observations: Tensor, actions: Tensor) -> Tensor:
        """Standardized, of the folds' own states: (F, B, O), (F, P, B, A) -> (F, P, B)."""
        policies = len(self.policies)
        states = repeat(observations, "f b o -> (f p) b o", p=policies)
        together = critic(states, rearrange(actions, "f p b a -> (f p) b a"))
        values: Tensor = rearrange(together, "(f p) b -> f p b", p=policies)
        return values

    def _unstandardized(self, values: Tensor) -> Tensor:
        return values * self.return_std + self.return_mean

    # ----------------------------------------------------------------------------------------------------- the update

    def regression_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Squared error of all critics to the data's returns."""
        return self._loss(batch, rearrange(batch.columns["behaviour_returns"], "(f b) -> f 1 b", f=self.folds))

    def bootstrapped_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Squared error of all critics to their own targets."""
        return self._loss(batch, self.targets(batch))

    def _loss(self, batch: Batch, targets: Tensor) -> tuple[Tensor, Metrics]:
        q_values = self.data_values(self.critic, batch)
        loss = (q_values.float() - targets).square().mean(dim=-1).sum()
        return loss, {"fqe/loss": loss.detach() / self.critic.num_critics}

    def data_values(self, critic: EnsembleCritic, batch: Batch) -> Tensor:
        """Standardized values of the data's actions by the critics of each part's own fold: (F, P, B)."""
        observations = rearrange(batch.observations, "(f b) o -> f b o", f=self.folds)
        actions = repeat(batch.actions, "(f b) a -> f p b a", f=self.folds, p=len(self.policies))
        return self._values(critic, observations, actions)

    @torch.no_grad()
    def targets(self, batch: Batch) -> Tensor:
        """What they are regressed on, standardized: (F, P, B)."""
        folds, policies = self.folds, len(self.policies)
        next_observations = rearrange(batch.next_observations, "(f b) o -> f b o", f=folds)
        next_actions = rearrange(batch.columns[self.actions_column], "(f b) (p a) -> f p b a", f=folds, p=policies)
        next_values = self._unstandardized(self._values(self.target_critic, next_observations, next_actions))
        rewards, terminations = (
            rearrange(column, "(f b) -> f 1 b", f=folds) for column in (batch.rewards, batch.terminations)
        )
        target_q = SF.td_target(rewards, terminations, next_values.float(), self.discount)
        target_q = target_q.clamp(self.value_bounds[0], self.value_bounds[1])
        return (target_q - self.return_mean) / self.return_std

    def phase(self, update: int) -> bool:
        """Whether critics regress on the data's returns."""
        return update < self.regression_updates

    def update(self, batch: Batch, phase: bool, learner: Learner) -> Metrics:
        """One step of every critic, and of the target critics."""
        metrics = learner.descend("critic", self.regression_loss if phase else self.bootstrapped_loss, batch)
        learner.follow(self.target_critic, self.critic, self.target_tau)
        return metrics

    def optimizers(self, max_updates: int) -> dict[str, Optimized]:
        """One, of the critics."""
        return {
            "critic": Optimized([self.critic], self.learning_rate, lambda update: remaining(update, 0, max_updates))
        }

    # ------------------------------------------------------------------------------------------- what the data give it

    @torch.no_grad()
    def prepare(self, data: TrainingData, updates: int, max_updates: int) -> Iterator[Columns]:  # noqa: ARG002
        """The returns of the data, and every policy's actions at the next states, none of which ever changes."""
        sweep = ReturnSweep(data, self.discount, trace_decay=1.0)
        returns = sweep.constant()
        self.return_mean.copy_(returns.double().mean())
        self.return_std.copy_(returns.double().std(correction=0).clamp(min=SF.SCALE_EPSILON))
        rewards = data.column("rewards").cpu()
        self._bound_values(rewards.min(), rewards.max())
        yield {"behaviour_returns": (returns - self.return_mean.cpu()) / self.return_std.cpu()}
        start = 0
        for piece in data.pieces(CHUNK):
            rows = slice(start, start := start + piece.size)
            each = [
                following_actions(data, piece, rows)
                if policy is None
                else self.actions_of(policy, piece.next_observations)
                for policy in self.policies.values()
            ]
            yield {self.actions_column: torch.cat(each, dim=1)}

    def _bound_values(self, smallest: Tensor, largest: Tensor) -> None:
        """No policy's rewards add up to less, or more; an episode may end, and rewards with it."""
        if self.discount < 1.0:
            bounds = torch.stack([smallest.clamp(max=0.0), largest.clamp(min=0.0)]) / (1.0 - self.discount)
            self.value_bounds.copy_(bounds)

    def actions_of(self, policy: Policy, observations: Tensor) -> Tensor:
        """A policy's actions at normalized observations (B, O): (B, A), scaled."""
        raw = observations * self.normalizer.observation_std + self.normalizer.observation_mean
        return self.normalizer.scale(policy.act(raw).to(observations.device))


def following_actions(data: TrainingData, piece: Batch, rows: slice) -> Tensor:
    """The actions that the data took next, (B, A), scaled; at the end of an episode, where none is known, the last."""
    after = data.at(torch.tensor([min(rows.stop, len(data) - 1)], device=data.device)).actions
    ends = data.episode_ends[rows].to(piece.actions.device)
    return torch.where(ends.unsqueeze(1), piece.actions, torch.cat([piece.actions[1:], after]))
