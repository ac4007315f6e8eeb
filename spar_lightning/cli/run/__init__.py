"""A run: its folder, settings and metrics, its seeds and processes, and how it goes on after a stop."""
