"""Many results in one small JSON file, a line for each run: what `report` needs of them, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spar_lightning.whole_file import write_text

FORMAT = "spar_lightning runs 1"
SHARED = ("settings", "machine", "versions")
"""Parts that many runs have alike: kept once."""

LEFT_OUT = ("checkpoints",)
"""Parts that mean nothing without the run's folder."""

_DIGITS = 6
"""Significant ones, of returns of single episodes and of evaluations during training."""


def write_raw(path: Path, documents: Iterable[Mapping[str, Any]]) -> None:
    """Write results, so that `report` reads them as it reads run folders."""
    shared: dict[str, list[str]] = {name: [] for name in SHARED}
    lines = [json.dumps(_packed(document, shared), allow_nan=False) for document in documents]
    kept = ",\n".join(f'  "{name}": [{", ".join(texts)}]' for name, texts in shared.items())
    runs = ",\n".join(f"  {line}" for line in lines)
    write_text(path, f'{{\n"format": "{FORMAT}",\n"shared": {{\n{kept}\n}},\n"runs": [\n{runs}\n]\n}}\n')


def _packed(document: Mapping[str, Any], shared: dict[str, list[str]]) -> dict[str, Any]:
    packed = {name: value for name, value in document.items() if name not in LEFT_OUT}
    for name in SHARED:
        if name in packed:
            text = json.dumps(packed[name], sort_keys=True)
            if text not in shared[name]:
                shared[name].append(text)
            packed[name] = shared[name].index(text)
    packed["history"] = _columns(document.get("history") or [])
    for name in ("episode_returns", "noisy_episode_returns"):
        if packed.get(name):
            packed[name] = {policy: [_short(value) for value in values] for policy, values in packed[name].items()}
    return packed


def _columns(history: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]] | list[dict[str, Any]]:
    """Rows by column; as they are where they have not all the same entries, such as those of two versions."""
    rows = [{name: _short(value) for name, value in row.items()} for row in history]
    if len({tuple(row) for row in rows}) > 1:
        return rows
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def _short(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def unpacked(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The results in the contents of such a file."""
    runs = []
    for packed in document["runs"]:
        run = dict(packed)
        for name in SHARED:
            if name in run:
                run[name] = document["shared"][name][run[name]]
        history = run.get("history", {})
        run["history"] = history if isinstance(history, list) else _rows(history)
        runs.append(run)
    return runs


def _rows(columns: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
