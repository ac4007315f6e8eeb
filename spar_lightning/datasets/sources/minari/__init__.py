"""Minari's data sets: names, downloads and episodes."""
