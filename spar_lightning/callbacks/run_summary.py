"""What a run came to, printed when it is over."""

from __future__ import annotations

import shlex
import textwrap
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from typing_extensions import override

from spar_lightning.callbacks.results.document import checkpoint_paths, run_folder
from spar_lightning.callbacks.rollouts.last_video import VIDEO
from spar_lightning.callbacks.rollouts.rollout_evaluation import RolloutEvaluation, evaluation_of
from spar_lightning.documents import decimals, duration, from_here, people_call
from spar_lightning.offline_evaluation import summary_lines, verdict


class RunSummary(pl.Callback):
    """Prints scores, speed, and where everything is, after training; after a test or a validation, its scores."""

    @override
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Print, after the results and the last checkpoint are written."""
        if getattr(trainer, "fast_dev_run", False):
            return
        evaluation = evaluation_of(trainer)
        if stage == "fit":
            folder = run_folder(trainer)  # on all ranks
            _print("\n".join(["", *_scores(trainer, evaluation), *_places(trainer, folder, evaluation), ""]))
        elif evaluation is not None and evaluation.final:
            _print("\n".join(["", *score_table(evaluation.final), *_scale(trainer), ""]))


def _places(trainer: pl.Trainer, folder: Path, evaluation: RolloutEvaluation | None) -> list[str]:
    folder = _short(folder)
    files = {name: folder / path for name, path in checkpoint_paths(trainer, folder).items() if path}
    places = {f"{name} checkpoint": str(path) for name, path in sorted(files.items(), reverse=True)}
    if (folder / "results.json").is_file():
        places["results"] = str(folder / "results.json")
    if (folder / VIDEO).is_file():
        places["video"] = str(folder / VIDEO)
    if any(isinstance(logger, TensorBoardLogger) for logger in trainer.loggers):
        places["curves"] = f"tensorboard --logdir {_quoted(folder)}, then http://localhost:6006/#custom_scalars"
    if "last" in files and not (evaluation and evaluation.unavailable):
        places["evaluate"] = f"python -m spar_lightning evaluate {_quoted(files['last'])}{_own_code(trainer)}"
    elif "last" in files and evaluation and evaluation.document and evaluation.document["offline_check"]:
        places["decide"] = f"python -m spar_lightning ope {_quoted(files['last'])}{_own_algorithm(trainer)}"
    return [f"  {name:<17}{place}" for name, place in places.items()]


def _quoted(path: Path) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))


def _own_code(trainer: pl.Trainer) -> str:
    """Options that name an algorithm and an environment of the user's, which no checkpoint has imported by itself."""
    environment = str(getattr(getattr(trainer, "datamodule", None), "hparams", {}).get("environment") or "")
    return _own_algorithm(trainer) + (f" --environment {environment}" if ":" in environment else "")


def _own_algorithm(trainer: pl.Trainer) -> str:
    algorithm = getattr(trainer.lightning_module, "checkpoint_name", None)
    return f" --algorithm {algorithm}" if algorithm else ""


def _scores(trainer: pl.Trainer, evaluation: RolloutEvaluation | None) -> list[str]:
    if evaluation is None or evaluation.document is None:
        return [f"  {trainer.global_step:,} updates", ""]
    lines = [_headline(evaluation.document), ""]
    if evaluation.final:
        return [*lines, *score_table(evaluation.document), *_scale(trainer), ""]
    reason = "training did not run" if evaluation.final_episodes else "`final_episodes` is 0"
    return [*lines, f"  no scores: {evaluation.unavailable or reason}", *_offline_check(evaluation.document), ""]


def _scale(trainer: pl.Trainer) -> list[str]:
    note = getattr(getattr(trainer, "datamodule", None), "score_note", None)
    if note is None:
        return []
    return ["", *textwrap.wrap(f"scores: {note}", 110, initial_indent="  ", subsequent_indent="  ")]


def _headline(document: dict[str, Any]) -> str:
    name = document["dataset"]
    parts = [None if name is None else people_call(name), document["environment_id"]]
    parts.append(None if document["seed"] is None else f"seed {document['seed']}")
    seconds, speed = document["wall_time_s"], document["updates_per_second"]
    parts.append(f"{document['updates']:,} updates in {duration(seconds['total'])}")
    parts.append(f"{duration(seconds['evaluation'])} of it evaluation" if seconds["evaluation"] else None)
    pace = "" if speed is None else f" ({speed:,.0f} updates/s in training)"
    return "  " + ", ".join(str(part) for part in parts if part is not None) + pace


def score_table(document: dict[str, Any]) -> list[str]:
    """Lines of the table of a results document: references, policy, improvement, best; the last policy is the result.

    Spreads are standard deviations over episodes. The interval of the improvement is over start states of one
    training; for one over trainings see `summarize`. Of a run that was not evaluated there is no table, which is said.
    """
    if "return" not in document:
        return ["  no scores: there was no evaluation in a simulator", *_offline_check(document)]
    rows = {name: row for name, row in document.items() if isinstance(row, dict) and "return_std" in row}
    noisy = {name: row for name, row in rows.items() if name.startswith("noisy_")}
    references = {name: row for name, row in rows.items() if name not in noisy}
    header = f"  {'mean +- std':<14}{'normalized score':>18}{'return':>18}{'episodes':>10}"
    lines = [header, "  " + "-" * (len(header) - 2)]
    lines += _rows({**references, "policy": document})
    lines.append(lines[1])
    lines += _improvement(document, "improvement")
    if noisy:
        names = [*references, "policy"]
        with_noise = {f"{name}, noisy": noisy[f"noisy_{name}"] for name in names if f"noisy_{name}" in noisy}
        lines += [lines[1], *_rows(with_noise), lines[1], *_improvement(document, "noisy_improvement"), lines[1]]
    return lines + _best(document) + _offline_check(document)


def _rows(policies: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    digits = decimals((row["return"] for row in policies.values()), 0)
    for name, row in policies.items():
        score, value = _spread(row["score"], row["score_std"], 1), _spread(row["return"], row["return_std"], digits)
        lines.append(f"  {name:<14}{score:>18}{value:>18}{row['episodes']:>10}")
    return lines


def _offline_check(document: dict[str, Any]) -> list[str]:
    found = document.get("offline_check")
    if found is None:
        return []
    value, *lines = summary_lines(found)
    first = f"  {'offline check':<14}{value:>18}  "
    return [line for text in lines for line in _wrapped(text, first if text is lines[0] else " " * len(first))]


def _wrapped(text: str, first: str) -> list[str]:
    return textwrap.wrap(text, 120, initial_indent=first, subsequent_indent=" " * len(first))


def _improvement(document: dict[str, Any], key: str) -> list[str]:
    found = document.get(key)
    if found is None:
        return []
    shown = f"+.{decimals((found['mean'], found['low'], found['high']), 1)}f"
    interval = "" if found["low"] is None else f" [{found['low']:{shown}}, {found['high']:{shown}}] at 95%,"
    value = _in_column(f"{found['mean']:{shown}}", found["unit"])
    words = "" if found["low"] is None else f": {verdict(found['low'], found['high'])}"
    starts = _count(found["episodes"], "start state")
    return [f"  {'improvement':<14}{value} {interval} on base, over the same {starts}{words}"]


def _best(document: dict[str, Any]) -> list[str]:
    best = document.get("best")
    if best is None:
        return []
    unit = "return" if best["score"] is None else "score"
    shown = f".{decimals([best[unit]], 1)}f"
    value, episodes = _in_column(f"{best[unit]:{shown}}", unit), _count(best["episodes"], "episode")
    return [f"  {'best':<14}{value}  at update {best['step']:,}, over {episodes}, chosen with the simulator"]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _in_column(value: str, unit: str) -> str:
    return f"{value:>18}" if unit == "score" else f"{value:>36}"


def _spread(mean: float | None, deviation: float | None, digits: int) -> str:
    if mean is None:
        return "-"
    spread = "-" if deviation is None else f"{deviation:.{digits}f}"
    return f"{mean:.{digits}f} +- {spread:>{5}}"


def _short(folder: Path) -> Path:
    relative = Path(from_here(folder))
    return folder.absolute() if ".." in relative.parts else relative


@rank_zero_only
def _print(text: str) -> None:
    print(text)
