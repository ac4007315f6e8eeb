"""SPAR: the composition in `spar.py`, each of its choices in a file of its own."""

from spar_lightning.algorithms.spar.spar import SPAR

__all__ = ["SPAR"]
