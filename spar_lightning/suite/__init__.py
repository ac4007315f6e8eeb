"""Suites: many runs from one file, and what runs them."""

from spar_lightning.suite.command import benchmark

__all__ = ["benchmark"]
