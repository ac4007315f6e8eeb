"""Compiled updates train as they do as written, and leave no trace in what is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from small_runs import HIDDEN, copy_state, fit
from torch import Tensor

from spar_lightning.algorithms import BC, TD3BC, Batch, Metrics
from spar_lightning.algorithms.algorithm import Learner
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import AlgorithmModule, BCModule, SPARModule, TD3BCModule
from spar_lightning.types import UserError

MakeSPAR = Callable[..., SPARModule]
Update = Callable[..., Any]


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> list[Update]:
    """What is given to the compiler, in place of it."""
    given: list[Update] = []

    def as_written(function: Update, **_: Any) -> Update:
        given.append(function)
        return function

    monkeypatch.setattr(torch, "compile", as_written)
    return given


def _train(module: Any, dataset: str, precision: str = "32-true", **settings: Any) -> dict[str, Tensor]:
    torch.manual_seed(1)
    data = OfflineDataModule(dataset, batch_size=32, seed=0, updates_per_batch=2)
    fit(module, data, **{"max_steps": 12, "precision": precision, **settings})
    return copy_state(module)


def _movement(module: Any, dataset: str, **settings: Any) -> dict[str, Tensor]:
    """How far everything moves."""
    start = copy_state(module)
    return {name: value.double() - start[name].double() for name, value in _train(module, dataset, **settings).items()}


def _assert_near(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert torch.allclose(value, right[name], rtol=0, atol=0.01 * float(right[name].abs().max()) + 1e-9), name


def _make_td3_bc(**settings: Any) -> TD3BCModule:
    torch.manual_seed(0)
    return TD3BCModule(11, 3, hidden_dims=HIDDEN, **settings)


@pytest.mark.slow
def test_compiled_spar_trains_as_the_plain_one(
    make_spar: MakeSPAR, datamodule: OfflineDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []
    compile_ = torch.compile

    def watched(function: Update, **settings: Any) -> Update:
        compiled.append(function)
        return compile_(function, **settings)

    settings = {"warmup_steps": 6, "manifold_steps": 3, "critic_target": "in_sample"}
    plain = _movement(make_spar(**settings), datamodule.name)
    monkeypatch.setattr(torch, "compile", watched)
    _assert_near(_movement(make_spar(**settings, compile=True), datamodule.name), plain)
    assert len(compiled) == 4  # with the manifold, without it; with the actor, without it


@pytest.mark.slow
def test_compiled_td3_bc_trains_as_the_plain_one(datamodule: OfflineDataModule) -> None:
    class Copies(pl.Callback):
        """Copies a module in the middle of its training."""

        def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
            assert isinstance(pl_module, TD3BCModule)
            copied, observations = deepcopy(pl_module.algorithm), torch.randn(4, 11)
            assert torch.equal(copied.act(observations), pl_module.act(observations))

    plain = _movement(_make_td3_bc(), datamodule.name)
    _assert_near(_movement(_make_td3_bc(compile=True), datamodule.name, callbacks=[Copies()]), plain)


@pytest.mark.slow
def test_compiled_updates_are_made_in_mixed_precision_too(make_spar: MakeSPAR, datamodule: OfflineDataModule) -> None:
    state = _train(make_spar(warmup_steps=6, compile=True), datamodule.name, precision="bf16-mixed")
    assert all(value.isfinite().all() for value in state.values())


@pytest.mark.parametrize("stop", [4, 6])  # in the manifold's part, and where the actor's begins
def test_a_resumed_training_ends_at_the_same_bits(
    make_spar: MakeSPAR, datamodule: OfflineDataModule, tmp_path: Path, stop: int, programs: list[Update]
) -> None:
    _assert_resumes(make_spar, datamodule, tmp_path, stop)
    assert len(programs) > 4


@pytest.mark.slow
def test_a_resumed_training_ends_at_the_same_bits_as_compiled(
    make_spar: MakeSPAR, datamodule: OfflineDataModule, tmp_path: Path
) -> None:
    _assert_resumes(make_spar, datamodule, tmp_path, 4)


def _assert_resumes(make_spar: MakeSPAR, datamodule: OfflineDataModule, tmp_path: Path, stop: int) -> None:
    def make() -> SPARModule:
        return make_spar(warmup_steps=6, manifold_steps=5, compile=True)

    kept = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=stop, save_top_k=-1)
    whole = _train(make(), datamodule.name, callbacks=[kept])
    resumed = _train(make(), datamodule.name, ckpt_path=str(tmp_path / f"step={stop}.ckpt"))
    for name, value in resumed.items():
        assert value.equal(whole[name]), name


def test_batches_of_another_size_have_a_program_of_their_own(
    datamodule: OfflineDataModule, programs: list[Update]
) -> None:
    def train(compile: bool) -> dict[str, Tensor]:
        module = _make_td3_bc(compile=compile)
        found = _movement(module, datamodule.name)
        start = copy_state(module)
        fit(module, OfflineDataModule(datamodule.name, batch_size=16, seed=0), max_steps=4)
        return found | {
            f"then {name}": value.double() - start[name].double() for name, value in copy_state(module).items()
        }

    _assert_near(train(compile=True), train(compile=False))
    assert len(programs) == 4  # critic alone, critic and actor


def test_whoever_looks_at_gradients_sees_them_uncompiled(datamodule: OfflineDataModule, programs: list[Update]) -> None:
    class Norms(pl.Callback):
        """Counts steps."""

        steps = 0

        def on_before_optimizer_step(self, *_: Any) -> None:
            self.steps += 1

    norms = Norms()
    plain = _train(_make_td3_bc(), datamodule.name)
    with pytest.warns(UserWarning, match="updates are not compiled: Norms looks at gradients"):
        found = _train(_make_td3_bc(compile=True), datamodule.name, callbacks=[norms])
    assert not programs
    assert norms.steps == 18
    for name, value in found.items():
        assert value.equal(plain[name]), name


class _Backward(TD3BCModule):
    """Goes back in a way of its own."""

    algorithm_class = TD3BC

    def backward(self, loss: Tensor, *arguments: Any, **settings: Any) -> None:
        super().backward(loss, *arguments, **settings)


def test_a_module_with_a_way_back_of_its_own_is_not_compiled(
    datamodule: OfflineDataModule, programs: list[Update]
) -> None:
    with pytest.warns(UserWarning, match="updates are not compiled: _Backward looks at gradients"):
        _train(_Backward(11, 3, hidden_dims=HIDDEN, compile=True), datamodule.name)
    assert not programs


class _Counting(TD3BC):
    """Changes a buffer by itself, in place."""

    def __init__(self, observation_dim: int, action_dim: int, hidden_dims: Sequence[int] = HIDDEN) -> None:
        super().__init__(observation_dim, action_dim, hidden_dims)
        self.register_buffer("count", torch.zeros(()))

    def update(self, batch: Batch, phase: bool, learner: Learner) -> Metrics:
        self.count.add_(1)  # type: ignore[operator]
        torch.rand(())  # somebody else's random numbers
        return super().update(batch, phase, learner)


class _CountingModule(AlgorithmModule):
    algorithm_class = _Counting


@pytest.mark.usefixtures("programs")
def test_what_an_update_changes_by_itself_is_changed_once(datamodule: OfflineDataModule) -> None:
    module = _CountingModule(11, 3, compile=True)
    torch.manual_seed(1)
    _train(module, datamodule.name)
    assert int(module.algorithm.count) == 12  # type: ignore[arg-type]


@pytest.mark.usefixtures("programs")
def test_parameters_that_are_given_new_memory_are_refused(datamodule: OfflineDataModule) -> None:
    class Moves(pl.Callback):
        """Moves a parameter elsewhere."""

        def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
            parameter = next(iter(cast(TD3BCModule, pl_module).algorithm.actor.parameters()))
            parameter.data = parameter.data.clone()

    with pytest.raises(UserError, match="were given new memory during the training"):
        _train(_make_td3_bc(compile=True), datamodule.name, callbacks=[Moves()])


@pytest.mark.usefixtures("programs")
def test_statistics_of_batches_do_not_follow(datamodule: OfflineDataModule) -> None:
    module = _make_td3_bc(compile=True)
    for network in (module.algorithm.critic, module.algorithm.target_critic):
        network.add_module("norm", torch.nn.BatchNorm1d(2))
    with pytest.raises(UserError, match="statistics of batches that a BatchNorm keeps would stay behind"):
        _train(module, datamodule.name)


def test_an_update_that_reads_a_value_is_not_compiled(
    datamodule: OfflineDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    def update(algorithm: BC, batch: Batch, phase: None, learner: Learner) -> Metrics:
        metrics = learner.descend("actor", algorithm.imitation_loss, batch)
        return metrics if float(metrics["bc/loss"]) > 0 else {}

    monkeypatch.setattr(BC, "update", update)
    with pytest.raises(UserError, match=r"reads the value of a tensor .* or leave `compile` out"):
        _train(BCModule(11, 3, hidden_dims=HIDDEN, compile=True), datamodule.name)


@pytest.mark.slow
def test_a_compilation_that_fails_is_told_in_one_sentence(datamodule: OfflineDataModule, tmp_path: Path) -> None:
    compiler, script = tmp_path / "c++", tmp_path / "script.py"
    # What is left where a compilation was broken off: a library without content.
    compiler.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\n"
        "if '-o' in sys.argv:\n    pathlib.Path(sys.argv[sys.argv.index('-o') + 1]).write_bytes(b'')\n"
    )
    compiler.chmod(0o755)
    script.write_text(
        "import lightning.pytorch as pl\nfrom spar_lightning import BCModule, OfflineDataModule\n"
        f"data = OfflineDataModule({datamodule.name!r}, batch_size=8)\n"
        "trainer = pl.Trainer(max_steps=2, max_epochs=-1, logger=False, enable_checkpointing=False)\n"
        "trainer.fit(BCModule(11, 3, hidden_dims=(8,), compile=True), datamodule=data)\n"
    )
    environment = os.environ | {"CXX": str(compiler), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "compiled")}
    told = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    last = told.stderr.strip().splitlines()[-1]
    assert "UserError: an update could not be compiled (" in last
    assert "delete the folder of what was compiled" in last


def test_compiling_needs_a_compiler(
    make_spar: MakeSPAR, datamodule: OfflineDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UserError, match="expected a C\\+\\+ compiler"):
        _train(make_spar(compile=True), datamodule.name)
