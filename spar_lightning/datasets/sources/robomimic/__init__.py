"""HDF5 files of demonstrations in robomimic's layout."""
