"""How far the processes of a suite are, as their folders tell."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

from spar_lightning.documents import decimals
from spar_lightning.suite.jobs import OUTPUT
from spar_lightning.suite.runs import Run

_TAIL = 20_000
"""Bytes at the end of a file that are looked at."""

MAX_STEPS = re.compile(r"^trainer:\n(?:  .*\n)*?  max_steps: (\d+)$", re.MULTILINE)
LEFT_OUT = re.compile(r"^model:\n(?:  .*\n)*?  warmup_steps: (\d+)$", re.MULTILINE)
"""Updates of the warm-up, in a run that is the improvement alone."""


def share_done(run: Run) -> float:
    """Of the updates of the main stage, from 0 to 1; 0 while a base is trained."""
    try:
        config = (run.folder / "config.yaml").read_text(encoding="utf-8")
        found = MAX_STEPS.search(config)
        warmup = LEFT_OUT.search(config) if re.search("^stage: improvement$", config, re.MULTILINE) else None
        updates = _last_step(run.folder / "csv" / "metrics.csv") + 1
    except (OSError, ValueError):
        return 0.0
    expected = (int(found[1]) if found else 0) - (int(warmup[1]) if warmup else 0)
    return min(1.0, updates / expected) if expected > 0 else 0.0


def _last_step(metrics: Path) -> int:
    with metrics.open("rb") as file:
        header = file.readline().decode()
        file.seek(0, io.SEEK_END)
        start = max(len(header), file.tell() - _TAIL)
        file.seek(start)
        rows = file.read().decode().split("\n")[1 if start > len(header) else 0 : -1]  # whole lines
    column = header.strip().split(",").index("step")
    steps = [row[column] for row in csv.reader(rows) if len(row) > column]
    return max((int(step) for step in steps if step.isdigit()), default=-1)


def outcome(run: Run) -> dict[str, Any] | None:
    """The results of a finished run; None where there are none."""
    try:
        found = json.loads((run.folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def in_words(document: dict[str, Any] | None) -> str:
    """The score of a run, or its return.

    >>> in_words({"score": 81.24, "improvement": {"mean": 40.0}}), in_words({"score": None, "return": 300.0})
    ('score 81.2, +40.0 on its base', 'return 300')
    >>> in_words({"score": None, "return": 0.85, "improvement": {"mean": 0.04}})
    'return 0.85, +0.04 on its base'
    """
    if document is None or document.get("return", document.get("score")) is None:
        return "no score"
    score, improvement = document.get("score"), document.get("improvement")
    gain = None if improvement is None else improvement["mean"]
    digits = decimals([document["return"], gain], 0) if score is None else 1
    said = f"return {document['return']:.{digits}f}" if score is None else f"score {score:.1f}"
    return said if gain is None else f"{said}, {gain:+.{digits}f} on its base"


def last_words(folder: Path) -> str:
    """What a process said last: its error, else its last line."""
    try:
        with (folder / OUTPUT).open("rb") as file:
            file.seek(0, io.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return "no output"
    lines = [line.strip() for line in re.split(r"[\r\n]", text) if line.strip() and not line.startswith("$ ")]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]  # and maybe how to go on below it
    return (errors or raised or lines or ["no output"])[-1]
