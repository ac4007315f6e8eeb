"""From a trained policy to a file that runs without this package, with a model card."""

from spar_lightning.export.export import Exported, Trial, export_policy
from spar_lightning.export.formats import FORMATS

__all__ = ["FORMATS", "Exported", "Trial", "export_policy"]
