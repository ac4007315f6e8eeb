"""SPAR (Support-Preserving Action Rectification, arXiv 2605.27877) on PyTorch Lightning."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "AlgorithmModule",
    "BCModule",
    "IQLModule",
    "OfflineDataModule",
    "ReBRACModule",
    "SPARModule",
    "TD3BCModule",
    "__version__",
    "collect",
]

if TYPE_CHECKING:
    from spar_lightning.datasets import collect
    from spar_lightning.replay import OfflineDataModule
    from spar_lightning.training import (
        AlgorithmModule,
        BCModule,
        IQLModule,
        ReBRACModule,
        SPARModule,
        TD3BCModule,
    )
else:

    def __getattr__(name: str) -> Any:
        """Import what is asked for, and what that needs, when it is: the command line answers sooner."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        room = {"OfflineDataModule": "replay", "collect": "datasets"}.get(name, "training")
        return getattr(import_module(f"{__name__}.{room}"), name)

    def __dir__() -> list[str]:
        """What there is, imported or not."""
        return sorted({*globals(), *__all__})
