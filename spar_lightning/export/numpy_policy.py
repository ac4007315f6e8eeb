"""A policy that was exported as an .npz, with NumPy alone: this file needs nothing of the package that wrote it.

`Policy("policy.npz").act(observations)` maps observations (O,) or (B, O) to actions (A,) or (B, A), both in the
environment's units: normalization and clipping are inside.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

OPERATIONS: dict[str, Any] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "softplus": lambda x: np.logaddexp(x, np.float32(0)),
    "clamp": lambda x, low=None, high=None: np.clip(x, low, high),
    "linear": lambda x, weights, bias=0: x @ weights.T + bias,
    "cat": lambda parts, axis=0: np.concatenate(parts, axis),
    "split": lambda x, size, axis=0: np.split(x, range(size, x.shape[axis], size), axis),
    "chunk": lambda x, count, axis=0: np.array_split(x, count, axis),
    "getitem": lambda parts, position: parts[position],
    "sym_size": lambda x, axis: x.shape[axis],
    "new_zeros": lambda x, shape: np.zeros(shape, x.dtype),
    "ones_like": np.ones_like,
    "to": lambda x, _: x,  # all is float32
}


class Policy:
    """An exported policy; `metadata` says what it was trained on, and what it expects."""

    def __init__(self, path: Any) -> None:
        with np.load(path, allow_pickle=False) as file:
            self.values: dict[str, Any] = {name: file[name] for name in file.files}
        self.metadata = json.loads(str(self.values.pop("metadata")))
        self.steps = json.loads(str(self.values.pop("steps")))

    def act(self, observations: Any) -> np.ndarray:
        """Observations (O,) or (B, O) -> actions (A,) or (B, A), float32."""
        observations = np.asarray(observations, dtype=np.float32)
        expected = self.metadata["observations"]["size"]
        if observations.ndim not in (1, 2) or observations.shape[-1] != expected:
            raise ValueError(f"`observations` has shape {observations.shape}, expected (*, {expected})")
        values = {**self.values, "observations": np.atleast_2d(observations)}
        with np.errstate(over="ignore", invalid="ignore"):  # of inputs that are huge
            for name, operation, arguments in self.steps:
                values[name] = OPERATIONS[operation](*_found(arguments, values))
        actions: np.ndarray = values["actions"]
        return actions if observations.ndim == 2 else actions[0]


def _found(arguments: Any, values: dict[str, Any]) -> Any:
    """Arguments of an operation: `{"value": name}` stands for what an earlier step gave."""
    if isinstance(arguments, list):
        return [_found(argument, values) for argument in arguments]
    return values[arguments["value"]] if isinstance(arguments, dict) else arguments
