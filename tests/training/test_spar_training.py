"""The course of stage 2: what moves when, on which targets, at which rates."""

from __future__ import annotations

import itertools
import pickle
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import BATCH_SIZE, HIDDEN, History, copy_state, differing, fit, memory
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from spar_lightning.functional import lambda_returns
from spar_lightning.replay import OfflineDataModule, Transitions
from spar_lightning.suite.runs import OF_IMPROVEMENT
from spar_lightning.training import BCModule, SPARModule
from spar_lightning.types import CheckpointError, HasReferencePolicies, HasResidual, UserError

MakeSPAR = Callable[..., SPARModule]
MakeBase = Callable[[], BCModule]
WARMUP = 6
CRITIC = {"critic", "check_critic", "value", "average_critic"}


@pytest.fixture
def steps() -> Iterator[list[tuple[Optimizer, float, float]]]:
    """Every optimizer step of the test: which, its learning rate, and the norm of its gradients as they were used."""
    seen: list[tuple[Optimizer, float, float]] = []

    def watch(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        squares = [parameter.grad.square().sum() for parameter in parameters if parameter.grad is not None]
        seen.append((optimizer, optimizer.param_groups[0]["lr"], float(sum(squares)) ** 0.5))

    handle = register_optimizer_step_post_hook(watch)
    yield seen
    handle.remove()


# ------------------------------------------------------------------------------------------------------ what moves


def test_the_warm_up_is_the_same_whatever_the_settings_of_the_improvement(
    make_spar: MakeSPAR, datamodule: OfflineDataModule
) -> None:
    others = {
        "improvement": "value_gradient",
        "regression": "latent",
        "num_candidates": 5,
        "sigma": 0.7,
        "kappa": 2.0,
        "step": 1.0,
        "actor_every": 3,
        "averaged_share": 0.5,
        "lsi_batch": 8,
        "start_fraction": 0.5,
        "start_decay": 0.9,
        "actor_learning_rate": 1e-2,
        "actor_decay": False,
    }
    of_speed = {"compile", "capture"}
    assert others.keys() | of_speed == OF_IMPROVEMENT
    one, other = make_spar(), make_spar(**others)
    for module in (one, other):
        fit(module, datamodule, max_steps=WARMUP)
    assert not differing(copy_state(one), copy_state(other))


def test_each_update_changes_what_it_should(make_spar: MakeSPAR, datamodule: OfflineDataModule) -> None:
    history = History()
    fit(make_spar(), datamodule, max_steps=14, callbacks=[history])
    actor = {"policy.actor", "policy.average_actor"}
    sweep = {"sweep_value", "num_sweeps"}
    for update in range(14):
        expected = CRITIC | ({"policy.manifold"} if update < WARMUP else set())
        # Of the updates after the warm-up, every second moves the actor.
        expected |= actor if update >= WARMUP and (update + 1) % 2 == 0 else set()
        expected |= sweep if (update + 1) % 5 == 0 else set()
        expected |= {"policy.is_fitted"} if update == WARMUP - 1 else set()
        assert history.changes(update) == expected, update


def test_the_base_stays_as_it_was(make_spar: MakeSPAR, make_base: MakeBase, datamodule: OfflineDataModule) -> None:
    base = make_base()
    before, observations = copy_state(base), torch.randn(50, 11)
    actions = base.act(observations)
    module = make_spar(base)
    trainer = fit(module, datamodule, max_steps=14)
    assert module.base is base.algorithm
    assert not differing(before, copy_state(base))
    assert torch.equal(base.act(observations), actions)
    module.train()
    assert not any(part.training for part in base.modules())
    assert module.algorithm.critics.training
    parameters = set(base.parameters())
    assert all(not parameter.requires_grad and parameter.grad is None for parameter in parameters)
    optimized = memory(
        p for optimizer in trainer.optimizers for group in optimizer.param_groups for p in group["params"]
    )
    assert optimized.isdisjoint(memory(parameters))
    critics = module.algorithm.critics
    averaged = [critics.average_critic, module.algorithm.sweep_value, module.policy.average_actor]
    assert optimized.isdisjoint(memory(parameter for network in averaged for parameter in network.parameters()))
    learned = [*critics.trained, module.policy.actor, module.policy.manifold]
    assert optimized == memory(parameter for network in learned for parameter in network.parameters())


def test_the_base_is_evaluated_once(make_spar: MakeSPAR, datamodule: OfflineDataModule) -> None:
    module = make_spar()
    rows: list[int] = []
    module.base.actor.register_forward_hook(lambda actor, inputs, output: rows.append(len(inputs[0])))
    fit(module, datamodule, max_steps=20)
    # three to see its shape, then observations of the whole data set, in one chunk; nothing in the loop
    assert rows == [3, len(datamodule.transitions)]


def test_updates_are_critic_updates(
    make_spar: MakeSPAR, datamodule: OfflineDataModule, steps: list[tuple[Optimizer, float, float]]
) -> None:
    trainer = fit(make_spar(), datamodule, max_steps=15)
    counts = [sum(optimizer is seen for seen, _, _ in steps) for optimizer in trainer.optimizers]
    # critic, actor in the updates 7, 9, 11, 13 from 0, manifold in the warm-up
    assert counts == [15, 4, WARMUP]
    assert trainer.global_step == 15


def test_a_frozen_critic_stops_after_the_warm_up(make_spar: MakeSPAR, datamodule: OfflineDataModule) -> None:
    history = History()
    trainer = fit(make_spar(freeze_critic=True), datamodule, max_steps=12, callbacks=[history])
    assert trainer.global_step == 12
    assert history.changes(WARMUP - 1) >= CRITIC
    after = set.union(*(history.changes(update) for update in range(WARMUP, 12)))
    assert after == {"policy.actor", "policy.average_actor"}


def test_the_averaged_critic_follows_at_its_rate(make_spar: MakeSPAR, datamodule: OfflineDataModule) -> None:
    history, tau = History(), 0.25
    fit(make_spar(critic_tau=tau), datamodule, max_steps=8, callbacks=[history])
    before, after = history.states[7], history.states[8]
    names = [name for name in after if name.startswith("algorithm.critics.average_critic.")]
    assert names
    for name in names:
        followed = after[name.replace("average_critic", "critic", 1)]
        assert torch.allclose(after[name], torch.lerp(before[name], followed, tau), atol=1e-7), name


def test_the_result_is_the_mean_of_the_latest_actors(make_spar: MakeSPAR, datamodule: OfflineDataModule) -> None:
    """Those of all updates where the share is 1."""
    history = History()
    fit(make_spar(averaged_share=1.0, actor_every=1), datamodule, max_steps=WARMUP + 6, callbacks=[history])
    states = [history.states[update] for update in range(WARMUP + 1, WARMUP + 7)]
    names = [name for name in states[-1] if name.startswith("algorithm.policy.average_actor.")]
    assert names
    for name in names:
        actors = torch.stack([state[name.replace("average_actor", "actor", 1)] for state in states])
        assert torch.allclose(states[-1][name], actors.mean(dim=0), atol=1e-6), name


@pytest.mark.parametrize(
    ("update", "rate"), [(WARMUP + 1, 1.0), (WARMUP + 3, 1.0), (WARMUP + 9, 0.4), (WARMUP + 99, 0.04)]
)
def test_the_share_sets_how_many_are_averaged(make_spar: MakeSPAR, update: int, rate: float) -> None:
    module = make_spar(averaged_share=0.5, actor_every=2)
    assert module.algorithm.actor_tau(update) == pytest.approx(rate)


def test_references_and_protocols(make_spar: MakeSPAR, datamodule: OfflineDataModule) -> None:
    module = make_spar()
    assert isinstance(module, HasReferencePolicies)
    assert isinstance(module, HasResidual)
    assert list(module.reference_policies()) == ["base"]
    fit(module, datamodule, max_steps=WARMUP)
    references = module.reference_policies()
    assert list(references) == ["base", "fitted"]
    observations = datamodule.transitions.observations[:20]
    # At the end of the warm-up the actor is still where it began, near the fitted policy.
    assert torch.allclose(module.act(observations), references["fitted"].act(observations), atol=1e-2)
    assert not torch.allclose(module.act(observations), references["base"].act(observations), atol=1e-2)


def test_the_probe_agrees_with_the_policy(make_spar: MakeSPAR, datamodule: OfflineDataModule) -> None:
    module = make_spar()
    fit(module, datamodule, max_steps=12)
    observations = datamodule.transitions.observations[:7]
    probe = module.probe_residual(observations)
    assert torch.allclose(probe.actions, module.act(observations), atol=1e-5)  # hopper's actions are in [-1, 1]
    assert torch.allclose(probe.base_actions, module.base.act(observations), atol=1e-5)
    assert torch.equal(probe.actions, probe.unclipped_actions.clamp(-1, 1))
    assert probe.jacobians.shape == (7, 3, 6)
    states, shift = module.policy.locate(observations), 1e-3 * torch.randn_like(probe.latents)
    with torch.no_grad():
        moved = module.policy.decode(states, probe.latents + shift) - module.policy.decode(
            states, probe.latents - shift
        )
    assert torch.allclose(torch.einsum("bal,bl->ba", probe.jacobians, 2 * shift), moved, atol=1e-5)


CHOICES = {
    "critic_target": ("returns", "in_sample", "policy"),
    "improvement": ("lsi", "value_gradient", "none"),
    "regression": ("latent", "residual"),
    "manifold": ("cvae", "gaussian"),
    "residual": (True, False),
}
# Every two of these choices meet in one of them.
ABLATIONS = [
    dict(zip(CHOICES, values, strict=True))
    for values in (
        ("returns", "lsi", "latent", "cvae", True),
        ("returns", "value_gradient", "residual", "gaussian", False),
        ("returns", "none", "latent", "gaussian", True),
        ("in_sample", "lsi", "residual", "gaussian", True),
        ("in_sample", "value_gradient", "latent", "cvae", False),
        ("in_sample", "none", "residual", "cvae", False),
        ("policy", "lsi", "residual", "cvae", False),
        ("policy", "value_gradient", "latent", "gaussian", True),
        ("policy", "none", "residual", "gaussian", True),
        ("policy", "lsi", "latent", "gaussian", False),
        ("returns", "value_gradient", "latent", "cvae", True),
        ("in_sample", "none", "latent", "gaussian", False),
    )
]


def test_the_ablations_cover_every_pair_of_choices() -> None:
    for (first, firsts), (second, seconds) in itertools.combinations(CHOICES.items(), 2):
        found = {(settings[first], settings[second]) for settings in ABLATIONS}
        assert found == set(itertools.product(firsts, seconds)), (first, second)


@pytest.mark.parametrize("settings", ABLATIONS, ids=lambda settings: "-".join(map(str, settings.values())))
def test_every_ablation_trains(make_spar: MakeSPAR, datamodule: OfflineDataModule, settings: dict[str, Any]) -> None:
    history, module = History(), make_spar(**settings)
    fit(module, datamodule, max_steps=12, callbacks=[history])
    assert len(history.losses) == 12
    assert all(loss.isfinite() for losses in history.losses for loss in losses.values())
    assert all(value.isfinite().all() for value in module.state_dict().values())
    assert all(np.isfinite(list(metrics.values())).all() for metrics in history.metrics)
    changed = set.union(*(history.changes(update) for update in range(12)))
    assert ("policy.actor" in changed) == (settings["improvement"] != "none")
    assert ("policy.manifold" in changed) == (settings["manifold"] == "cvae")
    assert ("target_critic" in changed) == (settings["critic_target"] != "returns")
    assert "policy.base" not in changed
    observations = datamodule.transitions.observations[:5]
    assert module.act(observations).abs().max() <= 1
    assert module.policy.locate(observations).base_actions.any() == settings["residual"]


@pytest.mark.parametrize(
    "settings", [{"conservative_deviations": 1.0}, {"num_critics": 5}, {"latent_dim": 3}, {"trace_decay": 0.5}], ids=str
)
def test_further_settings_train(make_spar: MakeSPAR, datamodule: OfflineDataModule, settings: dict[str, Any]) -> None:
    module = make_spar(**settings)
    fit(module, datamodule, max_steps=10)
    assert all(value.isfinite().all() for value in module.state_dict().values())


def test_without_a_residual_no_trained_base_is_needed(dataset: str, datamodule: OfflineDataModule) -> None:
    module = SPARModule(BCModule(11, 3, hidden_dims=HIDDEN), hidden_dims=HIDDEN, residual=False, warmup_steps=3)
    fit(module, datamodule, max_steps=6)
    assert module.base.normalizer.matches(datamodule.statistics)
    assert module.act(datamodule.transitions.observations[:4]).shape == (4, 3)


# ------------------------------------------------------------------------------------------------------ the returns


def _returns(transitions: Transitions, next_values: np.ndarray, discount: float, trace_decay: float) -> np.ndarray:
    terminations, ends = transitions.terminations.numpy() > 0.5, transitions.episode_ends.numpy()
    rewards = transitions.rewards.double().numpy()
    return lambda_returns(rewards, terminations, next_values, ends, discount, trace_decay)


@pytest.mark.parametrize("trace_decay", [0.0, 0.9, 1.0])
def test_the_column_of_returns(make_spar: MakeSPAR, datamodule: OfflineDataModule, trace_decay: float) -> None:
    module, history = make_spar(trace_decay=trace_decay, discount=0.95), History()
    fit(module, datamodule, max_steps=12, callbacks=[history])
    transitions = datamodule.transitions
    assert (transitions.episode_ends & (transitions.terminations < 0.5)).any(), "expected an episode that was cut off"
    rewards = transitions.rewards.double().numpy()
    raw = _returns(transitions, np.full(len(rewards), rewards.mean() / (1 - 0.95)), 0.95, trace_decay)
    assert module.algorithm.critics.return_mean.item() == pytest.approx(raw.mean(), rel=1e-5)
    assert module.algorithm.critics.return_std.item() == pytest.approx(raw.std(), rel=1e-3)
    assert history.returns[0].mean().item() == pytest.approx(0.0, abs=1e-4)
    for update in range(5):
        assert history.returns[update].numpy() == pytest.approx((raw - raw.mean()) / raw.std(), rel=1e-3, abs=1e-3)
    # Two refreshes later: by V as it was then, still on the scale of the first sweep.
    assert module.algorithm.num_sweeps == 2
    assert not differing(
        copy_state(module.algorithm.sweep_value), _part(history.states[10], "algorithm.critics.value.")
    )
    with torch.no_grad():
        values = (
            module.algorithm.sweep_value(module.base.normalizer.normalize(transitions.next_observations))
            .double()
            .numpy()
        )
    again = _returns(transitions, values * raw.std() + raw.mean(), 0.95, trace_decay)
    assert transitions.column("returns").numpy() == pytest.approx((again - raw.mean()) / raw.std(), rel=1e-3, abs=1e-3)


def _part(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def test_returns_are_refreshed_when_it_is_time(make_spar: MakeSPAR, datamodule: OfflineDataModule) -> None:
    history = History()
    fit(make_spar(refresh_every=4), datamodule, max_steps=13, callbacks=[history])
    refreshed = [
        update for update in range(13) if not torch.equal(history.returns[update], history.returns[update + 1])
    ]
    assert refreshed == [3, 7, 11]


def test_by_default_returns_are_refreshed_every_2000_updates(
    make_spar: MakeSPAR, datamodule: OfflineDataModule
) -> None:
    module = make_spar(refresh_every=None)
    fit(module, datamodule, max_steps=1)
    assert module.algorithm.sweep_every == 2000


def test_residual_scale_is_the_spread_of_the_residuals_or_its_floor(
    make_spar: MakeSPAR, datamodule: OfflineDataModule
) -> None:
    for floor in (0.0, 100.0):
        module = make_spar(min_residual_scale=floor)
        fit(module, datamodule, max_steps=1)
        actions, observations = datamodule.transitions.actions.clamp(-1, 1), datamodule.transitions.observations
        mean, deviations = module.base.distribution(module.base.normalizer.normalize(observations))
        expected = ((actions - mean) / deviations).std(0, correction=0)
        if floor == 100:
            expected = 100 * actions.std(0, correction=0) / deviations.mean(0)
        assert torch.allclose(module.policy.residual_scale, expected, rtol=1e-3)
        states = module.policy.locate(observations)
        assert torch.allclose(states.scales, expected * deviations, rtol=1e-3)


# ---------------------------------------------------------------------------------------- learning rates and clipping


def _rates(steps: list[tuple[Optimizer, float, float]], optimizer: Optimizer) -> list[float]:
    return [rate for seen, rate, _ in steps if seen is optimizer]


def test_learning_rates_fall_to_zero(
    make_spar: MakeSPAR, datamodule: OfflineDataModule, steps: list[tuple[Optimizer, float, float]]
) -> None:
    module = make_spar(learning_rate=0.1, critic_learning_rate=0.2, actor_learning_rate=0.01)
    critic, actor, manifold = fit(module, datamodule, max_steps=40).optimizers
    critic_rates, actor_rates = np.array(_rates(steps, critic)) / 0.2, np.array(_rates(steps, actor)) / 0.01
    remaining = 1 - np.arange(40) / 40
    assert critic_rates == pytest.approx(remaining, abs=1e-6)
    acting = np.arange(7, 40, 2)
    assert len(actor_rates) == len(acting)
    left = (40 - acting) / (40 - WARMUP)  # of the improvement
    assert actor_rates == pytest.approx(np.sqrt(left), abs=1e-6)
    manifold_rates = np.array(_rates(steps, manifold)) / 0.1
    assert manifold_rates == pytest.approx(1 - np.arange(WARMUP) / WARMUP, abs=1e-6)


def test_learning_rates_may_stay(
    make_spar: MakeSPAR, datamodule: OfflineDataModule, steps: list[tuple[Optimizer, float, float]]
) -> None:
    constant = dict.fromkeys(("critic_decay", "actor_decay", "manifold_decay"), False)
    module = make_spar(learning_rate=0.1, critic_learning_rate=0.2, actor_learning_rate=0.01, **constant)
    critic, actor, manifold = fit(module, datamodule, max_steps=12).optimizers
    assert set(_rates(steps, critic)) == {0.2}
    assert set(_rates(steps, manifold)) == {0.1}
    assert set(_rates(steps, actor)) == {0.01}


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped(
    make_spar: MakeSPAR,
    datamodule: OfflineDataModule,
    steps: list[tuple[Optimizer, float, float]],
    precision: str,
) -> None:
    limit = 1e-3
    fit(make_spar(), datamodule, max_steps=10, precision=precision)
    unclipped = [norm for _, _, norm in steps]
    assert np.median(unclipped) > 10 * limit
    steps.clear()
    fit(make_spar(gradient_clip_norm=limit), datamodule, max_steps=10, precision=precision)
    assert len(steps) == len(unclipped)
    assert max(norm for _, _, norm in steps) <= limit * 1.001
    assert np.median([norm for _, _, norm in steps]) == pytest.approx(limit, rel=1e-2)


# ---------------------------------------------------------------------------------------------------- what is refused


def test_a_base_that_was_never_trained_is_refused(dataset: str, datamodule: OfflineDataModule) -> None:
    module = SPARModule(BCModule(11, 3, hidden_dims=HIDDEN), hidden_dims=HIDDEN)
    with pytest.raises(CheckpointError, match="holds no normalization statistics"):
        fit(module, datamodule, max_steps=1)


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ((5, 3), "observations of data set 'spar/hopper/medium-v0' have 11 dimensions, the policy expects 5"),
        ((11, 2), "actions of data set 'spar/hopper/medium-v0' have 3 dimensions, the policy expects 2"),
    ],
)
def test_data_of_another_shape_are_refused(datamodule: OfflineDataModule, dims: tuple[int, int], message: str) -> None:
    module = SPARModule(BCModule(*dims, hidden_dims=HIDDEN), hidden_dims=HIDDEN)
    with pytest.raises(CheckpointError, match=message):
        fit(module, datamodule, max_steps=1)


def test_other_data_are_trained_on_with_a_warning(
    make_spar: MakeSPAR, make_base: MakeBase, datamodule: OfflineDataModule
) -> None:
    base = make_base()
    base.algorithm.normalizer.observation_mean.add_(0.5)
    module = make_spar(base)
    before = copy_state(base.algorithm)
    with pytest.warns(UserWarning, match="the policy was trained on other data"):
        fit(module, datamodule, max_steps=1)
    assert not differing(before, copy_state(module.base))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="the policy was trained on other data")
        fit(make_spar(), datamodule, max_steps=1)


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("discount", 1.5, "from 0 to 1"),
        ("trace_decay", -0.1, "from 0 to 1"),
        ("sigma", 0.0, "a positive number"),
        ("learning_rate", float("nan"), "a positive number"),
        ("critic_learning_rate", 0.0, "a positive number"),
        ("num_candidates", 1, "at least 2"),
        ("num_critics", 0, "at least 1"),
        ("hidden_dims", (16, 0), "widths from 1 to"),
        ("hidden_dims", (10**30,), "widths from 1 to"),
        ("num_critics", 10**20, "at most 2147483647"),
    ],
)
def test_settings_out_of_range_are_refused(make_spar: MakeSPAR, setting: str, value: Any, expected: str) -> None:
    with pytest.raises(UserError, match=f"`{setting}` is .*, expected .*{expected}"):
        make_spar(**{setting: value})


def test_both_ways_to_give_a_base_end_in_the_same_hyper_parameters(make_base: MakeBase, tmp_path: Path) -> None:
    base = make_base()
    by_module = SPARModule(base, hidden_dims=HIDDEN)
    by_settings = SPARModule(base.settings, hidden_dims=HIDDEN)
    assert dict(by_module.hparams) == dict(by_settings.hparams)
    assert by_module.state_dict().keys() == by_settings.state_dict().keys()


def test_a_run_within_its_warm_up_is_pointed_out(make_spar: MakeSPAR, datamodule: OfflineDataModule) -> None:
    with pytest.warns(UserWarning, match="`max_steps` is 3, within the warm-up of 3 updates: the actor will not move"):
        fit(make_spar(warmup_steps=3), datamodule, max_steps=3)


def test_without_a_warm_up_the_manifold_is_frozen_from_the_start(
    make_spar: MakeSPAR, datamodule: OfflineDataModule
) -> None:
    module = make_spar(warmup_steps=0)  # whose critics go on beside the actor
    before = copy_state(module.policy.manifold)
    fit(module, datamodule, max_steps=4)
    assert not differing(copy_state(module.policy.manifold), before)
    assert "fitted" in module.reference_policies()


def test_critics_that_nothing_was_fitted_to_do_not_guide_the_actor(
    make_spar: MakeSPAR, datamodule: OfflineDataModule
) -> None:
    module = make_spar(warmup_steps=0, freeze_critic=True)
    for _ in range(2):  # whoever tries again is refused again
        with pytest.raises(UserError, match="`warmup_steps` is 0, and critics that nothing was fitted to would guide"):
            fit(module, datamodule, max_steps=4)
    fit(make_spar(warmup_steps=0, freeze_critic=True, improvement="none"), datamodule, max_steps=4)


def test_a_longer_warm_up_is_refused_once_it_is_over(
    make_spar: MakeSPAR, datamodule: OfflineDataModule, tmp_path: Path
) -> None:
    fit(make_spar(), datamodule, max_steps=WARMUP + 2).save_checkpoint(tmp_path / "late.ckpt")
    with pytest.raises(UserError, match=r"the manifold of this checkpoint at update .* is fitted"):
        fit(
            make_spar(warmup_steps=WARMUP + 5),
            datamodule,
            max_steps=WARMUP + 9,
            ckpt_path=tmp_path / "late.ckpt",
        )


# ----------------------------------------------------------------------------- critics and manifold that stand still


def test_by_default_critics_and_manifold_stop_when_they_are_fitted(
    make_spar: MakeSPAR, datamodule: OfflineDataModule
) -> None:
    history = History()
    module = make_spar(freeze_critic=None, manifold_steps=4, actor_every=1)
    trainer = fit(module, datamodule, max_steps=12, callbacks=[history])
    assert trainer.global_step == 12
    for update in range(12):
        changed = history.changes(update)
        assert ("policy.manifold" in changed) == (update < 4), update
        assert (changed >= CRITIC) == (update < WARMUP), update
        assert ("policy.actor" in changed) == (update >= WARMUP), update
        assert ("policy.is_fitted" in changed) == (update == 3), update


def test_a_bootstrapped_critic_goes_on(make_spar: MakeSPAR, datamodule: OfflineDataModule) -> None:
    history, module = History(), make_spar(freeze_critic=None, critic_target="in_sample")
    fit(module, datamodule, max_steps=WARMUP + 3, callbacks=[history])
    assert history.changes(WARMUP + 2) >= CRITIC


def test_frozen_critics_have_a_rate_that_falls_over_the_warm_up(
    make_spar: MakeSPAR, datamodule: OfflineDataModule, steps: list[tuple[Optimizer, float, float]]
) -> None:
    module = make_spar(freeze_critic=True, critic_learning_rate=0.1)
    critic = fit(module, datamodule, max_steps=20).optimizers[0]
    rates = np.array(_rates(steps, critic)) / 0.1
    assert rates == pytest.approx(1 - np.arange(WARMUP) / WARMUP, abs=1e-6)


def test_an_improvement_can_start_from_a_finished_warm_up(
    make_spar: MakeSPAR, datamodule: OfflineDataModule, tmp_path: Path
) -> None:
    trained = make_spar(freeze_critic=True)
    fit(trained, datamodule, max_steps=12).save_checkpoint(tmp_path / "run.ckpt")
    module, history = make_spar(freeze_critic=True, kappa=3.0), History()
    module.leave_out_warmup()
    module.take_over(torch.load(tmp_path / "run.ckpt", weights_only=True))
    changed = differing(copy_state(trained), copy_state(module))
    assert {name.rpartition("actor.")[0] for name in changed} == {"algorithm.policy.", "algorithm.policy.average_"}
    fit(module, datamodule, max_steps=4, callbacks=[history])
    assert set.union(*(history.changes(update) for update in range(4))) == {"policy.actor", "policy.average_actor"}
    assert torch.equal(history.returns[0], history.returns[-1])


def test_critics_that_went_on_learning_are_lent_with_a_word(
    make_spar: MakeSPAR, datamodule: OfflineDataModule, tmp_path: Path
) -> None:
    fit(make_spar(freeze_critic=False), datamodule, max_steps=12).save_checkpoint(tmp_path / "run.ckpt")
    with pytest.warns(UserWarning, match="the checkpoint's critics went on learning after its warm-up"):
        make_spar(freeze_critic=True).take_over(torch.load(tmp_path / "run.ckpt", weights_only=True))


def test_a_fitted_manifold_keeps_its_scale_on_other_data(
    make_spar: MakeSPAR, datamodule: OfflineDataModule, dataset: str
) -> None:
    trained = make_spar(freeze_critic=True)
    fit(trained, datamodule, max_steps=12)
    module = make_spar(freeze_critic=True)
    module.leave_out_warmup()
    module.load_state_dict(trained.state_dict())
    observations = datamodule.transitions.observations[:8]
    fitted = trained.reference_policies()["fitted"].act(observations)
    fit(module, OfflineDataModule(dataset, batch_size=BATCH_SIZE, seed=0, top_fraction=0.3), max_steps=4)
    assert torch.equal(module.policy.residual_scale, trained.policy.residual_scale)
    assert torch.equal(module.reference_policies()["fitted"].act(observations), fitted)


def test_fewer_states_than_the_actor_is_to_have_are_pointed_out(
    make_spar: MakeSPAR, datamodule: OfflineDataModule
) -> None:
    with pytest.warns(UserWarning, match="`lsi_batch` is 64, but batches have 32 states and 6 beginnings"):
        fit(make_spar(lsi_batch=64), datamodule, max_steps=1)


@pytest.mark.parametrize("storage", ["memory", "map"])
def test_a_copy_of_a_trained_module_holds_no_data(make_spar: MakeSPAR, dataset: str, storage: Any) -> None:
    module = make_spar()
    fit(module, OfflineDataModule(dataset, batch_size=BATCH_SIZE, seed=0, storage=storage), max_steps=8)
    copied = deepcopy(module)
    assert not differing(copy_state(copied), copy_state(module))
    assert b"Transitions" not in pickle.dumps(module)


def test_a_warm_up_that_is_not_over_lends_nothing(
    make_spar: MakeSPAR, datamodule: OfflineDataModule, tmp_path: Path
) -> None:
    fit(make_spar(manifold_steps=2), datamodule, max_steps=WARMUP - 1).save_checkpoint(tmp_path / "early.ckpt")
    module = make_spar()
    with pytest.raises(CheckpointError, match=r"at update 5, within its warm-up of 6 updates"):
        module.take_over(torch.load(tmp_path / "early.ckpt", weights_only=True))


def test_what_check_critics_expect_is_in_units_of_the_reward(
    make_spar: MakeSPAR, datamodule: OfflineDataModule
) -> None:
    module = make_spar()
    fit(module, datamodule, max_steps=12)
    observations = datamodule.transitions.observations[:6]
    states, critics = module.policy.locate(observations), module.algorithm.critics
    actions = module.act(observations)  # hopper's are in [-1, 1]
    with torch.no_grad():
        ours, bases = (critics.check_critic(states.observations, a).mean(0) for a in (actions, states.base_actions))
    assert torch.allclose(module.expected_gain(observations), (ours - bases) * critics.return_std, atol=1e-3)
    assert make_spar(num_check_critics=0).expected_gain(observations) is None


def test_a_latent_that_a_manifold_cannot_have_is_refused(make_spar: MakeSPAR) -> None:
    with pytest.raises(UserError, match="`latent_dim` is 7, expected 3 or null with the `gaussian` manifold"):
        make_spar(manifold="gaussian", latent_dim=7)
    assert make_spar(manifold="gaussian", latent_dim=3).policy.manifold.latent_dim == 3
