"""Stage 2: a residual on a frozen base, improved by latent self-imitation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, cast

import torch
from einops import rearrange
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from spar_lightning import functional as SF
from spar_lightning.data import Beginnings, offline_data
from spar_lightning.modules.averages import MovingAverage, frozen_copy
from spar_lightning.modules.base import (
    add_base_columns,
    check_dimensions,
    check_statistics,
    residual_spread,
)
from spar_lightning.modules.bc import BCModule
from spar_lightning.modules.manual import ManualUpdates, Metrics, Trained
from spar_lightning.modules.policy import ActsOnArrays
from spar_lightning.modules.residual_policy import FittedPolicy, ResidualPolicy, States
from spar_lightning.modules.returns import ReturnSweep
from spar_lightning.modules.settings import check_settings
from spar_lightning.networks import EnsembleCritic, GaussianManifold, LatentActor, ValueNetwork, VariationalManifold
from spar_lightning.types import CheckpointError, Policy, ResidualProbe, TransitionBatch, UserError


class SPARModule(ActsOnArrays, ManualUpdates):
    r"""Support-Preserving Action Rectification: `action = base(s) + residual(s, base(s))`.

    .. math:: a(s, z) = \mathrm{clip}(base(s) + \rho(s) \, g(s, base(s), z), -1, 1), \qquad z = \mu(s, base(s))

    with `rho(s)` the deviation that the base has learned of the data. During the first `manifold_steps` updates the
    residual manifold `g` is fitted to the data, during the first `warmup_steps` an ensemble of critics to the data's
    returns. Then both stand still, and the latent actor `mu` imitates its own candidates, weighted by value: no
    gradient of a critic with respect to the action is ever followed.

    By default the critics hold the *behaviour's* Monte Carlo values: a one-step improvement (Brandfonbrener et al.,
    2021), which cannot diverge, nor stitch pieces of different episodes together. A smaller `trace_decay`, or a
    `critic_target` that bootstraps, can. Conservative is how candidates are told apart: the policy moves as far as the
    critics agree on their differences.

    The residual form, the frozen base, the conservative critic and latent self-imitation are the paper's (arXiv
    2605.27877); every formula and default beyond those is this project's reconstruction.

    Args:
        base: a trained `BCModule`, which is frozen in place, or its hyper-parameters, from which it is rebuilt (its
            weights then come from a checkpoint).
        hidden_dims: widths of the hidden layers of manifold and actor.
        critic_hidden_dims: widths of the hidden layers of critics and value network.
        discount: per step.
        num_critics: Q-networks that value candidates.
        num_check_critics: Q-networks beside them that never guide the policy, for an offline check of the result.
        critic_target: `returns` regresses on lambda-returns of the data; `in_sample` (as IQL) and `policy` (as
            actor-critic methods) bootstrap after the warm-up.
        trace_decay: lambda of the returns, in [0, 1]; 1 are Monte Carlo returns.
        refresh_every: updates between two sweeps of the returns; None is max(2000, transitions / 50).
        expectile: of the value network's regression on returns; 0.5 is the mean.
        bootstrap_expectile: of the value network under `in_sample`.
        conservative_deviations: the bootstrapped kinds value an action by `mean - k * std` over critics; None takes
            the minimum.
        target_tau: rate of the target critic of the bootstrapped kinds.
        target_noise: spread of the next latent under `policy`, in units of `sigma`.
        critic_tau: rate of the averaged critic that values candidates; 1 values them with the raw one.
        actor_tau: rate of the averaged actor, which is the result.
        warmup_steps: updates before the actor moves. Long is right: critics that were fitted for 10,000 updates led to
            policies that fell, after 30,000 to steady ones.
        manifold_steps: the first of these updates that fit the manifold; None, or more, is all of them.
        freeze_critic: stop the critics at the end of the warm-up, so that the policy climbs a hill that stands still;
            None does so where they regress on `returns`.
        residual: False leaves the base out: the manifold then models the actions themselves.
        manifold: `cvae`, or `gaussian` (no decoder: the latent scales the residuals' spread directly).
        latent_dim: L; None is twice the action's size.
        beta: weight of the manifold's KL term.
        latent_bound: half-width of the box that latents are kept in: the support.
        min_residual_scale: floor of the residuals' spread, as a fraction of the actions' own.
        improvement: `lsi`, `value_gradient` (through the decoder, for comparison) or `none`.
        regression: `latent` regresses on the weighted latent, `residual` on the weighted action.
        num_candidates: K a state, the policy's own latent among them.
        sigma: spread of the candidates around the policy, in prior standard deviations.
        kappa: how far value may pull against the prior, in prior standard deviations per unit of value slope.
        actor_every: updates per actor update, after the warm-up.
        lsi_batch: states that an actor update uses. More of them, and more updates, helped on some data; on others the
            policy came to fall where it had walked.
        start_fraction: share of them that is drawn from the beginnings of episodes; a policy that does not get going
            never reaches the states that the rest of the data are about.
        start_decay: how much less likely each later step of an episode is among those, in (0, 1): 0.98 reaches some 50
            steps.
        learning_rate: of Adam for critic, value network and manifold.
        actor_learning_rate: of Adam for the actor.
        critic_decay: let the critics' learning rate fall linearly to 0 while they are trained.
        actor_decay: let the actor's fall to 0, with the root of the updates that are left.
        manifold_decay: let the manifold's fall linearly to 0 over `manifold_steps`.
        gradient_clip_norm: largest gradient norm of each optimizer's step; None does not clip.
        compile: compile the losses with their gradients, which takes a minute and a C++ compiler: pays for long runs.
    """

    return_mean: Tensor
    return_std: Tensor
    num_sweeps: Tensor

    _shown = ("critic/loss", "actor/lsi_loss")
    _pure_losses = MappingProxyType(
        {
            "_evidence_loss": "manifold",
            "_regression_loss": "critic",
            "_in_sample_loss": "critic",
            "_self_imitation_loss": "actor",
        }
    )

    def __init__(
        self,
        base: BCModule | Mapping[str, Any],
        hidden_dims: Sequence[int] = (256, 256),
        critic_hidden_dims: Sequence[int] = (128, 128),
        discount: float = 0.99,
        num_critics: int = 8,
        num_check_critics: int = 2,
        critic_target: Literal["returns", "in_sample", "policy"] = "returns",
        trace_decay: float = 1.0,
        refresh_every: int | None = None,
        expectile: float = 0.5,
        bootstrap_expectile: float = 0.7,
        conservative_deviations: float | None = 0.5,
        target_tau: float = 0.005,
        target_noise: float = 0.5,
        critic_tau: float = 0.001,
        actor_tau: float = 0.005,
        warmup_steps: int = 30_000,
        manifold_steps: int | None = 10_000,
        freeze_critic: bool | None = None,
        residual: bool = True,
        manifold: Literal["cvae", "gaussian"] = "cvae",
        latent_dim: int | None = None,
        beta: float = 0.5,
        latent_bound: float = 2.0,
        min_residual_scale: float = 0.05,
        improvement: Literal["lsi", "value_gradient", "none"] = "lsi",
        regression: Literal["latent", "residual"] = "latent",
        num_candidates: int = 8,
        sigma: float = 0.5,
        kappa: float = 2.0,
        actor_every: int = 1,
        lsi_batch: int = 64,
        start_fraction: float = 0.1,
        start_decay: float = 0.98,
        learning_rate: float = 3e-4,
        actor_learning_rate: float = 1e-3,
        critic_decay: bool = True,
        actor_decay: bool = True,
        manifold_decay: bool = True,
        gradient_clip_norm: float | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__(gradient_clip_norm, compile)
        check_settings(locals())
        if not isinstance(base, BCModule):
            base = BCModule(**base)
        hidden_dims, critic_hidden_dims = list(hidden_dims), list(critic_hidden_dims)
        widths = {"hidden_dims": hidden_dims, "critic_hidden_dims": critic_hidden_dims}
        self.save_hyperparameters(ignore=["base"])
        self.save_hyperparameters({"base": dict(base.hparams), **widths})

        base.freeze()
        self.observation_dim, self.action_dim = base.observation_dim, base.action_dim
        dims = (self.observation_dim, self.action_dim)
        fitted = (
            VariationalManifold(*dims, latent_dim or 2 * self.action_dim, hidden_dims)
            if manifold == "cvae"
            else GaussianManifold(self.action_dim)
        )
        actor = LatentActor(*dims, fitted.latent_dim, hidden_dims, latent_bound)
        self.policy = ResidualPolicy(base, fitted, actor, use_base=residual)
        self.critic = EnsembleCritic(*dims, critic_hidden_dims, num_critics)
        self.check_critic = EnsembleCritic(*dims, critic_hidden_dims, num_check_critics) if num_check_critics else None
        self.value = ValueNetwork(self.observation_dim, critic_hidden_dims)
        self.average_critic = frozen_copy(self.critic)
        self.sweep_value = frozen_copy(self.value)
        self.target_critic = None if critic_target == "returns" else frozen_copy(self.critic)
        self.register_buffer("return_mean", torch.zeros(()))
        self.register_buffer("return_std", torch.ones(()))
        self.register_buffer("num_sweeps", torch.tensor(0))

    @property
    def base(self) -> BCModule:
        """The frozen base."""
        return self.policy.base

    @property
    def policy_version(self) -> int:
        """How many updates have moved the policy: between the manifold's last and the actor's first none does."""
        warmup: int = self.hparams["warmup_steps"]
        return min(self._updates, self._manifold_steps) + max(0, self._updates - warmup)

    def reference_policies(self) -> dict[str, Policy]:
        """The frozen base and, once the manifold is frozen too, the fitted policy `z = 0`."""
        references: dict[str, Policy] = {"base": self.base}
        if self.policy.is_fitted:
            references["fitted"] = FittedPolicy(self.policy)
        return references

    def probe_residual(self, observations: Tensor) -> ResidualProbe:
        """The residual at raw observations (B, O), and how it moves with the latent."""
        return self.policy.probe(observations)

    @torch.no_grad()
    def expected_gain(self, observations: Tensor) -> Tensor | None:
        """What critics that never guided the policy expect of its actions over the base's, at raw observations (B, O).

        Returns:
            (B,) discounted return, averaged over the check critics; None where there are none, or no base, or where
            their targets come from the critics that guide the policy.
        """
        if self.check_critic is None or not self.hparams["residual"] or self.hparams["critic_target"] != "returns":
            return None
        states = self.policy.locate(observations.to(self.device))  # the data may stay behind on another
        latents = self.policy.average_actor(*states.inputs)
        actions = torch.stack([self.policy(states, latents), states.base_actions])
        values = [self.check_critic(states.observations, one).mean(dim=0) for one in actions]
        gain: Tensor = (values[0] - values[1]) * self.return_std
        return gain

    def leave_out_warmup(self) -> None:
        """Start with the improvement: base, manifold and critics are as `take_over`, or a checkpoint, gives them."""
        self.hparams["warmup_steps"] = self.hparams["manifold_steps"] = 0

    def take_over(self, checkpoint: Mapping[str, Any]) -> None:
        """Take base, manifold and critics from a checkpoint whose warm-up is over; the actor starts anew.

        Raises:
            CheckpointError: if it is not over, or the parts were fitted under settings that mean something else.
        """
        theirs = checkpoint["hyper_parameters"]
        for name in ("residual", "manifold", "discount", "min_residual_scale"):
            if theirs[name] != self.hparams[name]:
                raise CheckpointError(
                    f"`{name}` is {theirs[name]} in the checkpoint and {self.hparams[name]} here, expected the same:"
                    " its manifold and critics were fitted with it"
                )
        updates, warmup = checkpoint["global_step"], theirs["warmup_steps"]
        if updates < warmup:
            raise CheckpointError(
                f"the checkpoint is at update {updates}, within its warm-up of {warmup} updates, expected one whose"
                " manifold and critics are fitted: take a later one"
            )
        self.load_state_dict(checkpoint["state_dict"])
        self.policy.restart()

    def _select_actions(self, observations: Tensor) -> Tensor:
        return self.policy.select(observations)

    def _policy_device(self) -> torch.device:
        return self.device

    # ------------------------------------------------------------------------------------------------- the losses

    def fit_loss(self, states: States, actions: Tensor) -> tuple[Tensor, Metrics]:
        """Evidence bound of the data's standardized residuals; actions (B, A) scaled."""
        noise = torch.randn(len(actions), self.policy.manifold.latent_dim, device=actions.device)
        return self._evidence_loss(states, actions, noise)

    def _evidence_loss(self, states: States, actions: Tensor, noise: Tensor) -> tuple[Tensor, Metrics]:
        manifold = cast(VariationalManifold, self.policy.manifold)
        residuals = (actions - states.base_actions) / states.scales
        mean, log_std = manifold.encode(*states.inputs, residuals)
        decoded = manifold.decode(*states.inputs, mean + log_std.exp() * noise)
        return SF.manifold_loss(decoded, residuals, mean, log_std, self.hparams["beta"])

    def critic_loss(self, batch: TransitionBatch, states: States, actions: Tensor) -> tuple[Tensor, Metrics]:
        """Regression of Q(s, a) and V(s) on standardized targets; actions (B, A) scaled."""
        if self._bootstraps and self.hparams["critic_target"] == "in_sample":  # no random numbers: all in one graph
            return self._in_sample_loss(batch, states, actions)
        return self._regression_loss(states, actions, *self._critic_targets(batch, states, actions))

    def _in_sample_loss(self, batch: TransitionBatch, states: States, actions: Tensor) -> tuple[Tensor, Metrics]:
        targets = self._in_sample_targets(batch, states, actions)
        # By its class, since a compiled one hides the method: both are to be one graph.
        return SPARModule._regression_loss(self, states, actions, *targets)

    def _regression_loss(
        self, states: States, actions: Tensor, target_q: Tensor, value_target: Tensor, expectile: float
    ) -> tuple[Tensor, Metrics]:
        q_values = self.critic(states.observations, actions)
        critic_loss = SF.critic_loss(q_values, target_q)
        value_loss = SF.expectile_loss(self.value(states.observations), value_target, expectile)
        metrics = {
            "critic/loss": critic_loss.detach(),
            "value/loss": value_loss.detach(),
            "critic/q_data": q_values.detach(),
            "critic/target_q": target_q,
        }
        if self.check_critic is not None:
            critic_loss = critic_loss + SF.critic_loss(self.check_critic(states.observations, actions), target_q)
        return critic_loss + value_loss, metrics

    @torch.no_grad()
    def _critic_targets(self, batch: TransitionBatch, states: States, actions: Tensor) -> tuple[Tensor, Tensor, float]:
        """Standardized targets of Q and V, (B,) each, and the expectile of V's regression."""
        if not self._bootstraps:
            target_q = batch.columns["returns"]
        elif self.hparams["critic_target"] == "in_sample":
            return self._in_sample_targets(batch, states, actions)
        else:
            target_q = self._bootstrap(batch, self._next_policy_value(batch))
        return target_q, target_q, self.hparams["expectile"]

    @property
    def _bootstraps(self) -> bool:
        """Whether targets come from a target network by now, rather than from the data's returns."""
        return self.target_critic is not None and self._updates >= self.hparams["warmup_steps"]

    @torch.no_grad()
    def _in_sample_targets(
        self, batch: TransitionBatch, states: States, actions: Tensor
    ) -> tuple[Tensor, Tensor, float]:
        assert self.target_critic is not None
        next_values = self.value(self.base.normalizer.normalize(batch.next_observations))
        value_target = self._conservative(self.target_critic, states.observations, actions)
        return self._bootstrap(batch, next_values), value_target, self.hparams["bootstrap_expectile"]

    def _bootstrap(self, batch: TransitionBatch, next_values: Tensor) -> Tensor:
        """One-step target from standardized next values (B,), standardized again."""
        next_values = next_values.float() * self.return_std + self.return_mean
        target_q = SF.td_target(batch.rewards, batch.terminations, next_values, self.hparams["discount"])
        return (target_q - self.return_mean) / self.return_std

    def _next_policy_value(self, batch: TransitionBatch) -> Tensor:
        assert self.target_critic is not None
        observations = self.base.normalizer.normalize(batch.next_observations)
        scales = self.policy.residual_scale * batch.columns["next_base_deviations"]
        states = States(observations, batch.columns["next_base_actions"], scales)
        latents = self.policy.average_actor(*states.inputs)
        noise = self.hparams["target_noise"] * torch.randn_like(latents)
        latents = SF.latent_candidates(latents, noise.unsqueeze(0), self.hparams["sigma"], self.policy.actor.bound)[1]
        return self._conservative(self.target_critic, states.observations, self.policy(states, latents))

    def _conservative(self, critic: EnsembleCritic, observations: Tensor, actions: Tensor) -> Tensor:
        return SF.conservative(critic(observations, actions), self.hparams["conservative_deviations"])

    def actor_loss(self, states: States) -> tuple[Tensor, Metrics]:
        """Latent self-imitation: regress the policy on its own candidates, weighted by value."""
        if self.hparams["improvement"] == "value_gradient":
            return self._value_gradient_loss(states)
        count, observations = self.hparams["num_candidates"] - 1, states.observations
        noise = torch.randn(count, len(observations), self.policy.manifold.latent_dim, device=observations.device)
        return self._self_imitation_loss(states, noise)

    def _self_imitation_loss(self, states: States, noise: Tensor) -> tuple[Tensor, Metrics]:
        latents = self.policy.actor(*states.inputs)
        with torch.no_grad():
            candidates = SF.latent_candidates(latents, noise, self.hparams["sigma"], self.policy.actor.bound)
            actions, values = self._evaluate(states, candidates)
            weights = SF.self_imitation_weights(values, candidates, self.hparams["sigma"], self.hparams["kappa"])
        if self.hparams["regression"] == "latent":
            loss = SF.imitation_loss(latents, SF.weighted_mean(weights, candidates))
        else:
            target = SF.weighted_mean(weights, actions)
            loss = SF.imitation_loss(self.policy(states, latents) / states.scales, target / states.scales)
        metrics = {"actor/weights": weights, "actor/latents": latents.detach(), "actor/values": values}
        return loss, {"actor/lsi_loss": loss.detach(), **metrics}

    def _evaluate(self, states: States, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Actions (K, B, A) of candidate latents (K, B, L), and their values (C, K, B) according to each critic."""
        count = len(candidates)
        repeated = states.repeated(count)
        actions = self.policy(repeated, rearrange(candidates, "k b l -> (k b) l"))
        values = self.average_critic(repeated.observations, actions)
        unflatten = {"k": count}
        return rearrange(actions, "(k b) a -> k b a", **unflatten), rearrange(values, "c (k b) -> c k b", **unflatten)

    def _value_gradient_loss(self, states: States) -> tuple[Tensor, Metrics]:
        """The comparison: climb the critics' mean gradient through the decoder, held by the prior as LSI is.

        On the scale that LSI has where all critics agree.
        """
        latents = self.policy.actor(*states.inputs)
        inputs = latents.detach().requires_grad_()
        values = self.average_critic(states.observations, self.policy(states, inputs)).mean(dim=0)
        (gradient,) = torch.autograd.grad(values.sum(), inputs)
        slope = gradient.norm(dim=-1).mean() + SF.SCALE_EPSILON
        target = (self.hparams["kappa"] * gradient / slope).clamp(-self.policy.actor.bound, self.policy.actor.bound)
        loss = SF.imitation_loss(latents, target)
        return loss, {"actor/value_gradient_loss": loss.detach(), "actor/latents": latents.detach()}

    # ------------------------------------------------------------------------------------------------ the training

    def setup(self, stage: str) -> None:
        """Refuse data of another shape; take over their statistics where there is no base to own them."""
        datamodule = offline_data(self.trainer)
        check_dimensions(self.base, datamodule, "the base policy")
        if stage == "fit" and not self.hparams["residual"] and not self.base.normalizer.is_fitted:
            self.base.normalizer.fit(datamodule.statistics)

    def on_fit_start(self) -> None:
        """Compute what does not change in stage 2, base actions and residual scale, and the first returns."""
        super().on_fit_start()
        transitions = offline_data(self.trainer).transitions
        check_statistics(self.base, offline_data(self.trainer))
        self._check_budget()
        add_base_columns(
            transitions,
            lambda observations: self.policy.reference(self.base.normalizer.normalize(observations)),
            bootstrap=self.hparams["critic_target"] == "policy",
        )
        self.policy.residual_scale.copy_(residual_spread(transitions, self.base, self.hparams["min_residual_scale"]))
        self._beginnings = Beginnings(transitions.episode_ends, self.hparams["start_decay"])
        self._returns = ReturnSweep(transitions, self.hparams["discount"], self.hparams["trace_decay"])
        self._refresh_every = self.hparams["refresh_every"] or max(2000, len(transitions) // 50)
        self._write_returns()
        self._averages = [MovingAverage(self.average_critic, self.critic, self.hparams["critic_tau"])]
        if self.target_critic is not None:
            self._averages.append(MovingAverage(self.target_critic, self.critic, self.hparams["target_tau"]))
        self._actor_average = MovingAverage(self.policy.average_actor, self.policy.actor, self.hparams["actor_tau"])

    def on_train_start(self) -> None:
        """Pick up the count of updates where a resumed run left it, and the manifold's state with it."""
        super().on_train_start()
        if self._manifold_steps == 0 and not self.policy.is_fitted:
            rank_zero_warn("the manifold is not fitted, and `manifold_steps` or `warmup_steps` is 0: it stays as it is")
        if self._updates >= self._manifold_steps:
            self.policy.freeze_manifold()
        elif self.policy.is_fitted:
            name = "manifold_steps" if self._manifold_steps < self.hparams["warmup_steps"] else "warmup_steps"
            raise UserError(
                f"`{name}` is {self._manifold_steps}, but the manifold of this checkpoint at update {self._updates} is"
                f" fitted, expected at most {self._updates}: resume with the checkpoint's setting, or fit a new module"
            )

    @property
    def _manifold_steps(self) -> int:
        """Updates that fit the manifold."""
        steps, warmup = self.hparams["manifold_steps"], int(self.hparams["warmup_steps"])
        return warmup if steps is None else min(steps, warmup)

    @property
    def _stops_critic(self) -> bool:
        """Whether the critics stand still after the warm-up."""
        freeze = self.hparams["freeze_critic"]
        return self.hparams["critic_target"] == "returns" if freeze is None else bool(freeze)

    def _update(self, batch: TransitionBatch) -> None:
        """In the warm-up one update of critics and manifold; after it every `actor_every` of the actor."""
        states = self._states(batch)
        actions = self.base.normalizer.scale(batch.actions)
        warming_up = self._updates < self.hparams["warmup_steps"]
        if self._updates in (self._manifold_steps, self.hparams["warmup_steps"]):
            self._latest = {}  # what is not trained any more is not logged any more
        if warming_up or not self._stops_critic:
            self._update_critic(batch, states, actions)
        if self._updates < self._manifold_steps:
            self._update_manifold(states, actions)
        if warming_up or self.hparams["improvement"] == "none":
            return
        if (self._updates + 1) % self.hparams["actor_every"] == 0:
            self._update_actor(self._actor_states(states))

    def _actor_states(self, states: States) -> States:
        """States of the batch, the share of beginnings among them."""
        count = min(self.hparams["lsi_batch"], len(states.observations))
        beginnings = round(self.hparams["start_fraction"] * count)
        if beginnings == 0:
            return states.first(count)
        transitions, ranks = offline_data(self.trainer).transitions, self.trainer.world_size
        indices = self._beginnings.draw(beginnings * ranks)[self.global_rank :: ranks]  # all draw alike
        drawn = self._states(transitions.batch(indices.to(transitions.device)))
        return States(*(torch.cat(pair) for pair in zip(states.first(count - beginnings), drawn, strict=True)))

    def _states(self, batch: TransitionBatch) -> States:
        normalized = self.base.normalizer.normalize(batch.observations)
        scales = self.policy.residual_scale * batch.columns["base_deviations"]
        return States(normalized, batch.columns["base_actions"], scales)

    def _update_critic(self, batch: TransitionBatch, states: States, actions: Tensor) -> None:
        loss, metrics = self.critic_loss(batch, states, actions)
        self._latest |= metrics
        self._step("critic", loss)
        for average in self._averages:
            average.update()

    def _update_manifold(self, states: States, actions: Tensor) -> None:
        if isinstance(self.policy.manifold, GaussianManifold):
            return
        loss, metrics = self.fit_loss(states, actions)
        self._latest |= metrics
        self._step("manifold", loss)

    def _update_actor(self, states: States) -> None:
        loss, metrics = self.actor_loss(states)
        self._latest |= metrics
        self._step("actor", loss)
        self._actor_average.update()

    def _finish_update(self) -> None:
        if self._updates == self._manifold_steps:
            self.policy.freeze_manifold()
        is_read = self._updates < self.hparams["warmup_steps"] or not (self._stops_critic or self.target_critic)
        if self._updates % self._refresh_every == 0 and is_read:
            self._sweep_returns()

    def _sweep_returns(self) -> None:
        """Recompute the returns with the value network as it is now."""
        self.sweep_value.load_state_dict(self.value.state_dict())
        self.num_sweeps += 1
        self._write_returns()

    def _write_returns(self) -> None:
        """Recompute the column of standardized returns with the value network of the last sweep."""
        if self.num_sweeps == 0:
            returns = self._returns.constant()
            self.return_mean.copy_(returns.double().mean())
            self.return_std.copy_(returns.double().std(correction=0).clamp(min=SF.SCALE_EPSILON))
        else:
            with torch.autocast(self.device.type, enabled=False):
                returns = self._returns.bootstrapped(self._sweep_values)
        mean, std = self.return_mean.cpu(), self.return_std.cpu()
        offline_data(self.trainer).transitions.set_column("returns", (returns - mean) / std)

    def _sweep_values(self, observations: Tensor) -> Tensor:
        standardized: Tensor = self.sweep_value(self.base.normalizer.normalize(observations))
        return standardized * self.return_std + self.return_mean

    @torch.no_grad()
    def _metrics(self, batch: TransitionBatch) -> Metrics:
        """What the last updates left behind, values in the reward's own scale."""
        metrics, states = dict(self._latest), self._states(batch)
        policy_actions = self.policy(states, self.policy.average_actor(*states.inputs))
        metrics["critic/q_policy"] = self.average_critic(states.observations, policy_actions)
        for name in ("critic/q_data", "critic/target_q", "critic/q_policy"):
            if name in metrics:
                metrics[name] = metrics[name].float().mean() * self.return_std + self.return_mean
        if "actor/latents" in metrics:
            metrics["actor/latent_norm"] = metrics.pop("actor/latents").float().norm(dim=-1).mean()
        if "actor/values" in metrics:
            metrics["actor/agreement"] = SF.agreement(metrics.pop("actor/values"))
        if "actor/weights" in metrics:
            weights = metrics.pop("actor/weights")
            metrics["actor/weight_entropy"] = torch.special.entr(weights).sum(dim=0).mean()
            metrics["actor/effective_candidates"] = (1.0 / weights.square().sum(dim=0)).mean()
        return metrics

    def validation_step(self, batch: TransitionBatch | Tensor, batch_idx: int) -> None:
        """How well the manifold reconstructs residuals of held-out episodes, per state, from the encoder's mean."""
        if not isinstance(batch, TransitionBatch) or isinstance(self.policy.manifold, GaussianManifold):
            return
        if self.policy.is_fitted:
            return  # it does not change any more
        states = self.policy.locate(batch.observations)
        residuals = (self.base.normalizer.scale(batch.actions) - states.base_actions) / states.scales
        mean, _ = self.policy.manifold.encode(*states.inputs, residuals)
        error = SF.imitation_loss(self.policy.manifold.decode(*states.inputs, mean), residuals)
        self.log("fit/validation_reconstruction", error, batch_size=len(batch.observations))

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        """Nothing to do: rollouts are the test."""

    def train(self, mode: bool = True) -> SPARModule:
        """Train all but the base, which stays in eval mode for ever."""
        super().train(mode)
        self.base.eval()
        return self

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Separate optimizers: critic (Q and V), actor and, where it has parameters, manifold."""
        rate, actor_rate = self.hparams["learning_rate"], self.hparams["actor_learning_rate"]
        critics = [self.critic, self.value] + ([] if self.check_critic is None else [self.check_critic])
        trained = {
            "critic": Trained(critics, rate, self._critic_factor),
            "actor": Trained([self.policy.actor], actor_rate, self._actor_factor),
        }
        if not isinstance(self.policy.manifold, GaussianManifold):
            trained["manifold"] = Trained([self.policy.manifold], rate, self._manifold_factor)
        return self._adam(trained)

    def _critic_factor(self) -> float:
        end = self.hparams["warmup_steps"] if self._stops_critic else self.trainer.max_steps
        return self._remaining(0, end) if self.hparams["critic_decay"] else 1.0

    def _actor_factor(self) -> float:
        remaining = self._remaining(self.hparams["warmup_steps"], self.trainer.max_steps)
        return remaining**0.5 if self.hparams["actor_decay"] else 1.0

    def _manifold_factor(self) -> float:
        return self._remaining(0, self._manifold_steps) if self.hparams["manifold_decay"] else 1.0

    def _check_budget(self) -> None:
        warmup, max_steps = self.hparams["warmup_steps"], self.trainer.max_steps
        if 0 < max_steps <= warmup and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            rank_zero_warn(
                f"`max_steps` is {max_steps}, within the warm-up of {warmup} updates: the actor will not move. Lower"
                " `warmup_steps` or raise `max_steps`."
            )
