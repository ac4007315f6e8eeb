"""Where data come from: one module or folder for each kind of source, and the registry that picks one by a name."""
