"""The command `evaluate`: a checkpoint's policy, and those that it is compared with, on the same start states."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from spar_lightning.callbacks.results.document import comparison_results
from spar_lightning.callbacks.results.provenance import library_versions
from spar_lightning.cli.printing import only_result_on_stdout, print_json, print_text
from spar_lightning.cli.simulator_of_checkpoint import simulator_of
from spar_lightning.documents import decimals
from spar_lightning.evaluation import PolicyEvaluator, normalized_score
from spar_lightning.evaluation.comparison import BASE, POLICY, Episodes
from spar_lightning.evaluation.intervals import mean_interval
from spar_lightning.evaluation.video import check_video, write_video
from spar_lightning.given_path import given_path
from spar_lightning.offline_evaluation import verdict
from spar_lightning.simulators.reference_scores import ScoreScale
from spar_lightning.simulators.simulator import Simulator
from spar_lightning.training import load_trained
from spar_lightning.training.checkpoints import read_checkpoint
from spar_lightning.types import Policy, UserError
from spar_lightning.whole_file import whole_file

_MOST_EPISODES = 10_000
_WIDTH = 30


def evaluate(
    checkpoint: str,
    episodes: int = 100,
    seed: int = 0,
    video: str | None = None,
    environment: str | None = None,
    max_episode_steps: int | None = None,
    observation_keys: list[str] | None = None,
    algorithm: str | None = None,
    action_noise: float = 0.0,
    json: bool = False,
) -> None:
    """Roll a checkpoint's policy out, and its base on the same start states; the data set is not needed.

    Args:
        checkpoint: path of a checkpoint, of any algorithm, also of a base alone.
        episodes: how many, one a start state.
        seed: of the first start state; the others count up from it.
        video: file for a video of the first episode, base and policy side by side, such as out.mp4.
        environment: id of the environment, where it is not the one that the checkpoint was evaluated in; `module:Id`
            imports the module first.
        max_episode_steps: time limit, instead of the environment's own.
        observation_keys: which parts of dict observations to put side by side, instead of those of the training.
        algorithm: class path of an own algorithm that the checkpoint is of.
        action_noise: deviation of noise on every action, as a share of half the range of actions; 0.05 tells how
            fragile a policy is.
        json: print one JSON document instead of a table: every episode's return is in it.
    """
    if not 1 <= episodes <= _MOST_EPISODES or seed < 0:
        raise UserError(f"episodes is {episodes} and seed {seed}, expected 1 to {_MOST_EPISODES:,} and at least 0")
    if not 0 <= action_noise <= 1:
        raise UserError(f"action_noise is {action_noise}, expected 0 to 1: a share of half the range of actions")
    with only_result_on_stdout():
        policy = load_trained(checkpoint, algorithm)
        simulator = simulator_of(checkpoint, policy, environment, max_episode_steps, observation_keys)
        references = policy.reference_policies()
        film = None if video is None else _film(given_path(video), simulator, {**references, POLICY: policy}, seed)
        with contextlib.closing(PolicyEvaluator(simulator.make, simulator.scale.reference)) as evaluator:
            seeds = range(seed, seed + episodes)
            found = evaluator.episodes(policy, references, seeds, action_noise)
            results = comparison_results(evaluator.compare(found))
        document = {
            **_provenance(checkpoint, type(policy).__name__),
            "environment_id": simulator.spec.id,
            "score_note": simulator.scale.note,
            **_with_intervals(results, found, simulator.scale),
            "seeds": list(seeds),
            "action_noise": action_noise,
            "returns": {name: part.returns for name, part in found.items()},
            "lengths": {name: part.lengths for name, part in found.items()},
            "video": film,
            "versions": library_versions(),
        }
    if json:
        print_json(document)
    else:
        print_text(_text(document))


def _film(path: Path, simulator: Simulator, policies: Mapping[str, Policy], seed: int) -> dict[str, Any]:
    """Write the video: first of all, so that what cannot be drawn is told before a hundred episodes."""
    check_video(path)
    shown = {name: policies[name] for name in (BASE, POLICY) if name in policies}
    with torch.no_grad(), whole_file(path) as stream:
        returns = write_video(stream, path.suffix.lower(), simulator.make, shown, seed)
    return {"file": str(path.absolute()), "seed": seed, "returns": returns}


def _provenance(path: str, module: str) -> dict[str, Any]:
    checkpoint = read_checkpoint(path)
    dataset = checkpoint.get("datamodule_hyper_parameters", {}).get("dataset")
    return {
        "checkpoint": str(Path(path).absolute()),
        "module": module,
        "updates": checkpoint.get("global_step"),
        "dataset": dataset,
    }


def _with_intervals(results: dict[str, Any], episodes: Mapping[str, Episodes], scale: ScoreScale) -> dict[str, Any]:
    """The rows of all policies with 95% intervals of their means, over start states."""
    for name, part in episodes.items():
        row = results if name == POLICY else results[name]
        row["return_interval"] = mean_interval(part.returns)[1:]
        reference = scale.reference
        scores = None if reference is None else normalized_score(part.returns, reference)
        row["score_interval"] = None if scores is None else mean_interval(scores)[1:]
    return results


def _text(document: dict[str, Any]) -> str:
    seeds, updates = document["seeds"], document["updates"]
    at = "" if updates is None else f" at update {updates:,}"
    rows = {name: row for name, row in document.items() if isinstance(row, dict) and "return_interval" in row}
    header = f"  {'mean [95%]':<14}{'normalized score':>{_WIDTH}}{'return':>{_WIDTH}}{'length':>8}"
    rule = "  " + "-" * (len(header) - 2)
    noise = f", noise of {document['action_noise']:g} on actions" if document["action_noise"] else ""
    lines = [
        f"  {document['module']}{at}, {document['environment_id']}, {len(seeds)} episodes from seed {seeds[0]}{noise}",
        "",
        header,
        rule,
        *_rows({**rows, POLICY: document}),
        rule,
    ]
    if (found := document.get("improvement")) is not None:
        shown = f"+.{decimals((found['mean'], found['low'], found['high']), 1)}f"
        interval = "" if found["low"] is None else f" [{found['low']:{shown}}, {found['high']:{shown}}]"
        words = "" if found["low"] is None else f": {verdict(found['low'], found['high'])}"
        value = f"{found['mean']:{shown}}{interval}"
        width = _WIDTH if found["unit"] == "score" else 2 * _WIDTH
        lines.append(f"  {'improvement':<14}{value:>{width}}  on base, over the same start states{words}")
    lines += ["", f"  scores: {document['score_note']}"]
    if document["video"] is not None:
        lines.append(f"  video: {document['video']['file']}, of the episode with seed {document['video']['seed']}")
    return "\n".join(lines)


def _rows(policies: Mapping[str, Mapping[str, Any]]) -> list[str]:
    digits = decimals((row["return"] for row in policies.values()), 0)
    lines = []
    for name, row in policies.items():
        score = _with_bounds(row["score"], row["score_interval"], 1)
        value = _with_bounds(row["return"], row["return_interval"], digits)
        lines.append(f"  {name:<14}{score:>{_WIDTH}}{value:>{_WIDTH}}{row['length']:>8.0f}")
    return lines


def _with_bounds(mean: float | None, interval: tuple[float, float] | None, digits: int) -> str:
    if mean is None or interval is None:
        return "-"
    low, high = interval
    return f"{mean:.{digits}f}" + ("" if low != low else f" [{low:.{digits}f}, {high:.{digits}f}]")
