"""How far a policy leaves its base, and whether it stays on the data's manifold."""

from __future__ import annotations

import re
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.seed import isolate_rng
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor
from typing_extensions import override

from spar_lightning.callbacks.interval import Interval
from spar_lightning.evaluation import ResidualStatistics, normal_drift
from spar_lightning.replay import spread_rows
from spar_lightning.types import HasReferencePolicies, HasResidual, NamesDimensions, ResidualProbe, UserError


class ResidualMonitor(pl.Callback):
    """Probes the residual at fixed states of the data, at regular intervals.

    Logs `residual/abs_mean`, `residual/latent_saturation`, `residual/action_saturation`, `residual/latent_norm`, the
    size of each action's residual as `residual_by_action/<name>`, and for TensorBoard a histogram of it as
    `residual/<name>`; names are the joints' where the simulator knows them, else `dimension_0` and so on. Once the
    manifold is fitted, which is when the module has a reference policy `fitted`, also `support/normal_drift`: the share
    of the change since the probe before that leaves the manifold, near 0 for a policy that stays on it. Does nothing
    for a policy without a residual.
    No random number of the training changes.

    Args:
        every_n_updates: updates between two probes; 0 switches the monitor off.
        num_states: states probed, evenly spaced over the training data.
    """

    def __init__(self, every_n_updates: int = 500, num_states: int = 256) -> None:
        if num_states < 1:
            raise UserError(f"num_states is {num_states}, expected at least 1: set every_n_updates to 0 for no probes")
        self.num_states = num_states
        self._interval = Interval(every_n_updates)
        self._observations: Tensor | None = None
        self._previous_actions: Tensor | None = None
        self._names: list[str] | None = None

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Forget an earlier run."""
        if stage == "fit":
            self._observations, self._previous_actions = None, None

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Choose the states."""
        self._interval.start(trainer.global_step)
        if isinstance(pl_module, HasResidual):
            transitions = cast(Any, trainer).datamodule.transitions
            rows = spread_rows(len(transitions), self.num_states)
            self._names = _action_names(cast(Any, trainer).datamodule)
            self._observations = transitions.batch(rows.to(transitions.device)).observations.to(pl_module.device)

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: Any, batch_idx: int
    ) -> None:
        """Probe and log, if it is time."""
        if self._observations is None or not self._interval.is_due(trainer.global_step):
            return
        assert isinstance(pl_module, HasResidual)
        with isolate_rng(), torch.no_grad():
            probe = pl_module.probe_residual(self._observations)
        if not probe.jacobians.isfinite().all():
            return  # a diverged policy has no directions; saying so is the loss guard's part
        self._log(trainer, pl_module, self._measure(probe))
        _log_histograms(trainer, probe, self._names)
        # While the manifold is still being fitted, a change of the action is mostly the manifold's own.
        self._previous_actions = probe.actions.clone() if _is_fitted(pl_module) else None

    @override
    def state_dict(self) -> dict[str, Any]:
        """The actions of the last probe of a fitted manifold, from which the next change is counted."""
        return {"previous_actions": self._previous_actions}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._previous_actions = state_dict["previous_actions"]

    def _measure(self, probe: ResidualProbe) -> dict[str, float]:
        statistics = ResidualStatistics(probe.actions.shape[1]).to(probe.actions.device)
        statistics.update(probe)
        values = statistics.compute()
        by_action = values.pop("residual/abs_mean_per_dimension").reshape(-1).tolist()  # one action is squeezed
        metrics = {name: float(value) for name, value in values.items()}
        names = _named(self._names, len(by_action))
        metrics |= {f"residual_by_action/{name}": value for name, value in zip(names, by_action, strict=True)}
        previous = self._previous_actions
        if previous is not None and previous.shape == probe.actions.shape:
            change = probe.actions - previous.to(probe.actions.device)
            metrics["support/normal_drift"] = float(normal_drift(change, probe.jacobians))
        return metrics

    def _log(self, trainer: pl.Trainer, pl_module: pl.LightningModule, metrics: dict[str, float]) -> None:
        pl_module.log_dict(metrics, logger=False)
        pl_module.log("residual", metrics["residual/abs_mean"], prog_bar=True, logger=False)
        # Through the module, Lightning would repeat a value at every log step until the next probe.
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step - 1)


def _is_fitted(module: pl.LightningModule) -> bool:
    return isinstance(module, HasReferencePolicies) and "fitted" in module.reference_policies()


def _action_names(datamodule: object) -> list[str] | None:
    return datamodule.dimension_names().actions if isinstance(datamodule, NamesDimensions) else None


def _named(names: list[str] | None, count: int) -> list[str]:
    """Names of dimensions as parts of a metric's name."""
    if names is None or len(names) != count:
        return [f"dimension_{number}" for number in range(count)]
    return [re.sub(r"\W+", "_", name) for name in names]


def _log_histograms(trainer: pl.Trainer, probe: ResidualProbe, names: list[str] | None) -> None:
    residuals = (probe.actions - probe.base_actions).cpu()
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
            for name, values in zip(_named(names, residuals.shape[1]), residuals.T, strict=True):
                logger.experiment.add_histogram(f"residual/{name}", values, trainer.global_step - 1)
