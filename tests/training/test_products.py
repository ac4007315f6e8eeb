"""Large products of a compiled update go to the library that multiplies fastest here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from spar_lightning.training.updates import products
from spar_lightning.training.updates.products import FasterProducts, mkl_lacks_avx512, product

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch came without oneDNN")

OURS = "spar_lightning.product.default"
AMD, INTEL = "vendor_id\t: AuthenticAMD\n", "vendor_id\t: GenuineIntel\n"


def matrix(*sizes: int, transposed: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(sum(sizes))
    if transposed:
        return torch.randn(*sizes[:-2], sizes[-1], sizes[-2], generator=generator).mT
    return torch.randn(*sizes, generator=generator)


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes this a processor that MKL knows half of, or not, with products that are large from so many on."""

    def on(lacks: bool = True, smallest: int = 64) -> None:
        monkeypatch.setattr(products, "mkl_lacks_avx512", lambda: lacks)
        monkeypatch.setattr(products, "_SMALLEST", smallest)

    return on


def written(function: Callable[..., Tensor], *tensors: Tensor) -> tuple[list[str], Tensor]:
    """The operations that a function comes to, and what it gives."""

    def faster(*tensors: Tensor) -> Tensor:
        with FasterProducts():
            return function(*tensors)

    graph = make_fx(faster)(*tensors)
    return [str(node.target) for node in graph.graph.nodes if node.op == "call_function"], graph(*tensors)


@pytest.mark.parametrize("transposed", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("sizes", [(256, 256, 256), (23, 256, 17), (1, 3, 1)])
def test_a_product_is_that_of_the_matrices(sizes: tuple[int, int, int], transposed: tuple[bool, bool]) -> None:
    rows, inner, columns = sizes
    left, right = matrix(rows, inner, transposed=transposed[0]), matrix(inner, columns, transposed=transposed[1])
    expected = left.double() @ right.double()
    found = product(left, right)
    assert (found.shape, found.dtype) == ((rows, columns), torch.float32)
    assert found.is_contiguous()
    told = torch.ops.spar_lightning.product.default(left.to("meta"), right.to("meta"))
    assert (told.shape, told.stride()) == (found.shape, found.stride())
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-6 * inner)


BIAS, LEFT, RIGHT = matrix(5), matrix(6, 4), matrix(4, 5)
BIASES, LEFTS, RIGHTS = matrix(3, 1, 5), matrix(3, 6, 4), matrix(3, 4, 5)


@pytest.mark.parametrize(
    ("function", "tensors", "count"),
    [
        (torch.mm, (LEFT, RIGHT), 1),
        (torch.addmm, (BIAS, LEFT, RIGHT), 1),
        (torch.bmm, (LEFTS, RIGHTS), 3),
        (torch.baddbmm, (BIASES, LEFTS, RIGHTS), 3),
        (torch.bmm, (LEFT.expand(3, -1, -1), RIGHTS), 1),
        (torch.bmm, (LEFT.expand(3, -1, -1), matrix(3, 4, 5, transposed=True)), 1),
    ],
)
def test_large_products_are_exchanged(
    on: Callable[..., None], function: Callable[..., Tensor], tensors: Sequence[Tensor], count: int
) -> None:
    on()
    operations, found = written(function, *tensors)
    assert operations.count(OURS) == count
    assert not {f"aten.{name}.default" for name in ("mm", "addmm", "bmm", "baddbmm")} & {*operations}
    expected = function(*tensors)
    assert found.stride() == expected.stride()
    torch.testing.assert_close(found, expected)


def test_a_shared_matrix_counts_for_all_of_its_batch(on: Callable[..., None]) -> None:
    on(smallest=3 * 6 * 4 * 5)
    assert OURS in written(torch.bmm, LEFT.expand(3, -1, -1), RIGHTS)[0]
    assert OURS not in written(torch.bmm, LEFTS, RIGHTS)[0]


def test_rows_are_laid_in_order_before_a_product(on: Callable[..., None]) -> None:
    on()
    assert "aten.clone.default" in written(torch.mm, matrix(6, 4, transposed=True), RIGHT)[0]
    assert "aten.clone.default" not in written(torch.mm, LEFT, RIGHT)[0]


@pytest.mark.parametrize(
    ("function", "settings"),
    [
        (lambda: torch.mm(LEFT, RIGHT), {"smallest": 6 * 4 * 5 + 1}),
        (lambda: torch.mm(LEFT, RIGHT), {"lacks": False}),
        (lambda: torch.mm(LEFT.double(), RIGHT.double()), {}),
        (lambda: torch.mm(LEFT.bfloat16(), RIGHT.bfloat16()), {}),
        (lambda: torch.addmm(BIAS, LEFT, RIGHT, alpha=2.0), {}),
        (lambda: torch.bmm(LEFTS[:0], RIGHTS[:0]), {"smallest": 1}),
    ],
    ids=["small", "known to MKL", "float64", "bfloat16", "scaled", "none"],
)
def test_other_products_stay(on: Callable[..., None], function: Callable[[], Tensor], settings: dict[str, Any]) -> None:
    on(**settings)
    operations, found = written(lambda _: function(), LEFT)
    assert OURS not in operations
    assert found.equal(function())


def test_sparse_matrices_and_those_elsewhere_stay(on: Callable[..., None]) -> None:
    on()
    with FasterProducts():
        torch.testing.assert_close(torch.mm(LEFT.to_sparse(), RIGHT), LEFT @ RIGHT)
    assert OURS not in written(torch.mm, LEFT.to("meta"), RIGHT.to("meta"))[0]


@pytest.mark.parametrize(
    ("processor", "capability", "has_mkl", "expected"),
    [
        (AMD, "AVX512", True, True),
        (AMD, "AVX512", False, False),
        (AMD, "AVX2", True, False),
        (INTEL, "AVX512", True, False),
        ("", "AVX512", True, False),
    ],
)
def test_which_processors_mkl_knows_half_of(
    monkeypatch: pytest.MonkeyPatch, processor: str, capability: str, has_mkl: bool, expected: bool
) -> None:
    monkeypatch.setattr(products, "_processor", lambda: processor)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: has_mkl)
    assert mkl_lacks_avx512.__wrapped__() is expected
