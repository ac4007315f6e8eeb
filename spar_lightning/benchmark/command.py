"""The command `bench`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from spar_lightning.benchmark.figure import check_suffix, draw
from spar_lightning.benchmark.measuring.machine import describe_machine
from spar_lightning.benchmark.measuring.rounds import measure
from spar_lightning.benchmark.results import Result, result
from spar_lightning.benchmark.settings import Setting, at_least, grid, missing_package
from spar_lightning.benchmark.tables import speed_table, split_table
from spar_lightning.given_path import given_path
from spar_lightning.types import UserError
from spar_lightning.whole_file import write_text

Value = TypeVar("Value")


def bench(
    modules: Sequence[str] | str = ("spar", "spar_warmup", "td3_bc", "plain"),
    threads: Sequence[int] | int = (1,),
    precisions: Sequence[str] | str = ("32-true",),
    batch_sizes: Sequence[int] | int = (256,),
    hidden_dims: Sequence[int] | int = (256,),
    num_critics: Sequence[int] | int = (8,),
    updates_per_batch: Sequence[int] | int = (1,),
    compile: Sequence[bool] | bool = (False,),
    capture: Sequence[bool] | bool = (True,),
    num_seeds: Sequence[int] | int = (1,),
    loader: Sequence[str] | str = ("packed",),
    transitions: int = 200_000,
    repeats: int = 7,
    window: int = 500,
    warmup: int = 100,
    at_once: int = 12,
    one_at_a_time: bool = False,
    accelerator: Literal["auto", "cpu", "gpu"] = "auto",
    output: str = "bench.json",
    figure: str | None = None,
) -> None:
    """Measure how fast modules train, side by side with plain PyTorch; scores of a suite are `benchmark`'s.

    Every contender under every setting is a process of its own, which trains with the loggers and callbacks of a
    default run. Windows of updates of all of them take turns, so that noise of the machine hits all alike. What a
    setting means nothing to is measured once.

    Args:
        modules: some of spar, spar_in_sample, spar_warmup, td3_bc, bc, plain, d3rlpy_td3_bc, d3rlpy_iql, jax_td3_bc.
        threads: that a process computes with.
        precisions: 32-true, bf16-mixed.
        batch_sizes: transitions an update.
        hidden_dims: widths; each stands for two hidden layers of it.
        num_critics: Q-networks that guide SPAR, of half the width; the others have two.
        updates_per_batch: updates made from one gather.
        compile: whether updates are compiled.
        capture: whether updates are captured in a CUDA graph on a GPU.
        num_seeds: trained at once; updates/s are summed over them.
        loader: packed (the project's own), dataloader (a DataLoader around it), columns (a gather for each column).
        transitions: synthetic ones to sample from, with Walker2d's shapes.
        repeats: rounds of windows.
        window: updates a window; 500 hold as many log lines and probes as a long run does.
        warmup: updates before the first window.
        at_once: contenders that are alive together, waiting in memory for their turn.
        one_at_a_time: vary batch size, width and critics each by itself, with the others at the first of their values.
        accelerator: auto takes a GPU where there is one.
        output: JSON file for everything that was measured.
        figure: PNG file, or another that matplotlib writes, for how speed scales; none by default.

    Raises:
        UserError: for a module, precision or loader that is not known, an empty list, a number below 1, a file that
            cannot be written, or if nothing could be run.
    """
    arguments = dict(locals())
    at_least(1, repeats=repeats, window=window, warmup=warmup, at_once=at_once)
    results_path, figure_path = given_path(output), None if figure is None else given_path(figure)
    if figure_path is not None:
        check_suffix(figure_path)  # rather now than after the measurement
    device = _accelerator(accelerator)
    settings = grid(
        _several("modules", modules),
        one_at_a_time,
        threads=_several("threads", threads),
        precision=_several("precisions", precisions),
        batch_size=_several("batch_sizes", batch_sizes),
        hidden_dim=_several("hidden_dims", hidden_dims),
        num_critics=_several("num_critics", num_critics),
        updates_per_batch=_several("updates_per_batch", updates_per_batch),
        compile=_several("compile", compile),
        capture=_several("capture", capture),
        num_seeds=_several("num_seeds", num_seeds),
        loader=_several("loader", loader),
        transitions=[transitions],
        accelerator=[device],
    )
    settings = _installed(settings)
    for name, path in {"output": results_path, "figure": figure_path}.items():
        if path is not None:
            _check_writable(name, path)
    machine = describe_machine(device)
    results: list[Result] = []
    try:
        for measurements in measure(settings, repeats, warmup, window, at_once, _report):
            results = [result(measurement, settings) for measurement in measurements]
            _write(results_path, {"machine": machine, "arguments": arguments, "results": results})
            _report(f"{len(results)} of {len(settings)} settings measured, in {output}")
    finally:  # what was measured is shown whatever happens then
        if results:
            _show(machine, results)
    print(f"  everything  {output}")
    if figure_path is not None:
        draw(results, figure_path)
        print(f"  figure      {figure}")
    if all(found["error"] is not None for found in results):
        raise UserError("no contender came to an end, expected at least one: their errors are above")


def _show(machine: dict[str, Any], results: Sequence[Result]) -> None:
    where = machine["gpu"] or f"{machine['processor']}, {machine['usable_cores']} cores, {machine['capability']}"
    transitions = f"{results[0]['setting']['transitions']:,} transitions of Walker2d's shapes"
    headline = f"  {where}, torch {machine['torch']}, {transitions}"
    print("\n".join(["", headline, "", speed_table(results), "", split_table(results), ""]))


def _several(name: str, value: Sequence[Value] | Value) -> Sequence[Value]:
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if not values:
        raise UserError(f"`{name}` is empty, expected at least one value: leave it out for the default")
    return values


def _accelerator(wanted: str) -> str:
    if wanted not in ("auto", "cpu", "gpu"):
        raise UserError(f"`accelerator` is `{wanted}`, expected auto, cpu or gpu")
    if wanted == "gpu" and not torch.cuda.is_available():
        raise UserError("`accelerator` is gpu, but torch finds no CUDA device here: use cpu or auto")
    return "gpu" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def _installed(settings: Sequence[Setting]) -> list[Setting]:
    """Those that can be run here; says which cannot.

    Raises:
        UserError: if none can.
    """
    missing = {setting.contender: missing_package(setting.contender) for setting in settings}
    for contender, package in missing.items():
        if package is not None:
            print(f"  {contender} is left out: {package} is not installed (pip install {package})")
    installed = [setting for setting in settings if missing[setting.contender] is None]
    if not installed:
        raise UserError("none of the modules can be run here, expected at least one: install what they need")
    return installed


def _report(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _check_writable(name: str, path: Path) -> None:
    """Make the folder, and see that the file can be written, without changing one that is there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        existed = path.exists()
        path.open("a").close()
        if not existed:
            path.unlink()
    except OSError as error:
        raise UserError(
            f"cannot write to `{name}`, {path} ({error.strerror}), expected a file that this user may write to: name"
            f" another one with --{name}"
        ) from error


def _write(path: Path, document: dict[str, Any]) -> None:
    write_text(path, json.dumps(document, indent=2) + "\n")
