"""The command line: `fit`, `validate` and `test` of a two-stage run, and `collect` for bundled data."""

from spar_lightning.cli.main import main
from spar_lightning.cli.staged import StagedCLI

__all__ = ["StagedCLI", "main"]
