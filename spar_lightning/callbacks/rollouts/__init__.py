"""Evaluation of a policy in the simulator, while it is trained and at its end."""
