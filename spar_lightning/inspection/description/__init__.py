"""What a data set holds, in numbers and as text."""

from spar_lightning.inspection.description.describe import Description, describe
from spar_lightning.inspection.description.text import describe_as_text

__all__ = ["Description", "describe", "describe_as_text"]
