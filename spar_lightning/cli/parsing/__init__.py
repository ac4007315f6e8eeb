"""How a command line is read: its parsers, configurations, mistyped names, and what it may have imported."""
