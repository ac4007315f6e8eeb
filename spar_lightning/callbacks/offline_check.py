"""What the data alone say of a policy at the end of its training."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from spar_lightning.offline_evaluation import Settings, evaluate_offline
from spar_lightning.replay import OfflineDataModule
from spar_lightning.types import Policy, UserError

SHARE = 0.1
"""Of the time that a training took: what fitted Q evaluation may take that nobody asked for."""

USUAL_UPDATES = Settings.updates
"""Of it."""

_TIMED = (5, 25)  # updates that tell how long all would take: the first ones are slower


class OfflineCheck(pl.Callback):
    """Settings of the offline check, which results and the final table hold.

    At the end of a training the policy's distance to the data is measured at held-out states, and the module's check
    critics are asked, where it has some. Fitted Q evaluation says more, and takes longer.

    Args:
        fqe_updates: of the critics of a fitted Q evaluation, 1500 is usual; 0 leaves it out. None makes 1500 where
            there are no scores, if they take no more than a tenth of the training's time.
    """

    def __init__(self, fqe_updates: int | None = None) -> None:
        if fqe_updates is not None and fqe_updates < 0:
            raise UserError(f"fqe_updates is {fqe_updates}, expected at least 0")
        self.fqe_updates = fqe_updates

    def evaluate(self, trainer: pl.Trainer, has_scores: bool, training_s: float) -> dict[str, Any] | None:
        """What `evaluate_offline` finds of a trainer's module; None without held-out data and fitted Q evaluation.

        Args:
            trainer: after training.
            has_scores: whether the simulator has said how good the policy is.
            training_s: what the training took, in seconds.
        """
        module, datamodule = trainer.lightning_module, getattr(trainer, "datamodule", None)
        if not isinstance(datamodule, OfflineDataModule) or not isinstance(module, Policy):
            return None
        updates = self._updates(trainer, has_scores)
        if datamodule.validation_transitions is None and not updates:
            return None
        goes_on = _within(SHARE * training_s, updates) if self.fqe_updates is None else (lambda _: True)
        if updates:
            rank_zero_info(f"fitted Q evaluation: {updates:,} updates")
        try:
            return evaluate_offline(module, datamodule, Settings(updates=updates), goes_on=goes_on)
        except UserError as error:  # a run's results are not to be lost for this
            rank_zero_warn(f"The offline check is left out: {error}")
            return None

    def _updates(self, trainer: pl.Trainer, has_scores: bool) -> int:
        # Several processes would each do the same; data of one episode cannot be halved.
        tried = getattr(trainer, "fast_dev_run", False) or trainer.world_size > 1
        if tried or trainer.datamodule.transitions.num_episodes < 2:  # type: ignore[attr-defined]
            return 0
        if self.fqe_updates is not None:
            return self.fqe_updates
        return 0 if has_scores else USUAL_UPDATES


def offline_check(trainer: pl.Trainer, has_scores: bool, training_s: float) -> dict[str, Any] | None:
    """What the trainer's `OfflineCheck` finds, or one with the usual settings."""
    given = (one for one in trainer.callbacks if isinstance(one, OfflineCheck))  # type: ignore[attr-defined]
    return next(given, OfflineCheck()).evaluate(trainer, has_scores, training_s)


def _within(budget_s: float, updates: int) -> Callable[[int], bool]:
    """Goes on if so many updates take no longer than that, as far as the first ones tell."""
    first, last = _TIMED
    began = time.perf_counter()

    def goes_on(made: int) -> bool:
        nonlocal began
        if made == first:
            began = time.perf_counter()
        if made != last:
            return True
        needed = (time.perf_counter() - began) / (last - first) * updates
        if needed > budget_s:
            rank_zero_info(f"it would take {needed:.0f} s, too long for this training: `ope` makes it on its own")
        return needed <= budget_s

    return goes_on
