"""How much memory reading takes, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

EPISODES, STEPS, OBSERVATIONS, ACTIONS = 1000, 400, 17, 6

PROBE = """
import re
from pathlib import Path
from spar_lightning.replay import OfflineDataModule

def status(name):
    return 1024 * int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

data = OfflineDataModule("big/random-v0")
assert data.observation_dim == 17
before = status("VmRSS")
data.setup("fit")
print(status("VmHWM") - before)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    # What is freed goes back to the system at once: otherwise the measure varies with the heap's holes.
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    rng = np.random.default_rng(0)
    ends = np.arange(STEPS) == STEPS - 1
    episodes = [
        EpisodeBuffer(
            observations=rng.standard_normal((STEPS + 1, OBSERVATIONS)),
            actions=rng.uniform(-1, 1, (STEPS, ACTIONS)).astype(np.float32),
            rewards=rng.standard_normal(STEPS),
            terminations=ends,
            truncations=np.zeros(STEPS, dtype=bool),
        )
        for _ in range(EPISODES)
    ]
    spaces = {
        "observation_space": gym.spaces.Box(-np.inf, np.inf, (OBSERVATIONS,), np.float64),
        "action_space": gym.spaces.Box(-1, 1, (ACTIONS,), np.float32),
    }
    minari.create_dataset_from_buffers("big/random-v0", episodes, **spaces)
    return tmp_path


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_reading_takes_little_more_than_the_transitions_themselves(folder: Path) -> None:
    probe = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=120, check=True)
    packed = 4 * EPISODES * STEPS * (2 * OBSERVATIONS + ACTIONS + 2)
    growth = int(probe.stdout.split()[-1])
    assert growth < 2.2 * packed
