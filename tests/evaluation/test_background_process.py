"""The process that evaluates in the background does not outlive the one that it works for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = """
import os, sys, time
from spar_lightning.evaluation import BackgroundEvaluator
from spar_lightning.evaluation.background import Snapshot
from endless import Endless, Still

if __name__ == "__main__":
    evaluator = BackgroundEvaluator(Endless)
    evaluator.submit(Snapshot.take(Still(), {}), [0], {})
    while not os.path.exists("started"):
        time.sleep(0.05)
    print(evaluator.process.pid, flush=True)
    time.sleep(60)
"""

ENDLESS = """
from pathlib import Path
import gymnasium as gym
import numpy as np
import torch
from torch import nn

class Endless(gym.Env):
    observation_space = action_space = gym.spaces.Box(-1.0, 1.0, (1,))

    def reset(self, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        Path("started").touch()
        return np.zeros(1, np.float32), 0.0, False, False, {}

class Still(nn.Module):
    def act(self, observations):
        return np.zeros_like(observations)
"""


def test_the_process_ends_with_the_one_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "endless.py").write_text(ENDLESS)
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, str(tmp_path)])}
    with subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while _runs(worker):
        assert time.monotonic() < deadline, "the process goes on without a parent"
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
