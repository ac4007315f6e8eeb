"""Checkpoints from which a run goes on."""
