"""What people import: a LightningModule for each algorithm, made with the algorithm's own settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor

from spar_lightning.algorithms import BC, IQL, SPAR, TD3BC, Algorithm, ReBRAC
from spar_lightning.algorithms.spar.policy import ResidualPolicy
from spar_lightning.training.checkpoints import load_module, module_name, read_checkpoint
from spar_lightning.training.module import AlgorithmModule
from spar_lightning.types import CheckpointError, ResidualProbe, UserError


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


def find_module(name: str) -> type[AlgorithmModule]:
    """The module of an algorithm.

    Args:
        name: one of `ALGORITHMS`, or the class path of an algorithm of the user's own, such as `my_package.MyMethod`.

    Raises:
        UserError: if there is none.
    """
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    place, _, class_name = name.rpartition(".")
    if os.getcwd() not in sys.path:  # noqa: PTH109 - as `python -m` has it, and a console script has not
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        found = getattr(import_module(place), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"`algorithm` is {name} ({error}), expected one of {', '.join(ALGORITHMS)}, or the class path of an own"
            " `Algorithm`, such as my_package.MyMethod, that can be imported from here"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Algorithm)):
        raise UserError(f"`algorithm` is {name}, expected a subclass of spar_lightning.algorithms.Algorithm there")
    text = f"Trains `{class_name}`."
    members = {"algorithm_class": found, "__doc__": text, "__module__": place, "checkpoint_name": name}
    return type(f"{class_name}Module", (AlgorithmModule,), members)


def make_module(name: str, **settings: Any) -> AlgorithmModule:
    """A module of the algorithm of this name: what another process can be told to call."""
    return find_module(name)(**settings)


def load_trained(path: str | Path, algorithm: str | None = None) -> AlgorithmModule:
    """The module in a checkpoint, of whatever algorithm.

    Args:
        path: of the checkpoint.
        algorithm: its name, where it is the class path of an own one: a checkpoint does not choose what is imported.

    Raises:
        CheckpointError: if the file is no checkpoint, or one of an own algorithm and that is not named.
    """
    name = module_name(read_checkpoint(path))
    known = next((module for module in ALGORITHMS.values() if module.__name__ == name), None)
    if algorithm is not None:
        known = find_module(algorithm)
        if (known.checkpoint_name or known.__name__) != name:
            raise CheckpointError(f"{path} holds a {name}, not one of {algorithm}: leave --algorithm out")
    if known is None:
        raise CheckpointError(
            f"{path} was trained with the own algorithm {name}: name it again with --algorithm {name}"
        )
    return load_module(known, path)
