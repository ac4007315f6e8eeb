"""What people import: a LightningModule for each algorithm, made with the algorithm's own settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from spar_lightning.algorithms import BC, IQL, SPAR, TD3BC, MeanPolicy, ReBRAC
from spar_lightning.algorithms.spar.policy import ResidualPolicy
from spar_lightning.replay import offline_data
from spar_lightning.training.module import AlgorithmModule
from spar_lightning.types import CheckpointError, ResidualProbe


class BCModule(AlgorithmModule):
    """Trains `BC`: behaviour cloning, SPAR's base."""

    algorithm_class = BC
    algorithm: BC


class TD3BCModule(AlgorithmModule):
    """Trains `TD3BC`."""

    algorithm_class = TD3BC
    algorithm: TD3BC


class IQLModule(AlgorithmModule):
    """Trains `IQL`."""

    algorithm_class = IQL
    algorithm: IQL


class ReBRACModule(AlgorithmModule):
    """Trains `ReBRAC`."""

    algorithm_class = ReBRAC
    algorithm: ReBRAC


class SPARModule(AlgorithmModule):
    """Trains `SPAR` on a base, which is a trained `BCModule`, or its settings where a checkpoint has the weights."""

    algorithm_class = SPAR
    algorithm: SPAR
    base_class = BCModule

    def _parts(self, settings: dict[str, Any]) -> dict[str, Any]:
        base = settings["base"]
        trained = base if isinstance(base, BCModule) else BCModule(**base)
        trained.freeze()
        return settings | {"base": trained.algorithm}

    def on_fit_start(self) -> None:
        """Say so if updates of the actor have fewer states than were asked for."""
        super().on_fit_start()
        algorithm, batch_size = self.algorithm, offline_data(self.trainer).batch_size
        found = batch_size + algorithm.beginnings.size
        if algorithm.lsi_batch > found:
            rank_zero_warn(
                f"`lsi_batch` is {algorithm.lsi_batch}, but batches have {batch_size} states and"
                f" {algorithm.beginnings.size} beginnings: the actor's updates have {found}. Raise `batch_size`"
            )

    @property
    def base(self) -> BC:
        """The frozen base."""
        return self.algorithm.base

    @property
    def policy(self) -> ResidualPolicy:
        """Base, manifold and latent actor."""
        return self.algorithm.policy

    def probe_residual(self, observations: Tensor) -> ResidualProbe:
        """The residual at raw observations (B, O), and how it moves with the latent."""
        return self.algorithm.probe_residual(observations)

    def expected_gain(self, observations: Tensor) -> Tensor | None:
        """What critics that did not guide the policy expect of it over the base, (B,); None without such critics."""
        return self.algorithm.expected_gain(observations)

    def leave_out_warmup(self) -> None:
        """Start with the improvement: base, manifold and critics are as `take_over`, or a checkpoint, gives them."""
        self.hparams["warmup_steps"] = self.hparams["manifold_steps"] = 0
        self.algorithm.leave_out_warmup()

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
        stops = theirs.get("freeze_critic")
        if stops is False or (stops is None and theirs.get("critic_target") != "returns"):
            rank_zero_warn(
                "the checkpoint's critics went on learning after its warm-up: they are taken over as they were in the"
                " end, and not as its own improvement began with them"
            )
        self.load_state_dict(checkpoint["state_dict"])
        self.policy.restart()


ALGORITHMS: dict[str, type[AlgorithmModule]] = {
    "spar": SPARModule,
    "bc": BCModule,
    "td3_bc": TD3BCModule,
    "iql": IQLModule,
    "rebrac": ReBRACModule,
}
"""The modules by the names that a command line has for them; the first is the default."""


class MeanModule(AlgorithmModule):
    """Holds a `MeanPolicy`; a checkpoint of it has the weights of all members."""

    algorithm_class = MeanPolicy
    algorithm: MeanPolicy

    def _parts(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Members are given as their modules' names and settings, as a checkpoint has them."""
        modules = {module.__name__: module for module in ALGORITHMS.values()}
        made = [modules[member["module"]](**member["settings"]) for member in settings["members"]]
        return {"members": [module.algorithm for module in made]}


KNOWN = {module.__name__: module for module in (*ALGORITHMS.values(), MeanModule)}
"""The modules that a checkpoint may name."""
