"""The commands of a training: their settings, its stages, and where it starts."""
