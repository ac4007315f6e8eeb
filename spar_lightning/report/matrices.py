"""Scores as other programs read them: `rliable` and Unifloral's evaluation."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spar_lightning.documents import slug
from spar_lightning.evaluation import normalized_score
from spar_lightning.report.analysis import Analysis
from spar_lightning.report.documents import Document
from spar_lightning.whole_file import whole_file

RLIABLE, UNIFLORAL = "rliable.npz", "unifloral"
_DAY = "2000-01-01"


def write_matrices(analysis: Analysis, folder: Path) -> list[Path]:
    """Write what there are scores for, in place of what an earlier report has left there.

    `rliable.npz` holds a matrix (runs, tasks) for each method, and the names of the tasks as `tasks`: without that, the
    dictionary that `rliable.library.get_interval_estimates` takes. `unifloral/` holds a file for each run, named and
    filled as `load_results_dataframe` expects it: `final_returns` and `final_scores` of every episode.
    """
    written = []
    if analysis.matrices:
        arrays: dict[str, Any] = {
            f"{method} (method)" if method == "tasks" else method: scores.T
            for method, scores in analysis.matrices.items()
        }
        written.append(_save(folder / RLIABLE, {**arrays, "tasks": np.array(analysis.common)}))
    for (task, method), runs in analysis.results.runs.items():
        for place, run in enumerate(runs):
            if (episodes := _episodes(run)) is not None:
                written.append(_save(folder / UNIFLORAL / _unifloral_name(task, method, place), episodes))
    for path in (folder / RLIABLE, *(folder / UNIFLORAL).glob(f"*_{_DAY}_*.npz")):
        if path not in written:
            path.unlink(missing_ok=True)
    return written


def _episodes(run: Document) -> dict[str, Any] | None:
    """Returns and scores (episodes,) of the last policy, which earlier versions did not keep."""
    returns = (run.get("episode_returns") or {}).get("policy")
    if not returns:
        return None
    arrays = {"final_returns": np.array(returns)}
    if run.get("reference_returns"):
        low, high = run["reference_returns"]
        arrays["final_scores"] = normalized_score(arrays["final_returns"], (low, high))
    return arrays


def _unifloral_name(task: str, method: str, place: int) -> str:
    """`<algorithm>_<data set>_<time>`; the time only tells the runs apart."""
    algorithm = slug(method).replace("_", "-")
    time = f"{place // 3600:02}-{place // 60 % 60:02}-{place % 60:02}"
    return f"{algorithm}_{slug(task).replace('_', '-')}_{_DAY}_{time}.npz"


def _save(path: Path, arrays: Mapping[str, Any]) -> Path:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # as `np.savez`, which lets no array be called `file`
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(values), allow_pickle=False)
    with whole_file(path) as file:
        file.write(buffer.getbuffer())
    return path
