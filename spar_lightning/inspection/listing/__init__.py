"""The data sets that are bundled, on this machine, or known to be published."""
