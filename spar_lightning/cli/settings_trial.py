"""Settings of runs that are still to come, tried on the parser of `fit`."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from functools import cache

from omegaconf.errors import OmegaConfBaseException

from spar_lightning.cli.parsing.chosen_algorithm import choose_algorithm
from spar_lightning.cli.parsing.trusted_modules import check_algorithm
from spar_lightning.cli.stages.staged import StagedCLI
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import find_module
from spar_lightning.types import UserError


def refusal(arguments: Sequence[str]) -> str | None:
    """What `fit` would say against a command line, None if nothing; no data are read, and no networks made.

    Args:
        arguments: of the command line, without the program's name.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            algorithm = choose_algorithm(arguments)
            check_algorithm(algorithm, arguments)
            _trial(algorithm).attempt(arguments)
    except (UserError, OmegaConfBaseException) as error:
        return str(error)
    except SystemExit:
        words = said.getvalue().rpartition("error: ")[2].split()
        return " ".join(words) or "`fit` would print something, and train nothing"
    return None


@cache
def _trial(algorithm: str) -> SettingsTrial:
    return SettingsTrial(algorithm)


class SettingsTrial(StagedCLI):
    """`fit` up to where it knows its settings: a parser takes longer to make than to use.

    Args:
        algorithm: whose settings they are.
    """

    def __init__(self, algorithm: str) -> None:
        super().__init__(find_module(algorithm), OfflineDataModule, ["fit"], algorithm=algorithm)

    def attempt(self, arguments: Sequence[str]) -> None:
        """Parse a command line of `fit`, and see that a run can have such settings.

        Raises:
            SystemExit: if the parser refuses it, when it has said why.
            UserError: if the settings make no sense.
        """
        self._arguments = list(arguments)
        self.config = self.parser.parse_args(self._arguments)
        self.check_settings()

    def _set_seed(self) -> None:
        """Leave the random numbers alone."""

    def instantiate_classes(self) -> None:
        """Make nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Run nothing."""
