"""A model card in Hugging Face's format: what the policy is, how well it did, and how it is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spar_lightning.documents import decimals
from spar_lightning.types import UserError

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

CARD = "README.md"
LIBRARY = "spar_lightning"

_USAGE = {
    "onnx": """import numpy as np, onnxruntime
session = onnxruntime.InferenceSession("policy.onnx")
observations = np.zeros((1, {size}), dtype=np.float32)
(actions,) = session.run(["actions"], {{"observations": observations}})""",
    "pt2": """import torch
policy = torch.export.load("policy.pt2").module()
actions = policy(torch.zeros(1, {size}))""",
    "npz": """import numpy as np
from numpy_policy import Policy  # the file beside this one; it needs NumPy alone
policy = Policy("policy.npz")
actions = policy.act(np.zeros((1, {size})))""",
}


def check_card(folder: Path) -> None:
    """See that no README of somebody's own would be replaced.

    Raises:
        UserError: if there is one.
    """
    path = folder / CARD
    if path.exists() and f"library_name: {LIBRARY}" not in path.read_text(encoding="utf-8", errors="replace"):
        raise UserError(f"{path} is no model card of this project, and would be replaced: name another --output")


def model_card(metadata: Mapping[str, Any], kind: str, latency_ms: float) -> str:
    """The card of an exported policy.

    Args:
        metadata: of the file; see `metadata_of`.
        kind: its format.
        latency_ms: of one action.
    """
    observations, actions = metadata["observations"], metadata["actions"]
    rows = {
        "algorithm": metadata["algorithm"],
        "data set": metadata["dataset"],
        "environment": metadata["environment"],
        "updates": metadata["updates"],
        "observations": f"{observations['size']} float32, {_order(observations['order'])}, in the data's units",
        "mean of the training data": _short(observations["mean"]),
        "deviation": _short(observations["std"]),
        "actions": f"{actions['size']} float32, from {_short(actions['low'])} to {_short(actions['high'])}",
        "latency of one action": f"{latency_ms:.3g} ms on the CPU that exported it",
        "written by": f"spar_lightning {metadata['version']}",
    }
    lines = [
        f"---\n{_data(metadata).to_yaml()}\n---",
        f"\n# {_title(metadata)}\n",
        "An offline-trained policy as one file: raw observations in, actions in the environment's units out;"
        " normalization and clipping are inside. It is deterministic.\n",
        "| | |\n|---|---|",
        *(f"| {name} | {'unknown' if value is None else value} |" for name, value in rows.items()),
        f"\n## Scores\n\n{_scores(metadata['scores'], metadata['offline_check'])}",
        f"\n## Use\n\n```python\n{_USAGE[kind].format(size=observations['size'])}\n```\n",
    ]
    return "\n".join(lines)


def _title(metadata: Mapping[str, Any]) -> str:
    return f"{metadata['algorithm']} on {metadata['dataset'] or metadata['environment'] or 'unnamed data'}"


def _data(metadata: Mapping[str, Any]) -> ModelCardData:
    from huggingface_hub import EvalResult, ModelCardData

    environment, scores = metadata["environment"], metadata["scores"]
    results = None
    if environment is not None and scores is not None:
        deviation = "" if scores.get("return_std") is None else f" +/- {scores['return_std']:.2f}"
        results = [
            EvalResult(
                task_type="reinforcement-learning",
                dataset_type=environment,
                dataset_name=environment,
                metric_type="mean_reward",
                metric_value=f"{scores['return']:.2f}{deviation}",
            )
        ]
    tags = ["reinforcement-learning", "offline-reinforcement-learning", *([environment] if environment else [])]
    return ModelCardData(
        library_name=LIBRARY,
        pipeline_tag="reinforcement-learning",
        tags=tags,
        model_name=_title(metadata),
        eval_results=results,
    )


def _scores(scores: Mapping[str, Any] | None, offline: Mapping[str, Any] | None) -> str:
    if scores is None:
        said = ""
        if offline is not None:
            verdict = f"{offline['verdict'] or 'no verdict'} ({offline['reason']})"
            said = f" What the data alone say of it, beside its base: {verdict}."
        return f"None are known: it was not tried in a simulator.{said}"
    rows = {name: row for name, row in scores.items() if isinstance(row, Mapping) and "return" in row}
    lines = ["| policy | normalized score | return |", "|---|---|---|"]
    for name, row in {**rows, "policy": scores}.items():
        lines.append(f"| {name} | {_number(row.get('score'))} | {_number(row['return'])} |")
    return "\n".join([*lines, "", f"Over {scores['episodes']} episodes, {scores['note']}."])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.{decimals([value], 1)}f}"


def _order(order: str | list[str]) -> str:
    return order if isinstance(order, str) else "in this order: " + ", ".join(order)


def _short(bounds: list[float]) -> str:
    return f"{bounds[0]:g}" if len(set(bounds)) == 1 else str([float(f"{bound:g}") for bound in bounds])
