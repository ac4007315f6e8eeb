"""How exactly a GPU multiplies float32 matrices."""

from __future__ import annotations

import torch


def use_tensor_cores(device: torch.device) -> None:
    """Let a CUDA device multiply float32 matrices in TF32, unless another precision than torch's default was chosen.

    TF32 keeps float32's range and ten bits of its fraction; sums are float32. Whoever wants all bits sets the
    environment variable `NVIDIA_TF32_OVERRIDE` to 0. The CPU is left as it is.
    """
    if device.type == "cuda" and torch.get_float32_matmul_precision() == "highest":
        torch.set_float32_matmul_precision("high")
