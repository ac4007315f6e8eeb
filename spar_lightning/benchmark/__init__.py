"""How fast modules train: contenders side by side, against plain PyTorch and the machine's own limit."""

from spar_lightning.benchmark.command import bench

__all__ = ["bench"]
