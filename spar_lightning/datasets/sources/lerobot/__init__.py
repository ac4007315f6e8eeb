"""Folders that LeRobot records."""
