"""What callbacks ask of a data module whose policies can be tried in a simulator."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import lightning.pytorch as pl

from spar_lightning.types import EnvironmentUnavailableError


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
