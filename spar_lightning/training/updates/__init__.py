"""How updates run: one by one under Lightning, or as tensors alone, compiled, captured, and of several seeds."""
