"""What holds for every module, whatever it learns."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from small_runs import HIDDEN, History, copy_state, differing, fit

from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import ALGORITHMS, SPARModule
from spar_lightning.training.checkpoints import load_module
from spar_lightning.types import Policy, UserError

Make = Callable[[], pl.LightningModule]
OBSERVATION_DIM, ACTION_DIM = 11, 3


@pytest.fixture(params=ALGORITHMS)
def make_module(request: pytest.FixtureRequest, make_spar: Callable[..., SPARModule]) -> Make:
    def make() -> pl.LightningModule:
        torch.manual_seed(0)
        module = ALGORITHMS[request.param]
        small = {"hidden_dims": HIDDEN} if "hidden_dims" in inspect.signature(module).parameters else {}
        return module(OBSERVATION_DIM, ACTION_DIM, **small)

    return make_spar if request.param == "spar" else make


def test_same_seed_gives_the_same_weights_and_another_gives_others(
    make_module: Make, datamodule: OfflineDataModule
) -> None:
    modules = []
    for seed in (1, 1, 2):
        module = make_module()
        torch.manual_seed(seed)
        fit(module, OfflineDataModule(datamodule.name, batch_size=32, seed=seed), max_steps=10)
        modules.append(copy_state(module))
    assert not differing(modules[0], modules[1])
    assert differing(modules[0], modules[2])


def test_updates_are_global_steps(make_module: Make, datamodule: OfflineDataModule) -> None:
    history = History()
    trainer = fit(make_module(), datamodule, max_steps=13, callbacks=[history])
    assert trainer.global_step == 13
    assert len(history.losses) == 13


def test_losses_are_finite_float32_and_their_parameters_move(make_module: Make, datamodule: OfflineDataModule) -> None:
    history = History()
    module = make_module()
    fit(module, datamodule, max_steps=12, callbacks=[history])
    for losses in history.losses:
        assert losses
        assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())
    assert all(value.isfinite().all() for value in module.state_dict().values())
    assert all(history.changes(update) for update in range(12))


def test_a_checkpoint_alone_rebuilds_the_policy(
    make_module: Make, datamodule: OfflineDataModule, tmp_path: Path
) -> None:
    module = make_module()
    trainer = fit(module, datamodule, max_steps=12)
    path = tmp_path / "module.ckpt"
    trainer.save_checkpoint(path)
    observations = datamodule.transitions.observations.numpy()
    expected = module.act(observations)
    for loaded in (
        type(module).load_from_checkpoint(path, weights_only=True, map_location="cpu"),
        load_module(type(module), path),
    ):
        assert not differing(copy_state(module), copy_state(loaded))
        assert np.array_equal(loaded.act(observations), expected)
        assert dict(loaded.hparams) == dict(module.hparams)


def test_act_takes_arrays_and_tensors_one_or_many(make_module: Make, datamodule: OfflineDataModule) -> None:
    module = make_module()
    fit(module, datamodule, max_steps=8)
    assert isinstance(module, Policy)
    observations = datamodule.transitions.observations[:5].clone()
    actions = module.act(observations)
    assert isinstance(actions, torch.Tensor)
    assert actions.shape == (5, ACTION_DIM)
    assert actions.dtype == torch.float32
    assert not actions.requires_grad
    assert actions.abs().max() <= 1
    assert torch.allclose(module.act(observations[2]), actions[2], atol=1e-6)
    arrays = module.act(observations.numpy())
    assert isinstance(arrays, np.ndarray)
    assert arrays.dtype == np.float32
    assert np.array_equal(arrays, actions.numpy())
    assert module.act(observations[2].numpy()).shape == (ACTION_DIM,)
    assert np.allclose(module.act(observations.numpy().astype(np.float64)), arrays)
    assert np.allclose(module.act(observations.numpy()[::2]), arrays[::2], atol=1e-6)


def test_act_takes_no_observations_at_all(make_module: Make) -> None:
    module = make_module()
    assert module.act(torch.zeros(0, OBSERVATION_DIM)).shape == (0, ACTION_DIM)
    assert module.act(np.zeros((0, OBSERVATION_DIM), dtype=np.float32)).shape == (0, ACTION_DIM)


def test_act_takes_arrays_in_any_memory_order(make_module: Make) -> None:
    module = make_module()
    observations = np.random.default_rng(0).normal(size=(5, OBSERVATION_DIM)).astype(np.float32)
    actions = module.act(observations)
    assert np.allclose(module.act(np.asfortranarray(observations)), actions, atol=1e-6)
    assert np.allclose(module.act(observations[::-1])[::-1], actions, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 12), (10,), (2, 4, 11), ()])
def test_act_refuses_other_shapes(make_module: Make, shape: tuple[int, ...]) -> None:
    for observations in (np.zeros(shape, dtype=np.float32), torch.zeros(shape)):
        with pytest.raises(UserError, match=r"`observations` has shape \(.*\), the policy expects \(\*, 11\)"):
            make_module().act(observations)


def test_bf16_mixed_trains_near_float32(make_module: Make, datamodule: OfflineDataModule) -> None:
    histories = {}
    for precision in ("32-true", "bf16-mixed"):
        histories[precision] = History()
        torch.manual_seed(0)
        fit(make_module(), datamodule, max_steps=16, callbacks=[histories[precision]], precision=precision)
    assert differing(histories["32-true"].states[-1], histories["bf16-mixed"].states[-1])
    for exact, mixed in zip(histories["32-true"].losses, histories["bf16-mixed"].losses, strict=True):
        for name, loss in exact.items():
            assert mixed[name].dtype == torch.float32
            # The actor imitates the best of a few candidates: after so few updates they are hardly told apart.
            tolerance = 0.5 if name.startswith("actor") else 0.1
            assert mixed[name].item() == pytest.approx(loss.item(), rel=tolerance, abs=0.01), name


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_mixed_precision_on_cuda(
    make_spar: Callable[..., SPARModule], datamodule: OfflineDataModule, precision: str, clip: float | None
) -> None:
    module, history = make_spar(gradient_clip_norm=clip), History()
    fit(module, datamodule, max_steps=40, callbacks=[history], accelerator="gpu", devices=1, precision=precision)
    assert all(value.isfinite().all() for value in module.state_dict().values())
    assert {"critic", "value", "policy.actor"} <= set.union(*(history.changes(update) for update in range(20, 40)))


def test_a_module_shows_the_settings_of_its_algorithm(make_module: Make) -> None:
    module = make_module()
    shown = inspect.signature(type(module)).parameters
    assert shown.keys() == module.hparams.keys()
    assert {"gradient_clip_norm", "compile"} <= shown.keys()
    for name in shown:
        assert f"{name}: " in str(type(module).__doc__), name
    with pytest.raises(TypeError, match="kapa"):
        type(module)(**dict(module.hparams), kapa=1.0)


def test_forward_is_the_policy_as_a_part_of_a_graph(make_module: Make, datamodule: OfflineDataModule) -> None:
    module = make_module()
    fit(module, datamodule, max_steps=8)
    observations = datamodule.transitions.observations[:5].clone().requires_grad_()
    actions = module(observations)
    assert torch.allclose(actions, module.act(observations), atol=1e-6)
    actions.sum().backward()
    assert observations.grad is not None


def test_an_algorithm_is_a_policy_without_a_trainer(make_module: Make) -> None:
    module = make_module()
    observations = torch.randn(4, OBSERVATION_DIM)
    assert isinstance(module.algorithm, Policy)
    assert torch.equal(module.algorithm.act(observations), module.act(observations))
    assert not any("lightning" in base.__module__.split(".") for base in type(module.algorithm).__mro__)
