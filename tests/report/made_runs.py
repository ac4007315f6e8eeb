"""Results as runs leave them, made up."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

LOW, HIGH = 0.0, 200.0
"""Returns that score 0 and 100."""


def document(score: float = 30.0, base: float | None = 20.0, seed: int = 0, **changes: Any) -> dict[str, Any]:
    """A `results.json` of 100 updates: two evaluations, two final episodes."""

    def row(value: float) -> dict[str, Any]:
        return {"score": value, "return": 2 * value, "episodes": 2}

    returns = {"policy": [2 * score - 4, 2 * score + 4]}
    made: dict[str, Any] = {
        "dataset": "spar/toy/one-v0",
        "environment_id": "Toy-v0",
        "score_note": "D4RL's toy",
        "reference_returns": [LOW, HIGH],
        "seed": seed,
        "module": "SPARModule",
        "updates": 100,
        **row(score),
        "best": row(score + 5) | {"step": 50},
        "history": [row(score + 5) | {"step": 50}, row(score) | {"step": 100}],
        "updates_per_second": 10.0,
        "wall_time_s": {
            "total": 90.0,
            "training": 60.0,
            "evaluation": 30.0,
            "base": 30.0,
            "training_at_evaluations": [40.0, 60.0],
        },
        "checkpoints": {"last": "checkpoints/last.ckpt"},
        "settings": {"model": {"kappa": 1.4}, "data": {"batch_size": 256}},
        "machine": {"processor": "x86_64", "cpu_threads": 1, "accelerator": None},
        "versions": {"python": "3.11"},
    }
    if base is not None:
        returns["base"] = [2 * base, 2 * base]
        gain = score - base
        made |= {"base": row(base), "improvement": {"mean": gain, "low": gain - 1, "high": gain + 1, "unit": "score"}}
    return made | {"episode_returns": returns} | changes


def write(folder: Path, made: dict[str, Any], age: float = 0.0, **record: str) -> Path:
    """A run folder; with the record of a suite where one is given."""
    folder.mkdir(parents=True)
    path = folder / "results.json"
    path.write_text(json.dumps(made))
    os.utime(path, (1e9 - age, 1e9 - age))
    if record:
        of_suite = {"suite": "toy", "settings": "", "data_set": made["dataset"], **record}
        (folder / "benchmark.json").write_text(json.dumps(of_suite))
    return folder


def write_suite(folder: Path, seeds: int = 2) -> Path:
    """Two methods on two tasks."""
    scores = {"SPAR": (30.0, 80.0), "TD3+BC": (10.0, 90.0)}
    for method, of_tasks in scores.items():
        for task, score in zip(("one", "two"), of_tasks, strict=True):
            for seed in range(seeds):
                made = document(
                    score + 4 * seed,
                    base=20.0 if method == "SPAR" else None,
                    seed=seed,
                    dataset=f"spar/toy/{task}-v0",
                    module="SPARModule" if method == "SPAR" else "TD3BCModule",
                )
                write(folder / task / method / str(seed), made, age=seed, method=method)
    return folder
