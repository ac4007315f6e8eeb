"""What is kept of evaluations, and the results of a run as one JSON document."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint

from spar_lightning.callbacks.clock import RunClock
from spar_lightning.callbacks.offline_check import offline_check
from spar_lightning.callbacks.results.provenance import library_versions, machine, training_settings
from spar_lightning.documents import from_here, json_ready
from spar_lightning.evaluation import Comparison, Scores
from spar_lightning.whole_file import write_text

BEST_NOTE = "chosen with the simulator: not an estimate of what offline training alone achieves"


def run_folder(trainer: pl.Trainer) -> Path:
    """Where a run keeps its results: beside its checkpoints, else where its logger writes. All ranks must ask."""
    log_dir = trainer.log_dir or trainer.default_root_dir
    checkpoint = trainer.checkpoint_callback
    folder = getattr(checkpoint, "dirpath", None)
    return Path(log_dir) if folder is None else Path(folder).parent


def run_seed(trainer: pl.Trainer) -> int | None:
    """The seed of a run; the data module's, if it knows: several may share the process, and its environment."""
    known: int | None = getattr(getattr(trainer, "datamodule", None), "run_seed", None)
    seed = os.environ.get("PL_GLOBAL_SEED")
    return int(seed) if known is None and seed else known


def history_row(step: int, comparison: Comparison, warmup: bool = False) -> dict[str, Any]:
    """What is kept of a validation after `step` updates."""
    return {
        "step": step,
        "warmup": warmup,
        "score": comparison.policy.score,
        "return": comparison.policy.mean_return,
        "improvement": None if comparison.improvement is None else comparison.improvement.mean,
        "episodes": comparison.policy.episodes,
    }


def comparison_results(comparison: Comparison) -> dict[str, Any]:
    """The policy's scores, below them each reference's by name, and the improvement: primitives, None if undefined.

    `episode_returns` holds the return of every episode by policy, so that other statistics can be made of them.
    """
    policy, *references = [(name, _score_results(scores)) for name, scores in comparison.scores.items()]
    results = policy[1] | dict(references)
    results["episode_returns"] = {name: list(scores.returns) for name, scores in comparison.scores.items()}
    results |= _gain(comparison, "improvement")
    return {name: json_ready(value) for name, value in results.items()}


def noisy_results(comparison: Comparison) -> dict[str, Any]:
    """The same of an evaluation with noise on the actions, a row for each policy: `noisy_policy`, `noisy_base` .."""
    results: dict[str, Any] = {f"noisy_{name}": _score_results(scores) for name, scores in comparison.scores.items()}
    results["noisy_episode_returns"] = {name: list(scores.returns) for name, scores in comparison.scores.items()}
    results |= _gain(comparison, "noisy_improvement")
    return {name: json_ready(value) for name, value in results.items()}


def _gain(comparison: Comparison, name: str) -> dict[str, Any]:
    """The improvement under its name, with its unit; nothing where the policy has no base."""
    if comparison.improvement is None:
        return {}
    unit = "return" if comparison.policy.score is None else "score"
    return {name: comparison.improvement._asdict() | {"unit": unit}}


def results_document(
    trainer: pl.Trainer,
    final: dict[str, Any],
    history: list[dict[str, Any]],
    clock: RunClock,
    base_s: float | None = None,
) -> dict[str, Any]:
    """Everything that a reader of a finished run asks for; numbers are finite, or None where undefined.

    Args:
        trainer: after training, when the checkpoints are written.
        final: `comparison_results` of the last policy, or empty.
        history: a row for each validation.
        clock: stopped.
        base_s: seconds that the base stage took, None where it is not this run's.
    """
    datamodule = getattr(trainer, "datamodule", None)
    document = {
        "dataset": _dataset(datamodule),
        "environment_id": getattr(datamodule, "environment_id", None),
        "score_note": getattr(datamodule, "score_note", None),
        "reference_returns": list(getattr(datamodule, "reference_scores", None) or []) or None,
        "seed": run_seed(trainer),
        "module": type(trainer.lightning_module).__name__,
        "updates": trainer.global_step,
        **final,
        "offline_check": offline_check(trainer, bool(final), clock.training_s),
        "best": best_of(history),
        "history": history,
        "updates_per_second": trainer.global_step / clock.training_s if clock.training_s > 0 else None,
        "wall_time_s": {
            "total": clock.total_s,
            "training": clock.training_s,
            "evaluation": clock.evaluation_s,
            "base": base_s,
            "training_at_evaluations": [clock.laps.get(row["step"]) for row in history],
        },
        "checkpoints": checkpoint_paths(trainer, run_folder(trainer)),
        "settings": training_settings(trainer),
        "machine": machine(trainer),
        "versions": library_versions(),
    }
    return {name: json_ready(value) for name, value in document.items()}


def best_of(history: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The row with the highest score, or return where there are no scores, after the warm-up; None without a row."""
    history = [row for row in history if not row.get("warmup")]
    if not history:
        return None
    best = max(history, key=lambda row: row["return"] if row["score"] is None else row["score"])
    return {name: best[name] for name in ("score", "return", "step", "episodes")} | {"note": BEST_NOTE}


def checkpoint_paths(trainer: pl.Trainer, folder: Path) -> dict[str, str | None]:
    """Files of the best and the last checkpoint, relative to the run's folder; None where there is none."""
    callback = trainer.checkpoint_callback
    if not isinstance(callback, ModelCheckpoint):
        return {"best": None, "last": None}
    paths = {"best": callback.best_model_path, "last": callback.last_model_path}
    return {name: from_here(Path(path), folder) if Path(path).is_file() else None for name, path in paths.items()}


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a file that is whole at any moment."""
    write_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def _score_results(scores: Scores) -> dict[str, Any]:
    return {
        "score": scores.score,
        "score_std": scores.score_std,
        "return": scores.mean_return,
        "return_std": scores.return_std,
        "length": scores.mean_length,
        "episodes": scores.episodes,
    }


def _dataset(datamodule: object) -> str | None:
    """The data set's name, the same however a file was called: seeds of one experiment share it."""
    stated: str | None = getattr(getattr(datamodule, "hparams", None), "dataset", None)
    return getattr(datamodule, "name", None) if stated is None else stated
