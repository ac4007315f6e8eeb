"""The results of a run as one JSON document."""
