"""Made-up data in the layouts in which the benchmarks are published, put where a download would put them."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

from spar_lightning.datasets.sources.d4rl_names import KNOWN_D4RL, PREFIX
from spar_lightning.datasets.sources.remote.remote_files import download_place
from spar_lightning.simulators import make_environment
from spar_lightning.simulators.d4rl_environments import d4rl_environment

STEPS, EPISODES = 40, 6

MINARI_ENVIRONMENTS = {
    "mujoco/walker2d/medium-v0": "Walker2d-v5",
    "D4RL/antmaze/umaze-v1": "AntMaze_UMaze-v4",
    "D4RL/pen/human-v2": "AdroitHandPen-v1",
    "D4RL/door/human-v2": "AdroitHandDoor-v1",
    "D4RL/pointmaze/umaze-v2": "PointMaze_UMaze-v3",
}


def place(name: str) -> None:
    """Put a data set of this name where it is looked for."""
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # Minari asks for authors and the like
        if name.startswith(PREFIX):
            _place_d4rl(name.removeprefix(PREFIX))
        else:
            _place_minari(name)


def _place_d4rl(name: str) -> None:
    """A file as D4RL publishes them: float32, `terminals` and `timeouts`, no next observations."""
    found = d4rl_environment(name)
    assert found is not None
    environment = make_environment(*found)
    (observations,), (actions,) = environment.observation_space.shape, environment.action_space.shape  # type: ignore[misc]
    environment.close()
    random, rows = np.random.default_rng(0), STEPS * EPISODES
    place = download_place(KNOWN_D4RL[name])
    place.parent.mkdir(parents=True)
    with h5py.File(place, "w") as file:
        file["observations"] = random.normal(size=(rows, observations)).astype(np.float32)
        file["actions"] = random.uniform(-1, 1, size=(rows, actions)).astype(np.float32)
        file["rewards"] = (np.arange(rows) % STEPS > STEPS - 5).astype(np.float32)
        file["terminals"] = np.zeros(rows, dtype=bool)
        file["timeouts"] = np.arange(rows) % STEPS == STEPS - 1


def _place_minari(name: str) -> None:
    """Recorded by a random policy, where the environment can be made; else kitchen's dicts, of random numbers."""
    if name not in MINARI_ENVIRONMENTS:
        _kitchen(name)
        return
    environment = make_environment(MINARI_ENVIRONMENTS[name])
    buffers = [_recorded(environment, seed) for seed in range(EPISODES)]
    minari.create_dataset_from_buffers(name, buffers, env=environment.spec)
    environment.close()


def _recorded(environment: gym.Env[Any, Any], seed: int) -> EpisodeBuffer:
    environment.action_space.seed(seed)
    observations, actions, rewards = [environment.reset(seed=seed)[0]], [], []
    for _ in range(STEPS):
        actions.append(environment.action_space.sample())
        observation, reward, *_ = environment.step(actions[-1])
        observations.append(observation)
        rewards.append(reward)
    parts = isinstance(observations[0], dict)
    stacked = {key: np.stack([o[key] for o in observations]) for key in observations[0]} if parts else observations
    ends = np.arange(STEPS) == STEPS - 1
    return EpisodeBuffer(
        observations=stacked if parts else np.stack(observations),
        actions=np.stack(actions),
        rewards=np.array(rewards),
        terminations=np.zeros(STEPS, dtype=bool),
        truncations=ends,
    )


def _kitchen(name: str) -> None:
    random, kettle = np.random.default_rng(0), {"kettle": np.zeros((STEPS + 1, 7))}
    box = gym.spaces.Box(-np.inf, np.inf, (59,), np.float64)
    goal = gym.spaces.Dict(kettle=gym.spaces.Box(-np.inf, np.inf, (7,), np.float64))
    buffers = [
        EpisodeBuffer(
            observations={
                "achieved_goal": kettle,
                "desired_goal": kettle,
                "observation": random.normal(size=(STEPS + 1, 59)),
            },
            actions=random.uniform(-1, 1, size=(STEPS, 9)),
            rewards=random.normal(size=STEPS),
            terminations=np.zeros(STEPS, dtype=bool),
            truncations=np.arange(STEPS) == STEPS - 1,
        )
        for _ in range(EPISODES)
    ]
    space = gym.spaces.Dict(achieved_goal=goal, desired_goal=goal, observation=box)
    actions = gym.spaces.Box(-1, 1, (9,), np.float64)
    minari.create_dataset_from_buffers(name, buffers, observation_space=space, action_space=actions)
