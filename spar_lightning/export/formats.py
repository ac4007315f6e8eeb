"""The formats of an exported policy: how each is written, and how it is run again."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import operator
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.export import ExportedProgram
from torch.fx import Node

from spar_lightning.export.numpy_policy import OPERATIONS, Policy
from spar_lightning.types import UserError

Metadata = dict[str, Any]
Act = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""Observations (B, O) -> actions (B, A), both in the environment's units."""

METADATA_KEY = "spar_lightning"
"""Where an ONNX file has its metadata, as JSON."""

_METADATA_FILE = "metadata.json"  # in a .pt2
_IGNORED = {"dtype", "device", "layout", "pin_memory"}  # all is float32 on the CPU


class Format(NamedTuple):
    """One kind of file."""

    encode: Callable[[ExportedProgram, Metadata], bytes]
    run: Callable[[Path], Act]
    needs: tuple[str, ...] = ()  # packages of the extra `export`


def require_packages(name: str) -> None:
    """See that what a format needs is installed.

    Raises:
        UserError: if it is not.
    """
    missing = [package for package in FORMATS[name].needs if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(
            f"the format {name} needs {', '.join(missing)}: `pip install 'spar-lightning[export]'`, or choose another"
            f" one of {', '.join(FORMATS)}"
        )


# ----------------------------------------------------------------------------------------------------------------- ONNX


def _encode_onnx(program: ExportedProgram, metadata: Metadata) -> bytes:
    with _quiet():
        converted = torch.onnx.export(
            program, dynamo=True, input_names=["observations"], output_names=["actions"], verbose=False
        )
    assert converted is not None
    converted.model.metadata_props[METADATA_KEY] = json.dumps(metadata)
    proto = converted.model_proto
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"  # torch calls it by a number
    encoded: bytes = proto.SerializeToString()
    return encoded


def _run_onnx(path: Path) -> Act:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # such small products gain nothing by more
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def act(observations: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        actions: npt.NDArray[np.float32] = session.run(["actions"], {"observations": observations})[0]
        return actions

    return act


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's words on packages that are not there and on torch's own deprecations."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    with warnings.catch_warnings(action="ignore"):
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)


# ------------------------------------------------------------------------------------------------------------------ pt2


def _encode_pt2(program: ExportedProgram, metadata: Metadata) -> bytes:
    contents = io.BytesIO()
    torch.export.save(program, contents, extra_files={_METADATA_FILE: json.dumps(metadata)})
    return contents.getvalue()


def _run_pt2(path: Path) -> Act:
    module = torch.export.load(path).module()

    def act(observations: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            actions: npt.NDArray[np.float32] = module(torch.from_numpy(observations)).numpy()
        return actions

    return act


# ------------------------------------------------------------------------------------------------------------------ npz


def _encode_npz(program: ExportedProgram, metadata: Metadata) -> bytes:
    """Weights by their names, and the steps that `numpy_policy` takes with them."""
    program = program.run_decompositions({})  # nothing is changed in place any more
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    names |= signature.inputs_to_lifted_tensor_constants
    tensors = {**program.state_dict, **program.constants}
    values = {node: names.get(node, "observations") for node in (spec.arg.name for spec in signature.input_specs)}
    steps = []
    (output,) = signature.user_outputs
    for node in program.graph.nodes:
        if node.op == "call_function" and "_assert" not in str(node.target):
            values[node.name] = "actions" if node.name == output else f"step {node.name}"
            steps.append([values[node.name], _operation(node), _arguments([*node.args, *_options(node)], values)])
    arrays = {name: tensors[name].detach().numpy() for name in values.values() if name in tensors}
    contents = io.BytesIO()
    np.savez(contents, metadata=np.array(json.dumps(metadata)), steps=np.array(json.dumps(steps)), **arrays)
    return contents.getvalue()


def _operation(node: Node) -> str:
    name = "getitem" if node.target is operator.getitem else str(node.target).split(".")[1]
    if name not in OPERATIONS:
        raise UserError(
            f"the policy has the operation {node.target}, which the NumPy runner lacks, expected one of"
            f" {', '.join(OPERATIONS)}: export it as onnx or pt2"
        )
    return name


def _options(node: Node) -> list[Any]:
    options = {name: value for name, value in node.kwargs.items() if name not in _IGNORED}
    if options:
        raise UserError(f"the policy calls {node.target} with {options}, expected no options: export it as onnx or pt2")
    return []


def _arguments(arguments: Any, values: dict[str, str]) -> Any:
    if isinstance(arguments, list | tuple):
        return [_arguments(argument, values) for argument in arguments]
    if isinstance(arguments, torch.dtype):
        return str(arguments)
    return {"value": values[arguments.name]} if isinstance(arguments, Node) else arguments


def _run_npz(path: Path) -> Act:
    return Policy(path).act


FORMATS = {
    "onnx": Format(_encode_onnx, _run_onnx, needs=("onnx", "onnxscript", "onnxruntime")),
    "pt2": Format(_encode_pt2, _run_pt2),
    "npz": Format(_encode_npz, _run_npz),
}
"""By the suffixes of their files."""
