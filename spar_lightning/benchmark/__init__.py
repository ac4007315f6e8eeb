"""How fast modules train: contenders side by side, against plain PyTorch and the machine's own limit."""
