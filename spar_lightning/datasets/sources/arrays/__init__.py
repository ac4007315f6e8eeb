"""Arrays of transitions in HDF5 files and `.npz` archives."""
