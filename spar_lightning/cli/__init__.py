"""The command line: `fit`, `validate` and `test` of a two-stage run, and commands for data, speed and results."""

from spar_lightning.cli.main import main

__all__ = ["main"]
