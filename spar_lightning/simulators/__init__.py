"""Environments that data come from and policies are evaluated in, and the scores that their returns mean."""

from spar_lightning.simulators.environments import make_environment
from spar_lightning.simulators.reference_scores import REFERENCE_SCORES

__all__ = ["REFERENCE_SCORES", "make_environment"]
