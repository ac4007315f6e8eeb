"""Windows of updates, timed in turns in processes of their own, and the limit of the machine."""
