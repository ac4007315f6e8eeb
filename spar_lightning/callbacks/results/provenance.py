"""What a result depends on: settings, machine and library versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import lightning.pytorch as pl
import torch

LIBRARIES = ("torch", "lightning", "torchmetrics", "gymnasium", "mujoco", "minari", "numpy", "scipy")


def training_settings(trainer: pl.Trainer) -> dict[str, Any]:
    """Hyper-parameters of `model` and `data` as primitives, what the data hold, and the precision unless it is usual.

    They are without the seed: equal for seeds of one experiment.
    """
    datamodule = getattr(trainer, "datamodule", None)
    data = {name: value for name, value in getattr(datamodule, "hparams", {}).items() if name != "seed"}
    data |= getattr(datamodule, "contents", {})
    settings = {"model": _primitive(trainer.lightning_module.hparams), "data": _primitive(data)}
    return settings if trainer.precision == "32-true" else settings | {"precision": trainer.precision}


def machine(trainer: pl.Trainer) -> dict[str, Any]:
    """What speeds depend on; `accelerator` is None on a CPU."""
    device = trainer.strategy.root_device
    return {
        "processor": platform.processor() or platform.machine(),
        "cpu_threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }


def library_versions() -> dict[str, str]:
    """Versions of what a result may depend on."""
    package = __name__.partition(".")[0]
    versions = {"python": platform.python_version()}
    for name in (package, *LIBRARIES):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # such as a checkout on the path that was never installed
            versions[name] = "unknown"
    return versions


def _primitive(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _primitive(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_primitive(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
