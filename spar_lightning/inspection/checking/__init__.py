"""Comparing a data set with the installed simulator, by replaying its actions."""
