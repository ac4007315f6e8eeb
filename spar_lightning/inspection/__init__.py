"""Looking at data sets: what there is, what one holds, and whether it fits the installed simulator."""

from spar_lightning.inspection.checking.check import check_dataset, check_opened
from spar_lightning.inspection.checking.report import CheckReport
from spar_lightning.inspection.description import Description, describe, describe_as_text
from spar_lightning.inspection.listing.listing import Listing, list_datasets
from spar_lightning.inspection.listing.text import listing_as_text

__all__ = [
    "CheckReport",
    "Description",
    "Listing",
    "check_dataset",
    "check_opened",
    "describe",
    "describe_as_text",
    "list_datasets",
    "listing_as_text",
]
