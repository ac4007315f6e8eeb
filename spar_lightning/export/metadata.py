"""What an exported file says of itself: where its policy comes from, what it expects, and how well it did."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from spar_lightning import __version__
from spar_lightning.documents import people_call
from spar_lightning.training import AlgorithmModule
from spar_lightning.training.checkpoints import OBSERVATIONS_KEY, SIMULATOR_KEY, read_checkpoint
from spar_lightning.types import CheckpointError

_SCORES = ("score", "score_std", "return", "return_std", "length", "episodes", "base", "fitted", "improvement")


def metadata_of(path: Path, policy: AlgorithmModule) -> dict[str, Any]:
    """As primitives, of a checkpoint and the policy in it; None stands for what it does not tell.

    Raises:
        CheckpointError: if the policy never saw data.
    """
    checkpoint, normalizer = read_checkpoint(path), policy.algorithm.normalizer
    if not normalizer.is_fitted:
        raise CheckpointError(f"{path} holds no normalization statistics, expected the checkpoint of a training")
    data = checkpoint.get("datamodule_hyper_parameters", {})
    results = _results(path.absolute().parent.parent / "results.json", type(policy).__name__)
    dataset, environment = data.get("dataset"), _environment(path, checkpoint)
    return {
        "version": __version__,
        "algorithm": type(policy.algorithm).__name__,
        "dataset": None if dataset is None else people_call(dataset),
        "environment": environment,
        "updates": checkpoint.get("global_step"),
        "checkpoint_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "observations": {
            "size": policy.observation_dim,
            "order": _order(checkpoint, environment),
            "mean": normalizer.observation_mean.tolist(),
            "std": normalizer.observation_std.tolist(),
        },
        "actions": {
            "size": policy.action_dim,
            "low": normalizer.action_low.tolist(),
            "high": normalizer.action_high.tolist(),
        },
        "scores": _scores(results, checkpoint),
        "offline_check": _offline_check(results, checkpoint),
    }


def _order(checkpoint: Mapping[str, Any], environment: str | None) -> list[str] | str:
    """What lies where in an observation: parts of a dict, columns of a table, or as environment or data have it.

    Checkpoints of earlier versions tell only what was named, and may not say of which layout the data are.
    """
    if names := checkpoint.get(OBSERVATIONS_KEY):
        return list(names)
    data = checkpoint.get("datamodule_hyper_parameters", {})
    if keys := checkpoint.get(SIMULATOR_KEY, {}).get("observation_keys") or data.get("observation_keys"):
        return list(keys)
    columns = data.get("columns")
    named = columns.get("observations") if isinstance(columns, Mapping) else None
    if named is not None:
        named = [named] if isinstance(named, str) else list(named)
        return "as the data's columns " + " and ".join(named) if any("*" in name for name in named) else named
    if environment is not None:
        return "as the environment gives them"
    return "as the columns of the data's `observations`" if OBSERVATIONS_KEY in checkpoint else "as the data have them"


def _environment(path: Path, checkpoint: Mapping[str, Any]) -> str | None:
    if SIMULATOR_KEY in checkpoint:
        try:
            return str(EnvSpec.from_json(checkpoint[SIMULATOR_KEY]["spec"]).id)
        except (AttributeError, gym.error.Error, LookupError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path} is no sound checkpoint: `simulator.spec` cannot be read ({' '.join(str(error).split())[:80]}),"
                " expected that of an environment. Take another one of this run"
            ) from error
    rollouts = checkpoint.get("callbacks", {}).get("RolloutEvaluation", {})
    noted = checkpoint.get("datamodule_hyper_parameters", {}).get("environment") or rollouts.get("environment_id")
    return noted if isinstance(noted, str) else None


def _scores(document: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """The final evaluation of the run that wrote the checkpoint, if it is its last; else its last validation."""
    updates = checkpoint.get("global_step")
    if document.get("updates") == updates and document.get("return") is not None:
        return {"note": "evaluated at the end of the training"} | {
            name: document[name] for name in _SCORES if name in document
        }
    history = checkpoint.get("callbacks", {}).get("RolloutEvaluation", {}).get("history", [])
    row = next((dict(row) for row in reversed(history) if row.get("step") == updates), None)
    return None if row is None else {"note": "of a validation during the training"} | row


def _offline_check(document: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the data alone say of the policy, in words, if the checkpoint is its run's last."""
    found = document.get("offline_check")
    if document.get("updates") != checkpoint.get("global_step") or not isinstance(found, dict):
        return None
    return {name: found.get(name) for name in ("verdict", "reason")}


def _results(path: Path, module: str) -> dict[str, Any]:
    """Of the run that the checkpoint lies in, unless they are of another module, as beside a mean of several runs."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) and document.get("module", module) == module else {}
