"""SPAR: a residual on a frozen base, fitted to the data and improved by latent self-imitation."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from spar_lightning import functional as SF
from spar_lightning.algorithms.algorithm import (
    Algorithm,
    Batch,
    Beginnings,
    Columns,
    Learner,
    Metrics,
    Optimized,
    TrainingData,
    frozen_copy,
    remaining,
)
from spar_lightning.algorithms.bc import BC
from spar_lightning.algorithms.returns import ReturnSweep
from spar_lightning.algorithms.settings import check_settings
from spar_lightning.algorithms.spar.calibration import base_columns, residual_spread
from spar_lightning.algorithms.spar.critic_targets import InSample, PolicyValue, Returns
from spar_lightning.algorithms.spar.critics import Critics
from spar_lightning.algorithms.spar.improvement import SelfImitation, ValueGradient
from spar_lightning.algorithms.spar.policy import FittedPolicy, ResidualPolicy
from spar_lightning.networks import GaussianManifold, LatentActor, Normalizer, VariationalManifold
from spar_lightning.types import CheckpointError, DatasetStatistics, Policy, ResidualProbe, UserError

LARGEST_WEIGHT = 100.0
"""Of an action in the manifold's fit, before weights are scaled to a mean of 1; as IQL has it (2021)."""


class Phase(NamedTuple):
    """What an update does."""

    fits_critics: bool
    bootstraps: bool  # critics are regressed on values of next states, rather than on the data's returns
    fits_manifold: bool
    moves_actor: bool


class SPAR(Algorithm):
    r"""Support-Preserving Action Rectification: `action = base(s) + residual(s, base(s))`.

    .. math:: a(s, z) = \mathrm{clip}(base(s) + \rho(s) \, g(s, base(s), z), -1, 1), \qquad
        z = \alpha \, \mu(s, base(s))

    with `rho(s)` the deviation that the base has learned of the data. During the first `manifold_steps` updates the
    residual manifold `g` is fitted to the data, during the first `warmup_steps` an ensemble of critics to the data's
    returns. Then both stand still, and the latent actor `mu` imitates its own candidates, weighted by value: no
    gradient of a critic with respect to the action is ever followed. The policy goes a part, `alpha`, of the way that
    the actor points out.

    By default the critics hold the *behaviour's* Monte Carlo values: a one-step improvement (Brandfonbrener et al.,
    2021), which cannot diverge, nor stitch pieces of different episodes together. A smaller `trace_decay`, or a
    `critic_target` that bootstraps, can. Conservative is how candidates are told apart: the policy moves as far as the
    critics agree on their differences.

    The residual form, the frozen base, the conservative critic and latent self-imitation are the paper's (arXiv
    2605.27877); every formula and default beyond those is this project's reconstruction.

    Args:
        base: a trained `BC`, which is frozen in place.
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
        averaged_share: of the actor's updates, the share of latest ones over which the result averages its weights, as
            a power function does (Karras et al., 2024): longer and longer, so that what the actor has settled on stays
            and what it wanders around averages out.
        warmup_steps: updates before the actor moves. Long is right: critics that were fitted for 10,000 updates led to
            policies that fell, after 30,000 to steady ones.
        manifold_steps: the first of these updates that fit the manifold; None, or more, is all of them.
        freeze_critic: stop the critics at the end of the warm-up, so that the policy climbs a hill that stands still;
            None does so where they regress on `returns`.
        residual: False leaves the base out: the manifold then models the actions themselves.
        manifold: `cvae`, or `gaussian` (no decoder: the latent scales the residuals' spread directly).
        latent_dim: L; None is twice the action's size. That of a `gaussian` manifold is the action's.
        beta: weight of the manifold's KL term.
        fit_temperature: of the weights with which the manifold is fitted to the data, `exp(advantage / temperature)`,
            where an action's advantage is its return less `V`, in deviations of the batch (Peng et al., 2019); a
            small one prefers more sharply what went well. None weighs all alike.
        latent_bound: half-width of the box that latents are kept in: the support.
        min_residual_scale: floor of the residuals' spread, as a fraction of the actions' own.
        improvement: `lsi`, `value_gradient` (through the decoder, for comparison) or `none`.
        regression: of self-imitation: on the `residual` of the weighted actions, or on the weighted `latent`.
        num_candidates: K a state, the policy's own latent among them.
        sigma: spread of the candidates around the policy, in prior standard deviations.
        kappa: how far value may pull against the prior, in prior standard deviations per unit of value slope.
        step: in (0, 1], how much of the way from the fitted policy, `z = 0`, to the actor's latents the policy goes.
            Values of the behaviour hold near the behaviour: what is gained grows with the step, what its errors may
            cost with the square (Kakade and Langford, 2002).
        actor_every: updates per actor update, after the warm-up.
        lsi_batch: states that an actor update uses.
        start_fraction: of `lsi_batch`, the share that is drawn from the beginnings of episodes; a policy that does not
            get going never reaches the states that the rest of the data are about.
        start_decay: how much less likely each later step of an episode is among those, in (0, 1): 0.98 reaches some 50
            steps.
        learning_rate: of Adam for the manifold.
        critic_learning_rate: of Adam for critics and value network.
        actor_learning_rate: of Adam for the actor.
        critic_weight_decay: of the critics, as AdamW has it. Returns are noisy, and a critic that is free to fit their
            noise ranks actions by it.
        critic_decay: let the critics' learning rate fall linearly to 0 while they are trained.
        actor_decay: let the actor's fall to 0, with the root of the updates that are left.
        manifold_decay: let the manifold's fall linearly to 0 over `manifold_steps`.
    """

    num_sweeps: Tensor

    shown = ("critic/loss", "actor/lsi_loss")

    def __init__(
        self,
        base: BC,
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
        averaged_share: float = 0.25,
        warmup_steps: int = 30_000,
        manifold_steps: int | None = 10_000,
        freeze_critic: bool | None = None,
        residual: bool = True,
        manifold: Literal["cvae", "gaussian"] = "cvae",
        latent_dim: int | None = None,
        beta: float = 0.5,
        fit_temperature: float | None = None,
        latent_bound: float = 2.0,
        min_residual_scale: float = 0.05,
        improvement: Literal["lsi", "value_gradient", "none"] = "lsi",
        regression: Literal["latent", "residual"] = "residual",
        num_candidates: int = 8,
        sigma: float = 0.5,
        kappa: float = 1.4,
        step: float = 0.5,
        actor_every: int = 1,
        lsi_batch: int = 64,
        start_fraction: float = 0.1,
        start_decay: float = 0.98,
        learning_rate: float = 3e-4,
        critic_learning_rate: float = 3e-4,
        actor_learning_rate: float = 1e-3,
        critic_weight_decay: float = 0.4,
        critic_decay: bool = True,
        actor_decay: bool = True,
        manifold_decay: bool = True,
    ) -> None:
        super().__init__(base.observation_dim, base.action_dim)
        check_settings(locals(), SPAR.__init__)
        base.requires_grad_(False).eval()
        dims = (base.observation_dim, base.action_dim)
        if manifold == "gaussian" and latent_dim not in (None, base.action_dim):
            raise UserError(
                f"`latent_dim` is {latent_dim}, expected {base.action_dim} or null with the `gaussian` manifold, whose"
                " latent scales each action dimension"
            )
        fitted = (
            VariationalManifold(*dims, latent_dim or 2 * base.action_dim, hidden_dims)
            if manifold == "cvae"
            else GaussianManifold(base.action_dim)
        )
        actor = LatentActor(*dims, fitted.latent_dim, hidden_dims, latent_bound)
        self.policy = ResidualPolicy(base, fitted, actor, step, use_base=residual)
        bootstraps = critic_target != "returns"
        self.critics = Critics(*dims, critic_hidden_dims, num_critics, num_check_critics, bootstraps)
        self.sweep_value = frozen_copy(self.critics.value)
        self.register_buffer("num_sweeps", torch.tensor(0))

        self.returns = Returns(expectile)
        self.bootstrap: InSample | PolicyValue | None = None
        if critic_target == "in_sample":
            self.bootstrap = InSample(self.critics, discount, bootstrap_expectile, conservative_deviations)
        elif critic_target == "policy":
            noise = sigma * target_noise
            self.bootstrap = PolicyValue(self.critics, self.policy, discount, expectile, conservative_deviations, noise)
        self.improvement: SelfImitation | ValueGradient | None = None
        if improvement == "lsi":
            self.improvement = SelfImitation(self.policy, self.critics, num_candidates, sigma, kappa, regression)
        elif improvement == "value_gradient":
            self.improvement = ValueGradient(self.policy, self.critics, kappa)

        self.discount, self.trace_decay, self.refresh_every = discount, trace_decay, refresh_every
        self.beta, self.fit_temperature, self.min_residual_scale = beta, fit_temperature, min_residual_scale
        self.target_tau, self.critic_tau, self.averaged_share = target_tau, critic_tau, averaged_share
        self.warmup_steps, self._manifold_steps = warmup_steps, manifold_steps
        self._takes_over = False
        self._is_checked = False  # so that a warning is said once
        self.stops_critics = not bootstraps if freeze_critic is None else freeze_critic
        self.actor_every, self.lsi_batch = actor_every, lsi_batch
        self.beginnings = Beginnings(round(start_fraction * lsi_batch), start_decay)
        self.learning_rate, self.critic_learning_rate = learning_rate, critic_learning_rate
        self.actor_learning_rate = actor_learning_rate
        self.critic_weight_decay = critic_weight_decay
        self.critic_decay, self.actor_decay, self.manifold_decay = critic_decay, actor_decay, manifold_decay

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle holds: not the data of a training."""
        return {name: value for name, value in vars(self).items() if name != "_sweep"}

    @property
    def base(self) -> BC:
        """The frozen base."""
        return self.policy.base

    @property
    def normalizer(self) -> Normalizer:  # type: ignore[override]
        """The base's: its units are the policy's."""
        return self.policy.base.normalizer

    def _make_normalizer(self) -> None:
        """Nothing: the base has one."""

    @property
    def manifold_steps(self) -> int:
        """Updates that fit the manifold."""
        return self.warmup_steps if self._manifold_steps is None else min(self._manifold_steps, self.warmup_steps)

    def train(self, mode: bool = True) -> SPAR:
        """Train all but the base, which stays in eval mode for ever."""
        super().train(mode)
        self.base.eval()
        return self

    # ----------------------------------------------------------------------------------------------------- the update

    def phase(self, update: int) -> Phase:
        """In the warm-up critics and manifold, after it the actor, and the critics unless they stand still."""
        warming_up = update < self.warmup_steps
        return Phase(
            fits_critics=warming_up or not self.stops_critics,
            bootstraps=self.bootstrap is not None and not warming_up,
            fits_manifold=self._fits_manifold(update),
            moves_actor=not warming_up and self.improvement is not None and (update + 1) % self.actor_every == 0,
        )

    def stage(self, update: int) -> str:
        """`manifold and critics`, `critics` alone, `improvement`."""
        if update >= self.warmup_steps:
            return "improvement"
        return "manifold and critics" if self._fits_manifold(update) else "critics"

    def _fits_manifold(self, update: int) -> bool:
        return update < self.manifold_steps and isinstance(self.policy.manifold, VariationalManifold)

    def warms_up(self, updates: int) -> bool:
        """Until the actor's turn: the policy that the warm-up leaves is where improvement starts from."""
        return updates < self.warmup_steps

    def update(self, batch: Batch, phase: Phase, learner: Learner) -> Metrics:
        """One step of each part that the phase names."""
        metrics: Metrics = {}
        rows = batch.rows(slice(self.beginnings.size, None))
        if phase.fits_critics:
            metrics |= self._update_critics(rows, phase, learner)
        if phase.fits_manifold:
            noise = learner.normal(rows.size, self.policy.manifold.latent_dim)
            metrics |= learner.descend("manifold", self.manifold_loss, rows, noise)
        if phase.moves_actor:
            assert self.improvement is not None
            chosen = batch.rows(slice(self.lsi_batch))
            noises = self.improvement.noises(learner, chosen.size)
            metrics |= learner.descend("actor", self.improvement.loss, chosen, *noises)
            learner.follow(self.policy.average_actor, self.policy.actor, self.actor_tau)
        return metrics

    def actor_tau(self, update: int) -> float:
        """Rate at which the averaged actor, which is the result, follows the actor."""
        return min(1.0, 1.0 / (self.averaged_share * self._actor_steps(update + 1)))

    def _actor_steps(self, updates: int) -> int:
        """Of so many updates those that have moved the actor."""
        if self.improvement is None or updates < self.warmup_steps:
            return 0
        return updates // self.actor_every - self.warmup_steps // self.actor_every

    def _update_critics(self, batch: Batch, phase: Phase, learner: Learner) -> Metrics:
        if phase.bootstraps:
            assert self.bootstrap is not None
            noises = self.bootstrap.noises(learner, batch.size)
            metrics = learner.descend("critic", self.bootstrapped_loss, batch, *noises)
        else:
            metrics = learner.descend("critic", self.regression_loss, batch)
        learner.follow(self.critics.average_critic, self.critics.critic, self.critic_tau)
        if self.critics.target_critic is not None:
            learner.follow(self.critics.target_critic, self.critics.critic, self.target_tau)
        return metrics

    def regression_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Of critics and value network, on the data's returns."""
        return self.critics.loss(batch, *self.returns(batch))

    def bootstrapped_loss(self, batch: Batch, *noises: Tensor) -> tuple[Tensor, Metrics]:
        """Of critics and value network, on values of the next states."""
        assert self.bootstrap is not None
        return self.critics.loss(batch, *self.bootstrap(batch, *noises))

    def manifold_loss(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Metrics]:
        """Evidence bound of the data's standardized residuals, weighted if so set; noise (B, L)."""
        manifold, states = self.policy.manifold, self.policy.states(batch)
        assert isinstance(manifold, VariationalManifold)
        residuals = (batch.actions - states.base_actions) / states.scales
        mean, log_std = manifold.encode(*states.inputs, residuals)
        decoded = manifold.decode(*states.inputs, mean + log_std.exp() * noise)
        weights = None if self.fit_temperature is None else self._fit_weights(batch, self.fit_temperature)
        return SF.manifold_loss(decoded, residuals, mean, log_std, self.beta, weights)

    @torch.no_grad()
    def _fit_weights(self, batch: Batch, temperature: float) -> Tensor:
        """Of a batch's actions (B,): exponential in their return beyond V, in deviations of the batch."""
        advantages = batch.columns["returns"] - self.critics.value(batch.observations).float()
        scale = temperature * (advantages.std(correction=0) + SF.SCALE_EPSILON)
        return SF.advantage_weights((advantages - advantages.mean()) / scale, beta=1.0, largest=LARGEST_WEIGHT)

    def optimizers(self, max_updates: int) -> dict[str, Optimized]:
        """One each of the critics (Q and V), the actor and, where it has parameters, the manifold."""

        def critic_factor(update: int) -> float:
            end = self.warmup_steps if self.stops_critics else max_updates
            return remaining(update, 0, end) if self.critic_decay else 1.0

        def actor_factor(update: int) -> float:
            left: float = remaining(update, self.warmup_steps, max_updates) ** 0.5
            return left if self.actor_decay else 1.0

        def manifold_factor(update: int) -> float:
            return remaining(update, 0, self.manifold_steps) if self.manifold_decay else 1.0

        found = {
            "critic": Optimized(
                self.critics.trained,
                self.critic_learning_rate,
                critic_factor,
                self.critics.decays(self.critic_weight_decay),
            ),
            "actor": Optimized([self.policy.actor], self.actor_learning_rate, actor_factor),
        }
        if isinstance(self.policy.manifold, VariationalManifold):
            found["manifold"] = Optimized([self.policy.manifold], self.learning_rate, manifold_factor)
        return found

    # ------------------------------------------------------------------------------------------- what the data give it

    def take_statistics(self, statistics: DatasetStatistics) -> None:
        """Keep the base's units; without a base, take those of the data.

        Raises:
            CheckpointError: if the base was never trained.
        """
        if self.policy.use_base and not self.normalizer.is_fitted:
            raise CheckpointError(
                "the base policy holds no normalization statistics, expected a trained one: fit a BCModule first, or"
                " load one with BCModule.load_from_checkpoint(path, weights_only=True)"
            )
        super().take_statistics(statistics)

    def prepare(self, data: TrainingData, updates: int, max_updates: int) -> Iterator[Columns]:
        """Base actions, residual scale and returns, none of which changes but the returns."""
        was_fitted = bool(self.policy.is_fitted)
        if updates == 0 and not self._is_checked:
            self.check_start(max_updates)
        self._check_course(updates)
        following = self.bootstrap is not None and self.bootstrap.reads_next_base_actions
        yield from base_columns(data, self.policy, following)
        if not was_fitted:  # else the manifold has learned what is on this scale, maybe of other data
            self.policy.residual_scale.copy_(residual_spread(data, self.min_residual_scale))
        self._sweep = ReturnSweep(data, self.discount, self.trace_decay)
        self.sweep_every = self.refresh_every or max(2000, len(data) // 50)
        if self.num_sweeps == 0:
            returns = self._sweep.constant()
            self.critics.set_scale(returns)
            yield self._returns_column(returns)
        else:
            yield self._returns_column(self._sweep.bootstrapped(self._swept_values))

    def is_due(self, updates: int) -> bool:
        """At the end of the manifold's fit, and whenever returns are to be swept that are still read."""
        return updates == self.manifold_steps or self._is_sweep_due(updates)

    def _is_sweep_due(self, updates: int) -> bool:
        is_read = updates < self.warmup_steps or not (self.stops_critics or self.bootstrap)
        return updates % self.sweep_every == 0 and is_read

    def refresh(self, data: TrainingData, updates: int) -> Iterable[Columns]:  # noqa: ARG002
        """Freeze the manifold; recompute the returns with the value network as it is now."""
        if updates == self.manifold_steps:
            self.policy.freeze_manifold()
        if self._is_sweep_due(updates):
            yield self.sweep_returns()

    def sweep_returns(self) -> Columns:
        """The returns of all transitions, with the value network as it is now."""
        self.sweep_value.load_state_dict(self.critics.value.state_dict())
        self.num_sweeps += 1
        return self._returns_column(self._sweep.bootstrapped(self._swept_values))

    def _swept_values(self, observations: Tensor) -> Tensor:
        return self.critics.unstandardized(self.sweep_value(observations))

    def _returns_column(self, returns: Tensor) -> Columns:
        mean, std = self.critics.return_mean.cpu(), self.critics.return_std.cpu()
        return {"returns": (returns - mean) / std}

    def check_start(self, max_updates: int) -> None:
        """Refuse an improvement on frozen critics that nothing was fitted to; warn where none is reached."""
        guided = self.improvement is not None and self.stops_critics
        if guided and self.warmup_steps == 0 and not self._takes_over:
            raise UserError(
                "`warmup_steps` is 0, and critics that nothing was fitted to would guide the actor: give them updates,"
                " start from a finished warm-up with `--stage improvement --ckpt_path`, or set `freeze_critic` to false"
            )
        self._is_checked = True  # after the refusal, which holds each time
        if 0 < max_updates <= self.warmup_steps:
            warnings.warn(
                f"`max_steps` is {max_updates}, within the warm-up of {self.warmup_steps} updates: the actor will not"
                " move. Lower `warmup_steps` or raise `max_steps`.",
                stacklevel=1,
            )

    def _check_course(self, updates: int) -> None:
        if self.manifold_steps == 0 and not self.policy.is_fitted:
            warnings.warn(
                "the manifold is not fitted, and `manifold_steps` or `warmup_steps` is 0: it stays as it is",
                stacklevel=2,
            )
        if updates >= self.manifold_steps:
            self.policy.freeze_manifold()
        elif self.policy.is_fitted:
            name = "manifold_steps" if self.manifold_steps < self.warmup_steps else "warmup_steps"
            raise UserError(
                f"`{name}` is {self.manifold_steps}, but the manifold of this checkpoint at update {updates} is fitted,"
                f" expected at most {updates}: resume with the checkpoint's setting, or fit a new module"
            )

    def leave_out_warmup(self) -> None:
        """Start with the improvement: base, manifold and critics are as a checkpoint gives them."""
        self.warmup_steps = self._manifold_steps = 0
        self._takes_over = True

    # ------------------------------------------------------------------------------------------------ what it tells

    @torch.no_grad()
    def summary(self, batch: Batch, metrics: Metrics) -> Metrics:
        """What the last updates left behind, values in the reward's own scale."""
        metrics = dict(metrics)
        states = self.policy.states(batch.rows(slice(self.beginnings.size, None)))
        actions = self.policy(states, self.policy.latents(states))
        metrics["critic/q_policy"] = self.critics.average_critic(states.observations, actions)
        for name in ("critic/q_data", "critic/target_q", "critic/q_policy"):
            if name in metrics:
                metrics[name] = self.critics.unstandardized(metrics[name].float().mean())
        if "actor/latents" in metrics:
            metrics["actor/latent_norm"] = metrics.pop("actor/latents").float().norm(dim=-1).mean()
        if "actor/values" in metrics:
            metrics["actor/agreement"] = SF.agreement(metrics.pop("actor/values"))
        if "actor/weights" in metrics:
            weights = metrics.pop("actor/weights")
            metrics["actor/weight_entropy"] = torch.special.entr(weights).sum(dim=0).mean()
            metrics["actor/effective_candidates"] = (1.0 / weights.square().sum(dim=0)).mean()
        return metrics

    def validation(self, batch: Batch) -> Metrics:
        """How well the manifold reconstructs residuals of held-out episodes, from the encoder's mean, while it learns.

        Per state, summed over A.
        """
        manifold = self.policy.manifold
        if not isinstance(manifold, VariationalManifold) or self.policy.is_fitted:
            return {}
        states = self.policy.located(batch.observations)
        residuals = (batch.actions - states.base_actions) / states.scales
        mean, _ = manifold.encode(*states.inputs, residuals)
        error = SF.imitation_loss(manifold.decode(*states.inputs, mean), residuals)
        return {"fit/validation_reconstruction": error}

    def reference_policies(self) -> dict[str, Policy]:
        """The frozen base and, once the manifold is frozen too, the fitted policy `z = 0`."""
        references: dict[str, Policy] = {"base": self.base}
        if self.policy.is_fitted:
            references["fitted"] = FittedPolicy(self.policy)
        return references

    def policy_version(self, updates: int) -> int:
        """How many updates have moved the policy: between the manifold's last and the actor's first none does."""
        fits = min(updates, self.manifold_steps) if self._fits_manifold(0) else 0
        return fits + self._actor_steps(updates)

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
        if self.critics.check_critic is None or not self.policy.use_base or self.bootstrap is not None:
            return None
        states = self.policy.locate(observations.to(self._policy_device()))  # the data may stay behind on another
        latents = self.policy.latents(states)
        actions = torch.stack([self.policy(states, latents), states.base_actions])
        values = [self.critics.check_critic(states.observations, one).mean(dim=0) for one in actions]
        gain: Tensor = (values[0] - values[1]) * self.critics.return_std
        return gain

    def select_actions(self, observations: Tensor) -> Tensor:
        """Raw observations (B, O) -> actions (B, A) in the environment's units."""
        return self.policy.select(observations)
