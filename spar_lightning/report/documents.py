"""Results of runs: from their folders, or from one file of many."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spar_lightning.evaluation.result_entries import OF_RUN, OF_SUITE, checked
from spar_lightning.given_path import given_path
from spar_lightning.report.raw_file import FORMAT, unpacked
from spar_lightning.types import UserError

Document = dict[str, Any]
"""A `results.json`; `benchmark` in it says of what suite, method and settings it is, where a suite made it."""

RESULTS, RECORD, CONFIG = "results.json", "benchmark.json", "config.yaml"


def read_runs(places: Sequence[str]) -> list[Document]:
    """All results, the oldest first.

    Args:
        places: run folders, folders that hold some at any depth, or files that `report` has written of some.

    Raises:
        UserError: if there are none in one of them, or a file is none of results.
    """
    found: dict[str, tuple[int, str, Document]] = {}  # by the file: folders may lie within each other
    for place in places:
        path = given_path(place)
        rows = _of_file(path) if path.is_file() else _of_folder(path)
        found |= {str(Path(row[1]).resolve()): row for row in rows}
    return [document for _, _, document in sorted(found.values(), key=lambda row: row[:2])]


def unfinished(places: Sequence[str]) -> list[str]:
    """What to say of runs in folders, at any depth, that have no results: stopped, failed and running ones."""
    configs = [path for place in map(given_path, places) if place.is_dir() for path in place.rglob(CONFIG)]
    folders = sorted({path.parent for path in configs if not any(path.parent.rglob(RESULTS))})
    if not folders:
        return []
    return ["", f"Left out: {len(folders)} without results, such as {folders[0]} (`fit --resume` goes on)."]


def _of_folder(folder: Path) -> list[tuple[int, str, Document]]:
    files = list(folder.rglob(RESULTS))
    if not files:
        raise UserError(f"found no {RESULTS} below {folder}, expected a folder of finished runs")
    return [(path.stat().st_mtime_ns, str(path), _with_record(path)) for path in files]


def _of_file(path: Path) -> list[tuple[int, str, Document]]:
    document, age = _json(path), path.stat().st_mtime_ns
    if document.get("format") == FORMAT:
        try:
            runs = unpacked(document)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path} is damaged ({type(error).__name__}: {error}): write it again") from error
        if not runs:
            raise UserError(f"{path} holds no runs, expected at least one: write it again")
        return [
            (age, f"{path}:{place:06}", checked(run, OF_RUN, f"run {place} in {path}"))
            for place, run in enumerate(runs)
        ]
    if "dataset" not in document or "updates" not in document:
        raise UserError(f"{path} holds no results of runs, expected a {RESULTS}, or a file that `report` has written")
    return [(age, str(path), _with_record(path))]


def _with_record(path: Path) -> Document:
    record = path.with_name(RECORD)
    document = checked(_json(path), OF_RUN, str(path))
    of_suite = {"benchmark": checked(_json(record), OF_SUITE, str(record))} if record.is_file() else {}
    return document | of_suite


def _json(path: Path) -> Document:
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_finite, parse_float=_finite)
    except (RecursionError, ValueError) as error:
        raise UserError(f"{path} is no JSON ({error}), expected results of runs") from error
    if not isinstance(document, dict):
        raise UserError(f"{path} holds {type(document).__name__}, expected results of runs")
    return document


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is no finite number")
    return value


def value_of(row: Mapping[str, Any]) -> float:
    """The normalized score, or the return where there is none; NaN without an evaluation."""
    score = row.get("score")
    return float(row.get("return", math.nan) if score is None else score)
