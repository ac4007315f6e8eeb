"""Products of float32 matrices on a CPU that torch's own choice of a library serves at half its speed."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_SMALLEST = 2**20  # multiplications; of fewer, the other library's start costs more than it saves

_library = torch.library.Library("spar_lightning", "FRAGMENT")  # type: ignore[no-untyped-call]
_library.define("product(Tensor left, Tensor right) -> Tensor")  # type: ignore[no-untyped-call]


def product(left: Tensor, right: Tensor) -> Tensor:
    """(M, K) times (K, N) by oneDNN, however they lie in memory."""
    found: Tensor = torch.ops.mkldnn._linear_pointwise(left, right.mT, None, "none", [], "")
    return found


_library.impl("product", product, "CPU")  # type: ignore[no-untyped-call]


@torch.library.register_fake("spar_lightning::product", lib=_library)  # type: ignore[untyped-decorator]
def _like_product(left: Tensor, right: Tensor) -> Tensor:
    return left.new_empty((left.shape[0], right.shape[1]))


@cache
def mkl_lacks_avx512() -> bool:
    """Whether MKL, which torch multiplies float32 matrices with, takes this CPU for one without AVX-512.

    It goes by the maker's name. oneDNN, which torch has for other things, asks the processor.
    """
    return (
        torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and "AuthenticAMD" in _processor()
    )


def _processor() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()


class FasterProducts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, large products of float32 matrices on such a CPU are oneDNN's: same sums, rounded otherwise.

    Each operation goes through Python: for what is written down once.
    """

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """An operation, or the same by other ones."""
        if func in _PRODUCTS and not kwargs and mkl_lacks_avx512():
            *bias, left, right = args
            if _pays(left, right):
                found = _multiplied(left, right)
                return found + bias[0] if bias else found
        return func(*args, **(kwargs or {}))


_PRODUCTS = {
    torch.ops.aten.mm.default,
    torch.ops.aten.bmm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten.baddbmm.default,
}
"""Of two matrices or of two batches of them, to which the last two add their first tensor."""


def _pays(left: Tensor, right: Tensor) -> bool:
    if left.device.type != "cpu" or left.dtype != torch.float32 or left.layout != torch.strided or left.numel() == 0:
        return False
    rows, inner = left.shape[-2:]
    columns = right.shape[-1] * (len(right) if _is_shared(left) else 1)
    return rows * inner * columns >= _SMALLEST


def _is_shared(left: Tensor) -> bool:
    """Whether one matrix stands for all of a batch, as the features that several critics have in common do."""
    return left.dim() == 3 and left.stride(0) == 0


def _multiplied(left: Tensor, right: Tensor) -> Tensor:
    if left.dim() == 2:
        return _one_product(left, right)
    if _is_shared(left):
        beside = _one_product(left[0], right.movedim(0, 1).flatten(1))
        return beside.reshape(len(beside), len(right), -1).movedim(1, 0).contiguous()
    return torch.stack([_one_product(*each) for each in zip(left.unbind(), right.unbind(), strict=True)])


def _one_product(left: Tensor, right: Tensor) -> Tensor:
    """A product, of rows that a compiler is told to lay one after the other; oneDNN would have to copy them so."""
    found: Tensor = torch.ops.spar_lightning.product.default(left.contiguous(), right)
    return found
