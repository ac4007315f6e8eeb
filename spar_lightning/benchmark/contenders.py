"""How each contender trains: through a gate, until it says stop."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from spar_lightning.benchmark.jax_td3_bc import JaxTD3BC, limit_threads
from spar_lightning.benchmark.measuring.gate import FlopGate, Gate, Loop
from spar_lightning.benchmark.measuring.stopwatch import Watched
from spar_lightning.benchmark.plain_td3_bc import PlainTD3BC, ReplayBuffer
from spar_lightning.benchmark.settings import ACTION_DIM, OBSERVATION_DIM, Setting
from spar_lightning.benchmark.synthetic import episodes
from spar_lightning.benchmark.trained_modules import train_module

_COUNTED_TRANSITIONS = 2000  # operations do not depend on how many there are


def train(setting: Setting, gate: Gate) -> None:
    """Train a contender until the gate says stop; its files go away."""
    with TemporaryDirectory(prefix="bench-") as folder:
        _TRAINERS.get(setting.contender, train_module)(setting, gate, Path(folder))


def count_flops(setting: Setting) -> float:
    """Floating-point operations of matrix products per update, forward and backward, of the same arithmetic uncompiled.

    Element-wise operations, normalizations and optimizers are not counted, nor what is logged now and then: it is a few
    training steps of one update.
    """
    if setting.contender == "jax_td3_bc":  # whose operations torch does not see
        setting = setting.references["plain"]
    as_written = {"compile": False, "capture": False, "num_seeds": 1, "precision": "32-true", "updates_per_batch": 1}
    counted = {**vars(setting), **as_written, "transitions": _COUNTED_TRANSITIONS}
    gate = FlopGate()
    train(Setting(**counted), gate)
    return gate.per_update


def _arrays(transitions: int) -> dict[str, npt.NDArray[np.float32]]:
    """Columns of the whole data set, `terminations` and `timeouts` set where an episode ends."""
    read = list(episodes(transitions))
    columns = {name: np.concatenate([getattr(e, name) for e in read]) for name in read[0]._fields[:-1]}
    ends = np.cumsum([len(episode.rewards) for episode in read]) - 1
    terminated = np.array([episode.termination for episode in read])
    for name, rows in {"terminations": ends[terminated], "timeouts": ends[~terminated]}.items():
        columns[name] = np.zeros(len(columns["rewards"]), dtype=np.float32)
        columns[name][rows] = 1.0
    return columns


def _train_plain(setting: Setting, gate: Gate, _: Path) -> None:
    device = "cuda" if setting.accelerator == "gpu" else "cpu"
    arrays = _arrays(setting.transitions)
    buffer = ReplayBuffer(
        arrays["observations"],
        arrays["actions"],
        arrays["rewards"][:, None],
        arrays["next_observations"],
        arrays["terminations"][:, None],
        device=device,
    )
    agent = PlainTD3BC(OBSERVATION_DIM, ACTION_DIM, setting.hidden_dim, device)
    methods = {"update_critic": "critic", "update_actor": "actor", "update_targets": "targets"}
    watched = [Watched(buffer, "sample", "data"), *(Watched(agent, name, part) for name, part in methods.items())]
    for optimizer in (agent.critic_optimizer, agent.actor_optimizer):
        watched += [Watched(optimizer, name, "optimizer") for name in ("step", "zero_grad")]
    gate.meet(Loop(torch.device(device), lambda: watched))
    going = True
    while going:
        agent.update(buffer.sample(setting.batch_size))
        going = gate.passed(agent.updates)


def _train_jax(setting: Setting, gate: Gate, _: Path) -> None:
    limit_threads(setting.threads, setting.accelerator)
    columns = _arrays(setting.transitions)
    training = JaxTD3BC(columns, ACTION_DIM, setting.hidden_dim, setting.batch_size, setting.num_seeds)
    gate.meet(Loop())  # it waits for its device itself
    while gate.passed(training.updates):
        training.train()


class _EnoughError(Exception):
    """Ends a loop of another library."""


def _train_d3rlpy(setting: Setting, gate: Gate, _: Path) -> None:
    """Train with d3rlpy's own `fit`, with its logging, progress bar and scalers off."""
    d3rlpy: Any = importlib.import_module("d3rlpy")
    device = "cuda:0" if setting.accelerator == "gpu" else "cpu:0"
    algorithm = _d3rlpy_config(d3rlpy, setting).create(device=device)
    arrays = _arrays(setting.transitions)
    dataset = d3rlpy.dataset.MDPDataset(
        arrays["observations"], arrays["actions"], arrays["rewards"], arrays["terminations"], arrays["timeouts"]
    )
    gate.meet(Loop(torch.device(device), lambda: _watched_d3rlpy(algorithm.impl, dataset)))

    def pass_gate(_: Any, __: int, step: int) -> None:
        if not gate.passed(step):
            raise _EnoughError

    try:
        algorithm.fit(
            dataset,
            n_steps=10**9,
            n_steps_per_epoch=1000,
            logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
            show_progress=False,
            callback=pass_gate,
        )
    except _EnoughError:
        return


def _watched_d3rlpy(implementation: Any, dataset: Any) -> list[Watched]:
    methods = {
        "inner_update": "step",
        "update_critic": "critic",
        "update_actor": "actor",
        "update_critic_target": "targets",
        "update_actor_target": "targets",
    }
    watched = [Watched(implementation, name, part) for name, part in methods.items()]
    return [Watched(dataset, "sample_transition_batch", "data"), *watched]


def _d3rlpy_config(d3rlpy: Any, setting: Setting) -> Any:
    encoder = d3rlpy.models.VectorEncoderFactory([setting.hidden_dim, setting.hidden_dim])
    arguments = {
        "batch_size": setting.batch_size,
        "n_critics": 2,
        "actor_encoder_factory": encoder,
        "critic_encoder_factory": encoder,
    }
    if setting.contender == "d3rlpy_td3_bc":
        return d3rlpy.algos.TD3PlusBCConfig(**arguments)
    return d3rlpy.algos.IQLConfig(value_encoder_factory=encoder, **arguments)


_TRAINERS: dict[str, Callable[[Setting, Gate, Path], None]] = {
    "plain": _train_plain,
    "d3rlpy_td3_bc": _train_d3rlpy,
    "d3rlpy_iql": _train_d3rlpy,
    "jax_td3_bc": _train_jax,
}
