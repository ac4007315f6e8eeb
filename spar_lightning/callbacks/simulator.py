"""What callbacks ask of a data module whose policies can be tried in a simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import lightning.pytorch as pl

from spar_lightning.types import EnvironmentUnavailableError, UserError


@runtime_checkable
class SimulatedData(Protocol):
    """A data set together with the simulator that it came from."""

    name: str

    @property
    def environment_id(self) -> str | None:
        """Gymnasium's id, None where it is not known."""
        ...

    @property
    def reference_scores(self) -> tuple[float, float] | None:
        """Returns of a random and an expert policy, None where they are not defined."""
        ...

    def make_environment(self) -> gym.Env[Any, Any]:
        """Make one environment, or raise EnvironmentUnavailableError."""
        ...


@runtime_checkable
class SendsSimulator(Protocol):
    """A data set whose simulator can be made in another process."""

    def environment_maker(self) -> Callable[..., gym.Env[Any, Any]]:
        """What makes one environment, of a render mode where one is given: small, and it can be pickled."""
        ...


def environment_maker(trainer: pl.Trainer) -> Callable[..., gym.Env[Any, Any]]:
    """What makes the environment of the trainer's data in another process, or to be drawn.

    Raises:
        UserError: if the data module cannot give it.
        EnvironmentUnavailableError: if there is no environment.
    """
    datamodule = getattr(trainer, "datamodule", None)
    if not isinstance(datamodule, SendsSimulator):
        raise UserError(
            f"the trainer's data module is {type(datamodule).__name__}, expected one with `environment_maker` for an "
            "evaluation in the background or a video: switch that off"
        )
    return datamodule.environment_maker()


def simulated_data(trainer: pl.Trainer) -> SimulatedData:
    """The trainer's data module.

    Raises:
        EnvironmentUnavailableError: if there is none, or it knows no simulator.
    """
    datamodule = getattr(trainer, "datamodule", None)
    if not isinstance(datamodule, SimulatedData):
        raise EnvironmentUnavailableError(
            f"the trainer's data module is {type(datamodule).__name__}, expected one with `make_environment`, "
            "`reference_scores`, `environment_id` and `name`: pass `datamodule=` to the trainer"
        )
    return datamodule
