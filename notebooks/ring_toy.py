"""The method's claim in one picture: actions on a ring, and a value that wants to leave it.

A state is an angle. The data's actions lie on an arc of a ring around that angle, with 3% noise in the radius, and the
reward is linear in the action, along a direction that is no axis. The best action of the data's kind is therefore a
point further along the ring, while the critic's gradient points off it. Four ways of improving on the same frozen base
are compared by how far from the ring their actions end. States keep away from the value's opposite: there both ways
along the ring are as good, and a policy that is a continuous function of the state would have to cross from one to the
other through the middle.

    python notebooks/ring_toy.py --figure ring.png
"""

from __future__ import annotations

import argparse
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
import torch

from spar_lightning.algorithms import BC
from spar_lightning.datasets import Episode, OfflineDataset
from spar_lightning.datasets.sources.registry import SOURCES, Source
from spar_lightning.functional import conservative, imitation_loss
from spar_lightning.replay import OfflineDataModule, TransitionLoader
from spar_lightning.training import BCModule, SPARModule
from spar_lightning.types import Policy

FloatArray = npt.NDArray[np.float32]

RING = "ring"
RADIUS, NOISE, ARC = 0.7, 0.03, 0.5  # noise relative to the radius, arc as a standard deviation in radians
ANGLE = math.radians(40)
DIRECTION = np.array([math.cos(ANGLE), math.sin(ANGLE)], dtype=np.float32)
LARGEST_STATE = math.radians(130)  # away from the value's direction
TRANSITIONS = 5_000

BASE_UPDATES, WARMUP, IMPROVEMENT = 1_000, 1_500, 500  # updates
SETTINGS: dict[str, Any] = {
    "hidden_dims": (64, 64),
    "warmup_steps": WARMUP,
    "step": 1.0,  # the whole way, as those that follow a gradient go it
    # A run of 2,000 updates instead of 62,000: everything moves faster.
    "learning_rate": 1e-3,
    "critic_learning_rate": 1e-3,
    "actor_every": 1,
    "critic_tau": 0.01,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "self-imitation, residual": {},
    "self-imitation, latent": {"regression": "latent"},
    "value gradient, decoder": {"improvement": "value_gradient"},
}
LSI, ACTION_GRADIENT = "self-imitation, residual", "value gradient, action"


class Outcome(NamedTuple):
    """What a policy does at the states of the data."""

    name: str
    actions: FloatArray  # (N, 2)

    @property
    def distance(self) -> float:
        """Mean distance from the ring."""
        return float(np.abs(np.linalg.norm(self.actions, axis=1) - RADIUS).mean())

    @property
    def value(self) -> float:
        """Mean reward."""
        return float((self.actions @ DIRECTION).mean())


def ring_dataset(seed: int = 0) -> OfflineDataset:
    """Episodes of one step that all terminate, so that returns are rewards."""
    random = np.random.default_rng(seed)
    states = ANGLE + LARGEST_STATE * random.uniform(-1, 1, TRANSITIONS)
    angles = states + ARC * random.normal(size=TRANSITIONS)
    radii = RADIUS * (1 + NOISE * random.normal(size=TRANSITIONS))
    observations = np.stack([np.cos(states), np.sin(states)], axis=1).astype(np.float32)
    actions = (radii * np.stack([np.cos(angles), np.sin(angles)])).T.astype(np.float32)
    rewards = actions @ DIRECTION

    def read() -> Iterator[Episode]:
        for row in range(TRANSITIONS):
            one = slice(row, row + 1)
            yield Episode(observations[one], actions[one], rewards[one], observations[one], termination=True)

    bound = np.ones(2, dtype=np.float32)
    return OfflineDataset(RING, 2, 2, -bound, bound, TRANSITIONS, TRANSITIONS, read)


@contextmanager
def ring_data() -> Iterator[OfflineDataModule]:
    """The data set as one more source of data, for a while."""
    dataset = ring_dataset()
    source = Source("a toy", owns=lambda name: name == RING, open=lambda name, **settings: dataset)
    SOURCES.insert(0, source)
    try:
        datamodule = OfflineDataModule(RING, batch_size=256, validation_fraction=0.0, seed=0)
        datamodule.setup()
        yield datamodule
    finally:
        SOURCES.remove(source)


def fit(module: pl.LightningModule, datamodule: OfflineDataModule, updates: int) -> None:
    """Train without logs, checkpoints or evaluation."""
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=updates,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=datamodule)


def train_base(datamodule: OfflineDataModule, scale: float = 1.0) -> BCModule:
    """Stage 1; `scale` shortens it."""
    torch.manual_seed(0)
    base = BCModule(observation_dim=2, action_dim=2, hidden_dims=(64, 64), learning_rate=1e-3)
    fit(base, datamodule, round(scale * BASE_UPDATES))
    return base


def train_residual(base: BCModule, datamodule: OfflineDataModule, scale: float = 1.0, **settings: Any) -> SPARModule:
    """Stage 2, from the same numbers every time: variants share critic, manifold and first actor."""
    torch.manual_seed(0)
    warmup = round(scale * WARMUP)
    module = SPARModule(deepcopy(base), **(SETTINGS | {"warmup_steps": warmup} | settings))
    fit(module, datamodule, warmup + round(scale * IMPROVEMENT))
    return module


def climb_in_action_space(
    module: SPARModule, datamodule: OfflineDataModule, alpha: float = 2.5, scale: float = 1.0
) -> BC:
    """The comparison, as TD3+BC does it: the base's network follows the critic's gradient, held by the data's actions.

    Args:
        module: whose critic values the actions.
        datamodule: the data.
        alpha: weight of the normalized value against the squared distance to the data's actions.
        scale: shortens it.
    """
    policy = BC(**module.settings["base"])
    policy.load_state_dict(module.base.state_dict())
    optimizer = torch.optim.Adam(policy.actor.parameters(), lr=1e-3)
    batches = iter(TransitionLoader(datamodule.transitions, datamodule.batch_size, datamodule.seed))
    for _ in range(round(scale * IMPROVEMENT)):
        batch = next(batches)
        observations = policy.normalizer.normalize(batch.observations)
        actions = policy(observations)
        values = conservative(module.algorithm.critics.critic(observations, actions))
        data_term = imitation_loss(actions, policy.normalizer.scale(batch.actions)) / policy.action_dim
        loss = data_term - alpha * values.mean() / values.detach().abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return policy


def compare(variants: list[str]) -> dict[str, Outcome]:
    """Train the base and the variants of stage 2, and see what they do."""
    with ring_data() as datamodule:
        return outcomes_of(train_all(variants, datamodule), datamodule)


def train_all(variants: list[str], datamodule: OfflineDataModule, scale: float = 1.0) -> dict[str, Policy]:
    """Train the base and the variants of stage 2; the comparison uses the first one's critic."""
    base = train_base(datamodule, scale)
    trained = {name: train_residual(base, datamodule, scale, **VARIANTS[name]) for name in variants}
    first = trained[variants[0]]
    climbed = climb_in_action_space(first, datamodule, scale=scale)
    return {"base": base, "fitted": first.reference_policies()["fitted"], **trained, ACTION_GRADIENT: climbed}


def outcomes_of(policies: Mapping[str, Policy], datamodule: OfflineDataModule) -> dict[str, Outcome]:
    """What the data and each policy do at the data's states."""
    observations = datamodule.transitions.observations.numpy()
    outcomes = {name: Outcome(name, policy.act(observations)) for name, policy in policies.items()}
    return {"data": Outcome("data", datamodule.transitions.actions.numpy())} | outcomes


@torch.no_grad()
def values_over_actions(module: SPARModule, state: float, points: int = 81) -> tuple[FloatArray, FloatArray]:
    """What a module's critics say of actions in the square, at the state of an angle.

    Returns:
        Coordinates (P,) of both axes, and values (P, P), the first index up.
    """
    line = torch.linspace(-1.05, 1.05, points)
    actions = torch.cartesian_prod(line, line).flip(1)  # the first coordinate runs fastest
    observation = torch.tensor([[math.cos(state), math.sin(state)]]).expand(len(actions), 2)
    critics = module.algorithm.critics
    values = critics.unstandardized(critics.critic(module.base.normalizer.normalize(observation), actions).mean(dim=0))
    return line.numpy(), values.reshape(points, points).numpy()


@torch.no_grad()
def reachable_actions(module: SPARModule, state: float, latents: int = 400) -> FloatArray:
    """Actions (K, 2) that the manifold decodes at the state of an angle: first that of latent 0, then of its prior."""
    observation = torch.tensor([[math.cos(state), math.sin(state)]]).expand(latents, 2)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(latents, module.policy.manifold.latent_dim, generator=generator)
    noise[0] = 0.0
    return module.policy(module.policy.locate(observation), noise).numpy()


def draw(outcomes: dict[str, Outcome], path: Path) -> None:
    """One panel a variant: the data, the base's actions, and where improvement has moved them."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = [*VARIANTS, ACTION_GRADIENT]
    colours = dict(zip(names, ["#0b6e4f", "#3a7ca5", "#b8860b", "#c1121f"], strict=True))
    figure, panels = plt.subplots(1, len(names), figsize=(12, 3.8), sharex=True, sharey=True)
    shown = np.random.default_rng(0).permutation(TRANSITIONS)[:700]
    circle = RADIUS * np.exp(1j * np.linspace(0, 2 * np.pi, 200))
    for panel, name in zip(panels, names, strict=True):
        outcome = outcomes[name]
        panel.plot(circle.real, circle.imag, color="#b0b0b0", linewidth=0.8, zorder=1)
        panel.scatter(*outcomes["data"].actions[shown].T, s=4, color="#d4d4d4", linewidths=0, zorder=0)
        panel.scatter(*outcomes["base"].actions[shown].T, s=3, color="#333333", linewidths=0, zorder=2)
        panel.scatter(*outcome.actions[shown].T, s=7, color=colours[name], linewidths=0, zorder=3)
        panel.annotate(
            "", 0.42 * DIRECTION, (0, 0), arrowprops={"arrowstyle": "-|>", "color": "black", "linewidth": 1.2}
        )
        panel.text(*(0.46 * DIRECTION - (0.3, -0.03)), "value", fontsize=9)
        panel.set_xlabel(
            f"{name}\ndistance {outcome.distance:.3f}, value {outcome.value:.2f}", fontsize=10.5, color=colours[name]
        )
        panel.set(aspect="equal", xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), xticks=[], yticks=[])
    handles = [
        plt.Line2D([], [], linestyle="", marker="o", markersize=5, color=colour, label=label)
        for colour, label in (
            ("#d4d4d4", f"data (distance {outcomes['data'].distance:.3f})"),
            ("#333333", f"base (value {outcomes['base'].value:.2f}, distance {outcomes['base'].distance:.3f})"),
        )
    ]
    figure.legend(handles=handles, loc="upper center", ncols=2, frameon=False, fontsize=10.5)
    figure.tight_layout(rect=(0, 0, 1, 0.94))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", type=Path, help="where to draw the figure (PNG)")
    arguments = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    outcomes = compare(list(VARIANTS))
    for outcome in outcomes.values():
        print(f"{outcome.name:26} distance {outcome.distance:.4f}  value {outcome.value:6.3f}")
    if arguments.figure:
        draw(outcomes, arguments.figure)


if __name__ == "__main__":
    main()
