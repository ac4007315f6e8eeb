"""Compiled losses train as the plain ones do, and leave no trace in what is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from small_runs import HIDDEN, copy_state, fit

from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import SPARModule, TD3BCModule
from spar_lightning.training.updates import compiled_losses
from spar_lightning.training.updates.compiled_losses import CompiledLoss
from spar_lightning.types import UserError

MakeSPAR = Callable[..., SPARModule]

compiles = pytest.mark.skipif(
    not compiled_losses.traces_gradients(), reason="torch before 2.11 cannot compile gradients"
)


def _train(module: Any, dataset: str, precision: str = "32-true", **settings: Any) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    fit(module, OfflineDataModule(dataset, batch_size=32, seed=0), max_steps=12, precision=precision, **settings)
    return copy_state(module)


def _assert_near(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert torch.allclose(value.float(), right[name].float(), atol=2e-4), name


@pytest.mark.slow
@compiles
def test_compiled_spar_trains_as_the_plain_one(
    make_spar: MakeSPAR, datamodule: OfflineDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[str] = Counter()
    compile_ = torch.compile

    def watched(function: Callable[..., Any], **settings: Any) -> Callable[..., Any]:
        compiled = compile_(function, **settings)

        def call(*arguments: Any) -> Any:
            calls[function.__name__] += 1
            return compiled(*arguments)

        return call

    settings = {"warmup_steps": 6, "critic_target": "in_sample"}
    plain = _train(make_spar(**settings), datamodule.name)
    assert not calls
    monkeypatch.setattr(torch, "compile", watched)
    module = make_spar(**settings, compile=True)
    _assert_near(_train(module, datamodule.name), plain)
    assert calls == {"manifold_loss": 6, "loss": 3, "regression_loss": 6, "bootstrapped_loss": 6}


@pytest.mark.slow
@compiles
def test_compiled_td3_bc_trains_as_the_plain_one(datamodule: OfflineDataModule) -> None:
    def make(compile: bool) -> TD3BCModule:
        torch.manual_seed(0)
        return TD3BCModule(11, 3, hidden_dims=HIDDEN, compile=compile)

    class Copies(pl.Callback):
        """Copies a module in the middle of its training."""

        def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
            assert isinstance(pl_module, TD3BCModule)
            copied, observations = deepcopy(pl_module.algorithm), torch.randn(4, 11)
            assert torch.equal(copied.act(observations), pl_module.act(observations))

    plain = _train(make(compile=False), datamodule.name)
    _assert_near(_train(make(compile=True), datamodule.name, callbacks=[Copies()]), plain)


@pytest.mark.slow
@compiles
@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_a_compiled_loss_has_the_gradient_of_the_plain_one(factor: float) -> None:
    network = torch.nn.Linear(4, 1)
    parameters = list(network.parameters())

    def loss(inputs: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        outputs = network(inputs)
        return outputs.square().mean(), {"outputs": outputs.detach()}

    inputs = torch.randn(8, 4)
    expected_value, expected_metrics = loss(inputs)
    expected = torch.autograd.grad(factor * expected_value, parameters)
    value, metrics = CompiledLoss(loss, parameters, "cpu")(inputs)
    (factor * value).backward()  # a scaler of gradients multiplies the loss
    assert torch.allclose(value, expected_value)
    assert torch.allclose(metrics["outputs"], expected_metrics["outputs"])
    for parameter, gradient in zip(parameters, expected, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, gradient, atol=1e-6)


@pytest.mark.slow
@compiles
def test_any_number_of_losses_can_be_compiled() -> None:
    class Owner(torch.nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.network = torch.nn.Linear(width, 1)

        def loss(self, inputs: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            return self.network(inputs).square().mean(), {}

    owners = [Owner(width) for width in range(2, 6)]
    with torch._dynamo.config.patch(recompile_limit=2):
        for owner in owners:
            CompiledLoss(owner.loss, list(owner.parameters()), "cpu")(torch.randn(8, owner.network.in_features))


@pytest.mark.slow
@compiles
def test_compiled_losses_are_computed_in_mixed_precision_too(
    make_spar: MakeSPAR, datamodule: OfflineDataModule
) -> None:
    state = _train(make_spar(warmup_steps=6, compile=True), datamodule.name, precision="bf16-mixed")
    assert all(value.isfinite().all() for value in state.values())


@compiles
def test_compiling_needs_a_compiler(
    make_spar: MakeSPAR, datamodule: OfflineDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UserError, match="expected a C\\+\\+ compiler"):
        _train(make_spar(compile=True), datamodule.name)


def test_a_torch_that_cannot_compile_gradients_is_told_of_and_does_without(
    make_spar: MakeSPAR, datamodule: OfflineDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _train(make_spar(), datamodule.name)
    monkeypatch.setattr(compiled_losses, "traces_gradients", lambda: False)
    with pytest.warns(UserWarning, match=r"cannot compile gradients, expected 2\.11 or later"):
        found = _train(make_spar(compile=True), datamodule.name)
    for name, value in found.items():
        assert value.equal(plain[name]), name
