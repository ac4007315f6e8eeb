"""Several seeds at once are the seeds one by one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from small_runs import BATCH_SIZE, HIDDEN, copy_state, fit
from torch import Tensor

from spar_lightning.algorithms import BC, Batch, Learner, Metrics
from spar_lightning.callbacks import ResumableCheckpoint
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import ALGORITHMS, AlgorithmModule, BCModule, SPARModule
from spar_lightning.training.seeds import train_together
from spar_lightning.training.updates.batched import BatchedExecution
from spar_lightning.types import UserError

SEEDS = (3, 4, 5)
COURSE = {"warmup_steps": 12, "manifold_steps": 8, "refresh_every": 5, "lsi_batch": 16, "num_candidates": 4}
NETWORKS = {"hidden_dims": HIDDEN, "critic_hidden_dims": HIDDEN, "num_critics": 3, "num_check_critics": 1}


def train(
    kind: str, dataset: str, folder: Path, states: dict[int, dict[str, Tensor]], seed: int, **settings: Any
) -> None:
    """Both stages of a method with one seed; keeps the weights, and a checkpoint."""
    pl.seed_everything(seed, verbose=False)
    data = OfflineDataModule(dataset, batch_size=BATCH_SIZE, updates_per_batch=4)
    module: AlgorithmModule
    if kind == "spar":
        base = BCModule(11, 3, hidden_dims=HIDDEN)
        module = SPARModule(base, **(NETWORKS | COURSE | settings))
        base.unfreeze()
        fit(base, data, max_steps=12)
        base.freeze()
    else:
        module = ALGORITHMS[kind](11, 3, hidden_dims=HIDDEN, **settings)
    fit(module, data, 40, [ResumableCheckpoint(dirpath=str(folder / str(seed)))])
    states[seed] = copy_state(module)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("bc", {}),
        ("td3_bc", {}),
        ("iql", {}),
        ("rebrac", {"gradient_clip_norm": 0.1}),
        ("spar", {}),
        ("spar", {"critic_target": "in_sample", "gradient_clip_norm": 0.1}),
        ("spar", {"critic_target": "policy", "regression": "latent"}),
        ("spar", {"freeze_critic": False, "trace_decay": 0.9}),
        ("spar", {"improvement": "value_gradient", "manifold": "gaussian"}),
    ],
    ids=str,
)
def test_each_seed_ends_as_it_would_alone(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, settings: dict[str, Any]
) -> None:
    alone: dict[int, dict[str, Tensor]] = {}
    together: dict[int, dict[str, Tensor]] = {}
    for seed in SEEDS:
        train(kind, dataset, tmp_path / "alone", alone, seed, **settings)
    counts: list[int] = []
    run = BatchedExecution.run
    monkeypatch.setattr(
        BatchedExecution, "run", lambda self, *given: (counts.append(len(given[0])), run(self, *given))[1]
    )
    folder = tmp_path / "together"
    train_together([partial(train, kind, dataset, folder, together, seed, **settings) for seed in SEEDS])
    assert set(counts) == {3}, "expected all seeds in each computation"
    for seed in SEEDS:
        for name, value in alone[seed].items():
            assert torch.allclose(value.float(), together[seed][name].float(), atol=1e-4), (seed, name)
    assert any(not torch.equal(alone[3][name], alone[4][name]) for name in alone[3] if name.endswith("head.weight"))
    # A checkpoint of one is what it is of a run alone, also in size.
    paths = [tmp_path / name / "3" / "last.ckpt" for name in ("alone", "together")]
    ours, theirs = (torch.load(path, weights_only=True) for path in paths)
    assert ours.keys() == theirs.keys()
    assert torch.equal(ours["noise"], theirs["noise"])
    assert paths[1].stat().st_size < 1.1 * paths[0].stat().st_size
    for one, other in zip(ours["optimizer_states"], theirs["optimizer_states"], strict=True):
        for number, state in one["state"].items():
            assert torch.allclose(state["exp_avg"], other["state"][number]["exp_avg"], atol=1e-5)
            assert state["step"] == other["state"][number]["step"]


def test_a_seed_that_fails_ends_all(dataset: str, tmp_path: Path) -> None:
    def broken(seed: int) -> None:
        class Broken(pl.Callback):
            def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
                if trainer.global_step >= 8 and seed == 4:
                    raise RuntimeError("broken on purpose")

        pl.seed_everything(seed, verbose=False)
        data = OfflineDataModule(dataset, batch_size=BATCH_SIZE, updates_per_batch=4)
        fit(BCModule(11, 3, hidden_dims=HIDDEN), data, 40, [Broken()])

    with pytest.raises(RuntimeError, match="broken on purpose"):
        train_together([partial(broken, seed) for seed in SEEDS])


@pytest.mark.parametrize("read", [float, bool, Tensor.item])
def test_an_update_that_reads_a_value_is_none_of_several_seeds(
    dataset: str, monkeypatch: pytest.MonkeyPatch, read: Callable[[Tensor], object]
) -> None:
    def update(algorithm: BC, batch: Batch, phase: None, learner: Learner) -> Metrics:
        metrics = learner.descend("actor", algorithm.imitation_loss, batch)
        read(metrics["bc/loss"])
        return metrics

    monkeypatch.setattr(BC, "update", update)
    fit(BCModule(11, 3, hidden_dims=HIDDEN), OfflineDataModule(dataset, batch_size=BATCH_SIZE), 2)
    with pytest.raises(UserError, match="`update` of BC reads the value of a tensor"):
        train_together([partial(train, "bc", dataset, Path("none"), {}, seed) for seed in SEEDS])


def test_a_seed_that_cannot_begin_ends_all(dataset: str) -> None:
    def begin(seed: int) -> None:
        data = OfflineDataModule(dataset, batch_size=BATCH_SIZE)
        fit(BCModule(11, 5 if seed == 4 else 3, hidden_dims=HIDDEN), data, 40)

    with pytest.raises(UserError, match="have 3 dimensions, the policy expects 5"):
        train_together([partial(begin, seed) for seed in SEEDS])


class StopAt(pl.Callback):
    """Ends a training early."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.step


def test_a_seed_that_ends_sooner_keeps_nobody_waiting(dataset: str) -> None:
    def begin(seed: int) -> None:
        pl.seed_everything(seed, verbose=False)
        data = OfflineDataModule(dataset, batch_size=BATCH_SIZE, updates_per_batch=4)
        fit(BCModule(11, 3, hidden_dims=HIDDEN), data, 40, [StopAt(8)] if seed == 4 else [])

    with pytest.raises(UserError, match="the training of another seed has ended"):
        train_together([partial(begin, seed) for seed in SEEDS])


def test_a_seed_goes_on_by_itself(dataset: str, tmp_path: Path) -> None:
    """From its own checkpoint, before its actor has moved, to the end that it would have had."""

    def begin(seed: int, folder: Path, stop: int, ckpt_path: str | None = None) -> dict[str, Tensor]:
        pl.seed_everything(seed, verbose=False)
        data = OfflineDataModule(dataset, batch_size=BATCH_SIZE, updates_per_batch=4)
        module = SPARModule(BCModule(11, 3, hidden_dims=HIDDEN), **NETWORKS, **COURSE, residual=False)
        checkpoint = ResumableCheckpoint(dirpath=str(folder / str(seed)))
        fit(module, data, 40, [StopAt(stop), checkpoint], ckpt_path=ckpt_path)
        return copy_state(module)

    train_together([partial(begin, seed, tmp_path / "together", 8) for seed in SEEDS])
    checkpoint = torch.load(tmp_path / "together" / "4" / "last.ckpt", weights_only=True)
    assert all(state for one in checkpoint["optimizer_states"] for state in one["state"].values())
    resumed = begin(4, tmp_path / "together", 40, str(tmp_path / "together" / "4" / "last.ckpt"))
    alone = begin(4, tmp_path / "alone", 40)
    for name, value in alone.items():
        assert torch.allclose(value.float(), resumed[name].float(), atol=1e-4), name


@pytest.mark.parametrize("name", ["learning_rate", "gradient_clip_norm"])
def test_settings_that_differ_are_refused(dataset: str, name: str) -> None:
    def begin(seed: int) -> None:
        module = BCModule(11, 3, hidden_dims=HIDDEN, **{name: 1e-3 if seed == 4 else 1e-4})
        fit(module, OfflineDataModule(dataset, batch_size=BATCH_SIZE), 40)

    with pytest.raises(UserError, match="the settings of several seeds differ"):
        train_together([partial(begin, seed) for seed in SEEDS])


class Gradients(pl.Callback):
    def on_before_optimizer_step(self, *_: Any) -> None:
        pass


class LookingModule(BCModule):
    def on_after_backward(self) -> None:
        pass


@pytest.mark.parametrize(("made", "callback"), [(BCModule, Gradients), (LookingModule, pl.Callback)])
def test_what_looks_into_an_update_is_refused(dataset: str, made: type[BCModule], callback: type[pl.Callback]) -> None:
    def begin() -> None:
        fit(made(11, 3, hidden_dims=HIDDEN), OfflineDataModule(dataset, batch_size=BATCH_SIZE), 40, [callback()])

    with pytest.raises(UserError, match=r"several seeds cannot be trained together: (Gradients|LookingModule) looks"):
        train_together([begin, begin])


@pytest.mark.slow
def test_seeds_are_compiled_as_one_program(dataset: str, tmp_path: Path) -> None:
    alone: dict[int, dict[str, Tensor]] = {}
    together: dict[int, dict[str, Tensor]] = {}
    train("td3_bc", dataset, tmp_path / "alone", alone, 3)
    trainings = [
        partial(train, "td3_bc", dataset, tmp_path / "together", together, seed, compile=True) for seed in (3, 4)
    ]
    train_together(trainings)
    for name, value in alone[3].items():
        assert torch.allclose(value.float(), together[3][name].float(), atol=1e-4), name
