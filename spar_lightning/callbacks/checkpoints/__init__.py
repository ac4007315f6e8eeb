"""Checkpoints from which a run goes on, and where it may be stopped."""
