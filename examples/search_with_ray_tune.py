"""Searching over settings with Ray Tune: an example to change, not a searcher of this project.

    python examples/search_with_ray_tune.py --num_samples 20 --at_once 2 -- --config walker

Needs `pip install 'spar-lightning[sweep]'`. Whatever stands behind `--` is a command line of `fit`; each trial adds
settings that Tune draws, and runs in a process and a folder of its own.

By default trials are ranked by `offline_check`: what critics that did not guide a policy expect of it on held-out
episodes. It asks no simulator, so choosing by it is offline; but it knows one step, not where the policy gets, and its
size says little of the gain in score. `--metric score` ranks by the simulator, and its best is the best of k
policies, not what offline training gives by itself.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ray import tune

SPACE = {
    "model.kappa": tune.loguniform(0.5, 4.0),
    "model.num_critics": tune.choice([2, 4, 8]),
    "model.num_candidates": tune.choice([4, 8, 16]),
}


def trial(settings: dict[str, Any], arguments: list[str]) -> dict[str, float]:
    """Train once with settings that Tune has drawn; the results that trials can be ranked by."""
    folder = Path.cwd() / "run"  # Tune gives every trial a working folder
    drawn = [part for name, value in settings.items() for part in (f"--{name}", json.dumps(value))]
    quiet = ["--trainer.enable_progress_bar", "false", "--run_dir", str(folder)]
    command = [sys.executable, "-m", "spar_lightning", "fit", *arguments, *drawn, *quiet]
    subprocess.run(command, check=True)
    document = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    check = (document.get("offline_check") or {}).get("check") or {}
    numbers = {"score": document.get("score"), "offline_check": check.get("mean")}
    return {name: float(value) for name, value in numbers.items() if value is not None}


def main() -> None:
    """Draw, train and rank."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num_samples", type=int, default=10)
    parser.add_argument("--at_once", type=int, default=1)
    parser.add_argument("--metric", choices=["offline_check", "score"], default="offline_check")
    parser.add_argument("--out", default="runs/search")
    parser.add_argument("arguments", nargs="*", help="of `fit`, behind --")
    given = parser.parse_args()
    tuner = tune.Tuner(
        tune.with_parameters(trial, arguments=given.arguments),
        param_space=SPACE,
        tune_config=tune.TuneConfig(
            metric=given.metric,
            mode="max",
            num_samples=given.num_samples,
            max_concurrent_trials=given.at_once,
        ),
        run_config=tune.RunConfig(name="search", storage_path=str(Path(given.out).absolute())),
    )
    results = tuner.fit()
    best = results.get_best_result()
    print(f"\nbest of {len(results)}, {len(results.errors)} failed: {given.metric} {best.metrics[given.metric]:.2f}")
    print(" ".join(f"--{name} {json.dumps(value)}" for name, value in best.config.items()))


if __name__ == "__main__":
    main()
