"""TF32 is used where a GPU has it, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from spar_lightning.training.updates.tensor_cores import use_tensor_cores


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    ("device", "chosen", "expected"),
    [("cuda", "highest", "high"), ("cuda:1", "medium", "medium"), ("cpu", "highest", "highest")],
)
def test_tensor_cores_are_used_on_a_gpu_unless_told_otherwise(device: str, chosen: str, expected: str) -> None:
    torch.set_float32_matmul_precision(chosen)
    use_tensor_cores(torch.device(device))
    assert torch.get_float32_matmul_precision() == expected
