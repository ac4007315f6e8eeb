"""The machine's own speed limit: matrix products of the networks' shapes, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch
from torch import Tensor

from spar_lightning.benchmark.measuring.gate import synchronize
from spar_lightning.training.updates.products import mkl_lacks_avx512
from spar_lightning.training.updates.products import product as one_dnn_product

_SECONDS = 0.03  # for one layout of one shape
_DTYPES = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}


class Shape(NamedTuple):
    """Of a hidden layer: (batch_size, width) x (width, width)."""

    precision: str
    batch_size: int
    width: int


Rates = dict[str, float]
"""GFLOP/s by layout; `mm` is the plain product."""


def measure_peaks(connection: Connection, shapes: Sequence[Shape], device: torch.device) -> None:
    """Say which shapes fail and how, then answer every `window` with the others' rates, until told to `stop`."""
    products, errors = {}, {}
    for shape in shapes:
        try:
            products[shape] = _products(shape, device)
            for product in products[shape].values():
                product()  # what is set up once
        except Exception as error:  # a shape that is too large costs the others nothing
            products.pop(shape, None)
            errors[shape] = f"{type(error).__name__}: {error}"
    connection.send(errors)
    while connection.recv() != "stop":
        connection.send({shape: _rates(shape, functions, device) for shape, functions in products.items()})


def _products(shape: Shape, device: torch.device) -> dict[str, Callable[[], Tensor]]:
    """One product in the layouts that forward and backward passes use; all the same FLOPs."""
    dtype = _DTYPES[shape.precision]

    def random(*sizes: int) -> Tensor:
        return torch.randn(*sizes, device=device).to(dtype)

    batch, width = shape.batch_size, shape.width
    x, weight, y, gradient = random(batch, width), random(width, width), random(batch, width), random(width, width)
    pairs = tuple(random(2, *sizes) for sizes in ((batch, width), (width, width), (batch, width)))
    found: dict[str, Callable[[], Tensor]] = {
        "mm": lambda: torch.mm(x, weight, out=y),
        "linear": lambda: torch.mm(x, weight.t(), out=y),
        "weight_gradient": lambda: torch.mm(x.t(), y, out=gradient),
        "two_stacked": lambda: torch.bmm(pairs[0], pairs[1], out=pairs[2]),
    }
    if mkl_lacks_avx512() and device.type == "cpu" and dtype == torch.float32:
        found["one_dnn"] = lambda: one_dnn_product(x, weight)
    return found


def _rates(shape: Shape, functions: dict[str, Callable[[], Tensor]], device: torch.device) -> Rates:
    flops = 2.0 * shape.batch_size * shape.width**2
    return {
        layout: flops * (2 if layout == "two_stacked" else 1) / _seconds_each(product, device) / 1e9
        for layout, product in functions.items()
    }


def _seconds_each(product: Callable[[], Tensor], device: torch.device) -> float:
    synchronize(device)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < _SECONDS:
        for _ in range(10):
            product()
        done += 10
        synchronize(device)
    return (time.perf_counter() - began) / done
