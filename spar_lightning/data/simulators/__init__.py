"""The simulator that belongs to a data set, and the scale of its scores."""
