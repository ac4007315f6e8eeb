"""Arrays and groups of an HDF5 file, if that file alone holds them."""

from __future__ import annotations

import h5py

from spar_lightning.datasets.blocks import check_stored
from spar_lightning.datasets.sources.column import Column, NoColumn


def column_in(group: h5py.Group, name: str) -> Column:
    """An array of an HDF5 file, if that alone holds it: what another file has may change, and be anybody's.

    Raises:
        ValueError: it states more values than the file can hold.
    """
    if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
        return NoColumn("a link into another file")
    item = group.get(name)
    if not isinstance(item, h5py.Dataset):
        return NoColumn("a link to nothing" if item is None else "a group")
    if item.is_virtual or item.external or item.file.filename != group.file.filename:  # the last through a link to one
        return NoColumn("kept in another file")
    if item.shape is None:
        return NoColumn("empty")
    if item.shape and not item.dtype.hasobject:
        check_stored(item.shape, item.dtype, item.id.get_storage_size())
    column: Column = item
    return column


def group_in(group: h5py.Group, name: str) -> h5py.Group | None:
    """A group of an HDF5 file, if there is one in that file itself."""
    if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
        return None
    item = group.get(name)
    return item if isinstance(item, h5py.Group) and item.file.filename == group.file.filename else None


def names_in(group: h5py.Group) -> list[str]:
    """What a group holds; a name that is no text, which h5py gives as bytes, is none that anybody asks for."""
    return [name for name in group if isinstance(name, str)]
