"""The command `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from spar_lightning.cli.printing import only_result_on_stdout, print_text
from spar_lightning.documents import from_here
from spar_lightning.given_path import given_path


def export(
    checkpoint: str,
    format: Literal["onnx", "pt2", "npz"] = "onnx",
    output: str | None = None,
    algorithm: str | None = None,
) -> None:
    """Write a checkpoint's policy as one file: observations in, actions out, for any number at once.

    It is compared with the policy and timed, and a model card in Hugging Face's format is written beside it.

    Args:
        checkpoint: path of a checkpoint, of any algorithm.
        format: `onnx` for onnxruntime and others, `pt2` for `torch.export.load`, `npz` for NumPy alone, with a runner.
        output: folder for `policy.<format>` and its card; by default `export` in the run's folder.
        algorithm: class path of an own algorithm that the checkpoint is of.
    """
    from spar_lightning.export import export_policy  # with what it takes of PyTorch and the hub

    with only_result_on_stdout():
        exported = export_policy(Path(checkpoint), format, None if output is None else given_path(output), algorithm)
    trial, folder = exported.trial, from_here(exported.files[0].parent)
    lines = [f"  {from_here(file)}  ({file.stat().st_size / 1e3:,.0f} kB)" for file in exported.files]
    lines += [
        "",
        f"  difference to the policy  {trial.difference:.0e} of half the range of actions;"
        f" {trial.far_difference:.0e} on inputs far from the data",
        f"  latency of one action     {trial.latency_ms:.3g} ms; of the module {trial.module_latency_ms:.3g} ms",
        f"  publish                   hf upload USER/NAME {folder}",
    ]
    print_text("\n".join(lines))
