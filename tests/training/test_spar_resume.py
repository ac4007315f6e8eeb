"""A run that was stopped goes on as if it had not been."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from small_runs import BATCH_SIZE, History, copy_state, differing, fit

from spar_lightning.callbacks import ResumableCheckpoint
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import SPARModule

MakeSPAR = Callable[..., SPARModule]
STOP, END = 13, 30


class StopAt(pl.Callback):
    """Ends training early, as an interruption would, without another plan for the learning rates."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.step


def _optimizer_states(trainer: pl.Trainer) -> list[torch.Tensor]:
    states = [optimizer.state_dict() for optimizer in trainer.optimizers]
    tensors = [value for state in states for one in state["state"].values() for value in one.values()]
    return tensors + [torch.tensor(group["lr"]) for state in states for group in state["param_groups"]]


# In the warm-up, at its end, after a refresh, between two of the actor's updates, and with each kind of noise.
@pytest.mark.parametrize("stop", [3, 6, 10, STOP])
@pytest.mark.parametrize("settings", [{}, {"critic_target": "policy"}, {"trace_decay": 0.9}], ids=str)
def test_a_resumed_run_is_bit_exact(
    make_spar: MakeSPAR, dataset: str, tmp_path: Path, settings: dict[str, Any], stop: int
) -> None:
    def data() -> OfflineDataModule:
        return OfflineDataModule(dataset, batch_size=BATCH_SIZE, seed=0)

    whole, history = make_spar(**settings), History()
    trainer = fit(whole, data(), END, [history])

    callbacks = [StopAt(stop), ResumableCheckpoint(dirpath=str(tmp_path))]
    stopped = make_spar(**settings)
    fit(stopped, data(), END, callbacks)
    assert not differing(copy_state(stopped), history.states[stop])

    torch.manual_seed(99)  # another process would have other random numbers
    resumed, datamodule = make_spar(**settings), data()
    torch.manual_seed(99)
    again = fit(
        resumed, datamodule, END, [ResumableCheckpoint(dirpath=str(tmp_path))], ckpt_path=str(tmp_path / "last.ckpt")
    )
    assert again.global_step == END
    assert not differing(copy_state(whole), copy_state(resumed))
    assert torch.equal(datamodule.transitions.column("returns"), history.returns[-1])
    for ours, theirs in zip(_optimizer_states(again), _optimizer_states(trainer), strict=True):
        assert torch.equal(ours, theirs)


def test_a_finished_run_can_be_made_longer(make_spar: MakeSPAR, dataset: str, tmp_path: Path) -> None:
    data = OfflineDataModule(dataset, batch_size=BATCH_SIZE, seed=0)
    first = make_spar()
    fit(first, data, STOP, [ResumableCheckpoint(dirpath=str(tmp_path))])
    second, history = make_spar(), History()
    trainer = fit(
        second,
        OfflineDataModule(dataset, batch_size=BATCH_SIZE, seed=0),
        END,
        [history, ResumableCheckpoint(dirpath=str(tmp_path))],
        ckpt_path=str(tmp_path / "last.ckpt"),
    )
    assert trainer.global_step == END
    assert len(history.losses) == END - STOP
    assert not differing(history.states[0], copy_state(first))
    assert not any(parameter.requires_grad for parameter in second.policy.manifold.parameters())
    assert {"critic", "policy.actor", "policy.average_actor"} <= history.changes(8)  # the update 21
    assert "policy.manifold" not in set.union(*(history.changes(update) for update in range(END - STOP)))
