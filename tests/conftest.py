"""For every test: one thread, the same random numbers, no network, and a folder of small data sets that goes away."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest
import torch
from minari.data_collector import EpisodeBuffer

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's library is imported

from spar_lightning.datasets import Episode, collect

HOPPER = "spar/hopper/medium-replay-v0"
CHEETAH = "spar/halfcheetah/medium-v0"

collect_ignore_glob = ["*conftest.py"]  # for doctests, which would import them all under the one name


@pytest.fixture(scope="session", autouse=True)
def datasets_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Minari's folder for the whole session, and a cache, so that no test touches the user's own."""
    root = tmp_path_factory.mktemp("datasets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        patch.setenv("SPAR_LIGHTNING_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield root


@pytest.fixture(autouse=True)
def _deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)  # an earlier test's seed would be the data module's
    torch.set_num_threads(1)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global generator
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def hopper(datasets_root: Path) -> str:
    """2000 transitions: every episode falls, but for those that a policy's share of the budget cuts."""
    return collect(HOPPER, steps=2000, progress=False)


@pytest.fixture(scope="session")
def cheetah(datasets_root: Path) -> str:
    """1500 transitions: an episode that reaches the time limit of 1000 steps, and one that the budget cuts."""
    return collect(CHEETAH, steps=1500, num_envs=2, progress=False)


def _buffer(length: int, observation_dim: int, action_dim: int, seed: int, terminated: bool) -> EpisodeBuffer:
    random = np.random.default_rng(seed)
    ends = np.zeros(length, dtype=bool)
    ends[-1] = True
    arrays: dict[str, Any] = {
        "observations": random.normal(size=(length + 1, observation_dim)),
        "actions": random.uniform(-1, 1, size=(length, action_dim)),
        "rewards": random.normal(size=length),
        "terminations": ends & terminated,
        "truncations": ends & (not terminated),
    }
    return EpisodeBuffer(**arrays)


@pytest.fixture
def make_minari(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Makes a local Minari data set without an environment, by default with 5 observations and 2 actions."""

    def make(
        buffers: list[EpisodeBuffer] | None = None,
        observation_space: gym.Space[Any] | None = None,
        action_space: gym.Space[Any] | None = None,
    ) -> str:
        name = "user/" + request.node.name.translate(str.maketrans("[]._ ", "-----")) + "-v3"
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # Minari asks for authors and the like
            minari.create_dataset_from_buffers(
                name,
                buffers or [_buffer(7, 5, 2, seed=1, terminated=True), _buffer(4, 5, 2, seed=2, terminated=False)],
                observation_space=observation_space or gym.spaces.Box(-np.inf, np.inf, (5,), np.float64),
                action_space=action_space or gym.spaces.Box(-1, 1, (2,), np.float32),
            )
        request.addfinalizer(lambda: minari.delete_dataset(name))
        return name

    return make


@pytest.fixture
def make_episode() -> Callable[..., Episode]:
    """Makes an episode of 3 observations and 2 actions whose values tell where they belong."""

    def make(length: int, termination: bool, start: float = 0.0, lacks_last: bool = False) -> Episode:
        times = start + np.arange(length + 1, dtype=np.float32)
        observations = np.stack([times, times + 0.25, times + 0.5], axis=1)
        return Episode(
            observations=observations[:-1],
            actions=np.stack([times, -times], axis=1)[:-1] / 1000,
            rewards=times[:-1] * 10,
            next_observations=observations[1:-1] if lacks_last else observations[1:],
            termination=termination,
        )

    return make
