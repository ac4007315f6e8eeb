"""OGBench's files."""
