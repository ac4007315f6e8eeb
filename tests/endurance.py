"""A long training of small networks: whether memory, open files and pace stay what they were.

    python tests/endurance.py 1000000 --folder /tmp/endurance

Prints a line every tenth of the way, and fails if the second half needs more, or is slower, than the first.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import psutil

SMALL = """
--bc.model.hidden_dims [8] --bc.trainer.max_steps 1000 --model.hidden_dims [8] --model.critic_hidden_dims [8]
--model.warmup_steps 1000 --data.batch_size 8 --data.updates_per_batch 10 --trainer.val_check_interval 10000
--trainer.accelerator cpu --callbacks.rollout.num_episodes 1 --callbacks.rollout.final_episodes 1
--trainer.enable_progress_bar false --bc.trainer.enable_progress_bar false
"""
MORE_MEMORY, MORE_FILES, SLOWER = 1.1, 2, 1.3


class State(NamedTuple):
    """Of a process at one moment."""

    seconds: float
    updates: int
    megabytes: float
    files: int  # open


def main(updates: int, folder: Path) -> int:
    """Train, look at it now and then; gives 0 where nothing grows."""
    command = ["fit", "--run_dir", str(folder), "--data.dataset", "spar/hopper/medium-replay-v0", *SMALL.split()]
    process = psutil.Popen([sys.executable, "-m", "spar_lightning", *command, "--trainer.max_steps", str(updates)])
    states, began = list[State](), time.monotonic()
    while process.poll() is None:
        time.sleep(0.5)
        done = _updates(folder)
        if done >= (len(states) + 1) * updates / 10:
            states.append(State(time.monotonic() - began, done, process.memory_info().rss / 1e6, process.num_fds()))
            print(*states[-1], sep="\t", flush=True)
    if process.returncode or len(states) < 8:
        print(f"it ended with status {process.returncode} after {len(states)} looks")
        return 1
    return _verdict(states[1:5], states[-4:])


def _updates(folder: Path) -> int:
    """The last step in the run's metrics; they may just be written."""
    metrics = folder / "csv" / "metrics.csv"
    if not metrics.is_file():
        return 0
    tail = subprocess.run(["tail", "-n", "3", metrics], capture_output=True, text=True, check=True).stdout
    header = metrics.open().readline().strip().split(",")
    steps = [line.split(",")[header.index("step")] for line in tail.splitlines() if line.count(",") == len(header) - 1]
    return max((int(step) for step in steps if step.isdigit()), default=0)


def _verdict(early: list[State], late: list[State]) -> int:
    memory = max(one.megabytes for one in late) / max(one.megabytes for one in early)
    files = max(one.files for one in late) - max(one.files for one in early)
    slower = _pace(early) / _pace(late)
    print(f"memory x {memory:.3f}, open files {files:+d}, an update takes {slower:.2f} times as long")
    return int(memory > MORE_MEMORY or files > MORE_FILES or slower > SLOWER)


def _pace(states: list[State]) -> float:
    """Updates a second, the median of the stretches."""
    return statistics.median((b.updates - a.updates) / (b.seconds - a.seconds) for a, b in pairwise(states))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("updates", type=int)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    sys.exit(main(given.updates, given.folder))
