"""Updates that are replayed as a CUDA graph are the updates as they are written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast
from unittest.mock import Mock, patch

import lightning.pytorch as pl
import pytest
import torch
from small_runs import BATCH_SIZE, HIDDEN, copy_state, fit
from torch import Tensor

from spar_lightning.callbacks import ResumableCheckpoint
from spar_lightning.replay import Minibatches, OfflineDataModule
from spar_lightning.training import ALGORITHMS, AlgorithmModule, BCModule, SPARModule
from spar_lightning.training.seeds import train_together
from spar_lightning.training.updates import captured, choice, joint
from spar_lightning.training.updates.batched import BatchedExecution, Told
from spar_lightning.training.updates.captured import Captured, CapturedExecution
from spar_lightning.training.updates.joint import ByItself
from spar_lightning.training.updates.stack import Training

MakeSPAR = Callable[..., SPARModule]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
ON_GPU = {"accelerator": "gpu", "devices": 1}


class Seen(pl.Callback):
    """Keeps how the updates were made; ends a training early if asked to."""

    def __init__(self, stop: int | None = None) -> None:
        self.graphs, self._stop = 0, stop

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, AlgorithmModule)
        if isinstance(pl_module.execution, ByItself):
            together = pl_module.execution.together
            self.graphs = len(together.captured) if isinstance(together, CapturedExecution) else 0
        trainer.should_stop = self._stop is not None and trainer.global_step >= self._stop


def make(kind: str, make_spar: MakeSPAR, **settings: Any) -> AlgorithmModule:
    if kind == "spar":
        return make_spar(**settings)
    torch.manual_seed(0)
    return ALGORITHMS[kind](11, 3, hidden_dims=HIDDEN, **settings)


def assert_near(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    for name, value in one.items():
        assert torch.allclose(value.float().cpu(), other[name].float().cpu(), atol=1e-4), name


@pytest.mark.cuda
@needs_cuda
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("bc", {}),
        ("td3_bc", {"gradient_clip_norm": 0.1}),
        ("td3_bc", {"actor_every": 3}),
        ("iql", {}),
        ("rebrac", {}),
        ("spar", {}),  # the end of the warm-up, 6, and the sweeps, every 5, fall into a training step
        ("spar", {"critic_target": "in_sample"}),
        ("spar", {"critic_target": "policy", "actor_every": 3}),
        ("spar", {"freeze_critic": True, "manifold_steps": 4}),
        ("spar", {"improvement": "value_gradient"}),
        ("spar", {"compile": True}),
    ],
    ids=str,
)
@pytest.mark.parametrize("per_batch", [1, 4])
def test_captured_updates_are_the_updates(
    dataset: str, make_spar: MakeSPAR, tmp_path: Path, kind: str, settings: dict[str, Any], per_batch: int
) -> None:
    def train(capture: bool, *callbacks: pl.Callback, ckpt_path: str | None = None) -> dict[str, Tensor]:
        data = OfflineDataModule(dataset, batch_size=BATCH_SIZE, seed=0, updates_per_batch=per_batch)
        module = make(kind, make_spar, capture=capture, **settings)
        fit(module, data, 60, callbacks, ckpt_path=ckpt_path, **ON_GPU)
        return copy_state(module)

    expected, seen = train(False), Seen()
    assert_near(train(True, seen), expected)
    assert seen.graphs > 0
    train(True, Seen(stop=32), ResumableCheckpoint(dirpath=str(tmp_path)))
    resumed = train(True, ResumableCheckpoint(dirpath=str(tmp_path)), ckpt_path=str(tmp_path / "last.ckpt"))
    assert_near(resumed, expected)


@pytest.mark.cuda
@needs_cuda
@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("kind", ["td3_bc", "spar"])
def test_updates_of_several_seeds_are_captured_too(
    dataset: str, monkeypatch: pytest.MonkeyPatch, kind: str, compile: bool
) -> None:
    course = {"warmup_steps": 12, "manifold_steps": 8, "refresh_every": 5, "lsi_batch": 16, "num_candidates": 4}

    def train(states: dict[int, dict[str, Tensor]], seed: int, **settings: Any) -> None:
        pl.seed_everything(seed, verbose=False)
        data = OfflineDataModule(dataset, batch_size=BATCH_SIZE, updates_per_batch=4)
        module: AlgorithmModule
        if kind == "spar":
            base = BCModule(11, 3, hidden_dims=HIDDEN)
            module = SPARModule(
                base, hidden_dims=HIDDEN, critic_hidden_dims=HIDDEN, residual=False, **course, **settings
            )
        else:
            module = ALGORITHMS[kind](11, 3, hidden_dims=HIDDEN, **settings)
        fit(module, data, 60, **ON_GPU)
        states[seed] = copy_state(module)

    graphs: list[int] = []
    capture = CapturedExecution._capture
    monkeypatch.setattr(
        CapturedExecution, "_capture", lambda self, *given: (graphs.append(len(given[0])), capture(self, *given))[1]
    )
    alone: dict[int, dict[str, Tensor]] = {}
    together: dict[int, dict[str, Tensor]] = {}
    for seed in (3, 4):
        train(alone, seed, capture=False)
    train_together([partial(train, together, seed, compile=compile) for seed in (3, 4)])
    assert set(graphs) == {2}, "expected both seeds in each graph"
    for seed, state in alone.items():
        assert_near(together[seed], state)


@pytest.mark.cuda
@needs_cuda
@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_is_captured_where_it_can_be(
    dataset: str, make_spar: MakeSPAR, caplog: pytest.LogCaptureFixture, precision: str
) -> None:
    seen, data = Seen(), OfflineDataModule(dataset, batch_size=BATCH_SIZE, seed=0, updates_per_batch=4)
    with caplog.at_level(logging.INFO):
        fit(make_spar(), data, 40, [seen], precision=precision, **ON_GPU)
    assert (seen.graphs > 0) == (precision == "bf16-mixed")
    assert ("16-mixed precision looks at gradients" in caplog.text) == (precision == "16-mixed")


@pytest.mark.cuda
@needs_cuda
def test_a_callback_that_looks_at_gradients_sees_them(
    dataset: str, make_spar: MakeSPAR, caplog: pytest.LogCaptureFixture
) -> None:
    class Gradients(pl.Callback):
        count = 0

        def on_before_optimizer_step(self, *_: Any) -> None:
            self.count += 1

    gradients, seen = Gradients(), Seen()
    with caplog.at_level(logging.INFO):
        fit(make_spar(), OfflineDataModule(dataset, batch_size=BATCH_SIZE, seed=0), 12, [gradients, seen], **ON_GPU)
    assert gradients.count > 12
    assert seen.graphs == 0
    assert "Gradients looks at gradients in the middle of an update" in caplog.text


class Recording:
    """In the place of a CUDA graph: its replay makes the updates, from the tensors that were recorded."""

    def __init__(self, make: Callable[[], None]) -> None:
        self.replay = make


class Emulated(CapturedExecution):
    """Captured updates on a CPU: all of it but CUDA's part."""

    replays: ClassVar[list[int]] = []  # of so many updates each

    def __init__(self, seeds: Sequence[Training]) -> None:
        with patch.object(torch.cuda, "Stream", Mock()):
            super().__init__(seeds)
        self.replays.clear()

    def _replayed(self, minibatches: Sequence[Minibatches], update: int) -> Told:
        with patch.object(Tensor, "pin_memory", lambda tensor: tensor):
            return super()._replayed(minibatches, update)

    def _made_aside(self, minibatches: Sequence[Minibatches], update: int) -> Told:
        return BatchedExecution.run(self, minibatches, update)

    def _capture(
        self, minibatches: Sequence[Minibatches], phases: Sequence[Hashable], memory: tuple[int, ...]
    ) -> Captured:
        indices, told = [one.indices.clone() for one in minibatches], Told()
        given = [Minibatches(one.transitions, copy) for one, copy in zip(minibatches, indices, strict=True)]
        names = [*self._stack.adams, *self._taus]
        rates = torch.zeros(len(phases), len(names))

        def make() -> None:
            told[:] = self.make(given, phases, [dict(zip(names, row, strict=True)) for row in rates])
            self.replays.append(len(phases))

        return Captured(cast(Any, Recording(make)), indices, rates, names, told, memory)


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "obstacle_to_capture", lambda *_: None)
    monkeypatch.setattr(joint, "CapturedExecution", Emulated)
    monkeypatch.setattr(torch, "compile", lambda program, **_: program)


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("td3_bc", {"actor_every": 3}),
        ("iql", {}),
        ("spar", {}),
        ("spar", {"critic_target": "policy", "actor_every": 3}),
        ("spar", {"freeze_critic": True, "manifold_steps": 4}),
        ("spar", {"compile": True}),
    ],
    ids=str,
)
@pytest.mark.parametrize("per_batch", [1, 12])
def test_replays_are_the_updates(
    dataset: str, make_spar: MakeSPAR, kind: str, settings: dict[str, Any], per_batch: int
) -> None:
    def train(capture: bool) -> dict[str, Tensor]:
        data = OfflineDataModule(dataset, batch_size=BATCH_SIZE, seed=0, updates_per_batch=per_batch)
        module = make(kind, make_spar, capture=capture, **settings)
        fit(module, data, 120)
        return copy_state(module)

    assert_near(train(True), train(False))
    assert Emulated.replays, "expected replays"


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("most", [2, 32])
def test_most_updates_are_replays_however_training_steps_are_parted(
    dataset: str, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(captured, "MOST_GRAPHS", most)
    data, seen = OfflineDataModule(dataset, batch_size=BATCH_SIZE, seed=0, updates_per_batch=64), Seen()
    fit(BCModule(11, 3, hidden_dims=HIDDEN, capture=True), data, 1920, [seen], log_every_n_steps=10)
    replayed = sum(Emulated.replays)
    assert seen.graphs <= most
    if most > 4:  # logs every 10 updates leave parts of 10, and of 4, 6 and 8: powers of two are 8, 4 and 2
        assert seen.graphs == 3
        assert replayed == 1920 - (8 + 4 + 2), "expected the first of each kind as it is, and no other"
    else:
        assert replayed > 960, "expected the graph that was not replayed for the longest time to make room"


def test_without_a_gpu_it_is_said_once_if_asked_for(dataset: str, caplog: pytest.LogCaptureFixture) -> None:
    said = "updates are not captured in a CUDA graph: they are not on a CUDA device"
    for capture, times in ((True, 1), (False, 0), ("auto", 0)):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            module = BCModule(11, 3, hidden_dims=HIDDEN, capture=capture)
            fit(module, OfflineDataModule(dataset, batch_size=BATCH_SIZE, seed=0), 12)
        assert caplog.text.count(said) == times
