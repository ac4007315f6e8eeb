"""TD3+BC: its targets and losses by hand, what moves when, and that it learns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from small_runs import BATCH_SIZE, HIDDEN, History, copy_state, differing, fit, memory

from spar_lightning.algorithms import TD3BC, Batch
from spar_lightning.callbacks import ResumableCheckpoint
from spar_lightning.functional import smoothed_actions, value_and_cloning_loss
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import TD3BCModule
from spar_lightning.types import CheckpointError, UserError

MakeTD3BC = Callable[..., Any]
CRITIC, ACTOR = {"critic"}, {"actor", "target_actor", "target_critic"}


@pytest.fixture
def make_td3_bc() -> MakeTD3BC:
    def make(**settings: Any) -> TD3BCModule:
        torch.manual_seed(0)
        return TD3BCModule(11, 3, **({"hidden_dims": HIDDEN} | settings))

    return make


@pytest.fixture
def algorithm() -> Callable[..., TD3BC]:
    def make(**settings: Any) -> TD3BC:
        torch.manual_seed(0)
        return TD3BC(11, 3, **({"hidden_dims": HIDDEN} | settings))

    return make


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    observations, following = torch.randn(2, 64, 11, generator=generator)
    actions = 2 * torch.rand(64, 3, generator=generator) - 1
    terminations = torch.tensor([0.0, 1.0]).repeat(32)
    return Batch(observations, actions, torch.randn(64, generator=generator), following, terminations, {})


# ---------------------------------------------------------------------------------------------- targets and losses


def test_targets_at_both_ends_of_an_episode(algorithm: MakeTD3BC, batch: Batch) -> None:
    td3_bc = algorithm(target_noise=0.0, discount=0.9)
    target_q = td3_bc.critic_loss(batch, torch.randn(64, 3))[1]["critic/target_q"]
    with torch.no_grad():
        next_actions = torch.tanh(td3_bc.target_actor(batch.next_observations))
        values = td3_bc.target_critic(batch.next_observations, next_actions)
    expected = batch.rewards + 0.9 * torch.minimum(values[0], values[1])
    ends = batch.terminations == 1
    assert torch.allclose(target_q[~ends], expected[~ends], atol=1e-6)
    assert torch.equal(target_q[ends], batch.rewards[ends])


def test_the_noise_of_the_target_is_clipped(algorithm: MakeTD3BC, batch: Batch) -> None:
    seen: list[torch.Tensor] = []
    td3_bc = algorithm(target_noise=100.0, target_noise_bound=0.25)
    td3_bc.target_critic.register_forward_hook(lambda critic, inputs, output: seen.append(inputs[1]))
    td3_bc.critic_loss(batch, torch.randn(64, 3))
    with torch.no_grad():
        calm = torch.tanh(td3_bc.target_actor(batch.next_observations))
    assert torch.allclose((seen[0] - calm).abs().max(), torch.tensor(0.25), atol=1e-6)
    edge = smoothed_actions(torch.full((1, 2), 0.9), torch.tensor([[0.3, -0.3]]), bound=0.5)
    assert torch.allclose(edge, torch.tensor([[1.0, 0.6]]))


def test_the_value_is_scaled_by_its_own_size(algorithm: MakeTD3BC, batch: Batch) -> None:
    td3_bc = algorithm(alpha=2.0)
    with torch.no_grad():
        q_values = td3_bc.critic(batch.observations, td3_bc(batch.observations))[0]
        distance = (td3_bc(batch.observations) - batch.actions).square().mean()
    loss, metrics = td3_bc.actor_loss(batch)
    assert torch.allclose(metrics["critic/q_policy"], q_values, atol=1e-6)
    assert loss.item() == pytest.approx((distance - 2.0 * q_values.mean() / q_values.abs().mean()).item(), rel=1e-4)


def test_the_scale_of_the_value_has_no_gradient() -> None:
    gradients = []
    for scale in (1.0, 1000.0):
        values = torch.tensor([1.0, 3.0], requires_grad=True)
        value_and_cloning_loss(scale * values, torch.zeros(2, 1), torch.zeros(2, 1), alpha=2.5).backward()
        gradients.append(values.grad)
    assert torch.allclose(gradients[0], torch.full((2,), -2.5 / 2 / 2))
    assert torch.allclose(*gradients)


def test_the_actor_climbs_the_first_critic(algorithm: MakeTD3BC, batch: Batch) -> None:
    td3_bc = algorithm()
    parameters = list(td3_bc.actor.parameters())
    found = torch.autograd.grad(td3_bc.actor_loss(batch)[0], parameters)
    actions = td3_bc(batch.observations)
    q_values = td3_bc.critic(batch.observations, actions)[0]
    expected = torch.autograd.grad(value_and_cloning_loss(q_values, actions, batch.actions, alpha=2.5), parameters)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_losses_are_float32_under_autocast(algorithm: MakeTD3BC, batch: Batch) -> None:
    td3_bc = algorithm()
    with torch.autocast("cpu", torch.bfloat16):
        outcomes = [td3_bc.critic_loss(batch, torch.randn(64, 3)), td3_bc.actor_loss(batch)]
    for loss, metrics in outcomes:
        assert loss.dtype == torch.float32
        assert {metric.dtype for metric in metrics.values()} == {torch.float32}


# ----------------------------------------------------------------------------------------------------- the training


def test_each_update_changes_what_it_should(make_td3_bc: MakeTD3BC, datamodule: OfflineDataModule) -> None:
    history = History()
    module = make_td3_bc(actor_every=3)
    trainer = fit(module, datamodule, max_steps=9, callbacks=[history])
    for update in range(9):
        assert history.changes(update) == CRITIC | (ACTOR if (update + 1) % 3 == 0 else set()), update
    assert trainer.global_step == 9
    assert module.algorithm.normalizer.matches(datamodule.statistics)
    optimized = memory(
        p for optimizer in trainer.optimizers for group in optimizer.param_groups for p in group["params"]
    )
    assert optimized == memory([*module.algorithm.critic.parameters(), *module.algorithm.actor.parameters()])


def test_the_targets_follow_at_their_rate(make_td3_bc: MakeTD3BC, datamodule: OfflineDataModule) -> None:
    history = History()
    fit(make_td3_bc(target_tau=0.25), datamodule, max_steps=2, callbacks=[history])
    before, after = history.states[1], history.states[2]
    names = [name for name in after if name.startswith("algorithm.target_")]
    assert names
    for name in names:
        expected = torch.lerp(before[name], after[name.replace("target_", "")], 0.25)
        assert torch.allclose(after[name], expected, atol=1e-7), name


def test_a_toy_is_learned(make_td3_bc: MakeTD3BC, datamodule: OfflineDataModule) -> None:
    # The reward of a transition is the first dimension of its action, and every transition ends its episode.
    datamodule.setup()
    transitions = datamodule.transitions
    transitions.set_column("rewards", transitions.actions[:, 0].clone())
    transitions.set_column("terminations", torch.ones(len(transitions)))
    scores = {}
    for alpha in (0.0, 2.5):
        module = make_td3_bc(alpha=alpha, learning_rate=3e-3, actor_learning_rate=3e-3)
        fit(module, datamodule, max_steps=600)
        scores[alpha] = np.asarray(module.act(transitions.observations[:500].numpy()))[:, 0].mean()
    assert scores[0.0] == pytest.approx(transitions.actions[:500, 0].mean().item(), abs=0.15)
    assert scores[2.5] > scores[0.0] + 0.3


def test_it_logs_what_it_should(make_td3_bc: MakeTD3BC, datamodule: OfflineDataModule) -> None:
    history = History()
    data = OfflineDataModule(datamodule.name, batch_size=BATCH_SIZE, validation_fraction=0.2, seed=0)
    settings = {"limit_val_batches": 1.0, "val_check_interval": 4, "check_val_every_n_epoch": None}
    trainer = fit(make_td3_bc(), data, max_steps=8, callbacks=[history], **settings)
    names = {"critic/loss", "critic/q_data", "critic/target_q", "critic/q_policy", "actor/loss"}
    assert names | {"actor/validation_distance"} <= trainer.callback_metrics.keys()
    assert history.losses[-1].keys() == {"critic/loss", "actor/loss"}
    assert {"critic", "actor"} <= trainer.progress_bar_metrics.keys()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped(make_td3_bc: MakeTD3BC, datamodule: OfflineDataModule, precision: str) -> None:
    history = History()
    settings = {"gradient_clip_norm": 1e-12, "learning_rate": 1e-3}
    fit(make_td3_bc(**settings), datamodule, max_steps=2, callbacks=[history], precision=precision)
    before, after = history.states[0], history.states[1]
    # Adam's step is far below its learning rate where gradients are far below its epsilon of 1e-8.
    assert differing(before, after) == {name for name in after if name.startswith("algorithm.critic.")}
    assert max((after[name] - before[name]).abs().max() for name in differing(before, after)) < 1e-6


def test_several_updates_a_batch_are_the_same_updates(make_td3_bc: MakeTD3BC, dataset: str) -> None:
    states = []
    for per_batch in (1, 4):
        module = make_td3_bc()
        fit(module, OfflineDataModule(dataset, batch_size=BATCH_SIZE, seed=0, updates_per_batch=per_batch), 12)
        states.append(copy_state(module))
    assert not differing(*states)


class StopAt(pl.Callback):
    """Ends training early, as an interruption would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.step


@pytest.mark.parametrize("stop", [7, 8])
def test_a_resumed_run_is_bit_exact(make_td3_bc: MakeTD3BC, dataset: str, tmp_path: Path, stop: int) -> None:
    def data() -> OfflineDataModule:
        return OfflineDataModule(dataset, batch_size=BATCH_SIZE, seed=0)

    whole = make_td3_bc()
    fit(whole, data(), 20)
    fit(make_td3_bc(), data(), 20, [StopAt(stop), ResumableCheckpoint(dirpath=str(tmp_path))])
    resumed = make_td3_bc()
    torch.manual_seed(99)
    checkpoint = ResumableCheckpoint(dirpath=str(tmp_path))
    trainer = fit(resumed, data(), 20, [checkpoint], ckpt_path=str(tmp_path / "last.ckpt"))
    assert trainer.global_step == 20
    assert not differing(copy_state(whole), copy_state(resumed))


@pytest.mark.parametrize(("setting", "value"), [("alpha", -1.0), ("target_noise_bound", -0.1), ("actor_every", 0)])
def test_settings_out_of_range_are_refused(make_td3_bc: MakeTD3BC, setting: str, value: float) -> None:
    with pytest.raises(UserError, match=f"`{setting}` is .*, expected at least"):
        make_td3_bc(**{setting: value})


def test_data_of_another_shape_are_refused(datamodule: OfflineDataModule) -> None:
    with pytest.raises(CheckpointError, match="have 11 dimensions, the policy expects 5"):
        fit(TD3BCModule(5, 3, hidden_dims=HIDDEN), datamodule, max_steps=1)
