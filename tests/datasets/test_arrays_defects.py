"""What is said of a file of arrays that is not right."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from array_files import flat_arrays, write_arrays

from spar_lightning.datasets import open_dataset
from spar_lightning.datasets.sources.arrays.array_source import open_arrays
from spar_lightning.replay import PackedTransitions
from spar_lightning.types import DataError


@pytest.fixture(params=[".npz", ".hdf5"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a file of each format goes."""
    return tmp_path / f"mine{request.param}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observations": None}, "no `observations`, only actions, rewards, terminals, timeouts"),
        ({"actions": None, "rewards": None}, "no `actions` and no `rewards`"),
        ({"timeouts": None}, "no `timeouts` .* an integer array `episode`"),
        ({"timeouts": None, "terminals": None}, "no `timeouts`"),
        ({"timeouts": None, "terminals": None, "dones": np.zeros(8)}, "`dones`, but no `terminals`"),
        ({"terminations": np.zeros(8)}, "both `terminals` and `terminations`"),
        ({"actions": np.zeros((9, 2), np.float32)}, "`actions` has 9 rows, `observations` has 8"),
        ({"timeouts": np.zeros(7)}, "`truncations` has 7 rows"),
        ({"next_observations": np.zeros((8, 4))}, r"`next_observations` has shape \(8, 4\)"),
        ({"observations": np.zeros(8)}, r"`observations` has shape \(8,\), expected \(N, K\)"),
        ({"observations": np.zeros((8, 0))}, r"`observations` has shape \(8, 0\)"),
        ({"observations": np.zeros((8, 4, 4, 3), np.uint8)}, r"`observations` has shape \(8, 4, 4, 3\)"),
        ({"rewards": np.zeros((8, 2))}, r"`rewards` has shape \(8, 2\), expected \(N,\) or \(N, 1\)"),
        ({"rewards": np.float32(3)}, r"`rewards` has shape \(\)"),
        ({"actions": np.zeros((8, 2), np.int64)}, r"`actions` .* int64: discrete actions are not supported"),
        ({"actions": np.zeros((8, 2), np.complex64)}, "`actions` holds values of type complex64"),
        ({"rewards": np.array([b"one"] * 8)}, "`rewards` holds values of type .S3"),
        ({"terminals": np.full(8, 0.5)}, "`terminations` is 0.5 in row 0, expected 0 or 1"),
        ({"timeouts": np.full(8, np.nan)}, "`truncations` is nan in row 0"),
        ({"episode": np.zeros(8)}, "`episode` holds values of type float64, expected integers"),
        (
            {name: np.zeros((0, 2), np.float32) for name in ("observations", "actions")}
            | {name: np.zeros(0, np.float32) for name in ("rewards", "terminals", "timeouts")},
            "no row in them",
        ),
        (dict.fromkeys(("observations", "actions", "rewards", "terminals", "timeouts")), "only nothing"),
    ],
)
def test_arrays_that_do_not_fit(path: Path, change: dict[str, Any], message: str) -> None:
    arrays = {name: values for name, values in (flat_arrays() | change).items() if values is not None}
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(write_arrays(path, **arrays))
    assert str(path) in str(caught.value)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    arrays = flat_arrays() | {"rewards": np.array([Trap()] * 8, dtype=object), "extra": np.array([Trap()])}
    np.savez(tmp_path / "mine.npz", allow_pickle=True, **arrays)
    with pytest.raises(DataError, match="`rewards` holds values of type object"):
        open_dataset(str(tmp_path / "mine.npz"))
    np.savez(tmp_path / "mine.npz", allow_pickle=True, **(arrays | {"rewards": flat_arrays()["rewards"]}))
    assert len(list(open_dataset(str(tmp_path / "mine.npz")).episodes())) == 3
    assert not (tmp_path / "sprung").exists()


def test_nan_is_found_where_it_is(path: Path) -> None:
    arrays = flat_arrays()
    arrays["observations"][4, 1] = np.nan
    dataset = open_dataset(write_arrays(path, **arrays))
    with pytest.raises(DataError, match=r"`observations` has 1 NaN .* nan, in dimension 1, row 1 of episode 1\."):
        PackedTransitions.from_episodes(dataset.episodes())


def test_what_no_float32_can_hold(path: Path) -> None:
    arrays = flat_arrays()
    arrays["observations"] = arrays["observations"].astype(np.float64)
    arrays["observations"][4, 1] = 1e39
    dataset = open_dataset(write_arrays(path, **arrays))
    with pytest.raises(DataError, match=r"`observations` .* is 1e\+39 in row 4, column 1, too large for float32"):
        list(dataset.episodes())


@pytest.mark.parametrize("offset", [0.0, 1.7e9])
def test_differences_that_float32_loses_are_told(path: Path, recwarn: pytest.WarningsRecorder, offset: float) -> None:
    arrays = flat_arrays()
    arrays["observations"] = arrays["observations"].astype(np.float64)
    arrays["observations"][:, 1] = offset + 0.05 * np.arange(len(arrays["observations"]))
    arrays["observations"][:, 2] = 5.0  # stands still, and loses nothing
    list(open_dataset(write_arrays(path, **arrays)).episodes())
    told = [str(warning.message) for warning in recwarn]
    assert len(told) == (offset > 0), told
    assert all("is about 1.7e+09 in column 1, where float32 cannot tell its values apart" in one for one in told)


def test_files_of_another_kind(path: Path) -> None:
    kind = "NumPy archive" if path.suffix == ".npz" else "HDF5 file"
    for contents, found in ((b"<!DOCTYPE html>", "a web page"), (b"", "empty"), (b"\x00" * 600, "something else")):
        path.write_bytes(contents)
        with pytest.raises(DataError, match=f"is no {kind} but {found}"):
            open_dataset(str(path))


def test_a_truncated_file(path: Path) -> None:
    write_arrays(path, **flat_arrays(1000))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"is a damaged HDF5 file: .*truncated|is no NumPy archive"):
        open_dataset(str(path))


@pytest.mark.parametrize("through", ["itself", "a group"])
def test_links_into_other_files_are_not_followed(tmp_path: Path, through: str) -> None:
    arrays = flat_arrays()
    write_arrays(tmp_path / "other.hdf5", **arrays)
    del arrays["observations"]
    name = write_arrays(tmp_path / "mine.hdf5", **arrays)
    with h5py.File(name, "a") as file:
        if through == "itself":
            file["observations"] = h5py.ExternalLink("other.hdf5", "/observations")
        else:
            file["other"] = h5py.ExternalLink("other.hdf5", "/")
            file["observations"] = h5py.SoftLink("/other/observations")
    with pytest.raises(DataError, match=r"`observations` is (a link into|kept in) another file"):
        open_dataset(name)


def test_a_damaged_file(path: Path) -> None:
    """Found where it is read, if not before: an archive holds checksums, HDF5 with the right filter."""
    arrays = flat_arrays(1000)
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                file.create_dataset(name, data=values, chunks=True, fletcher32=True)
    contents = bytearray(path.read_bytes())
    observations = _place_of_observations(path, contents)
    contents[observations : observations + 8] = b"\xff" * 8
    path.write_bytes(contents)
    with pytest.raises(DataError, match=r"cannot be read: .* Fetch it again|cannot be read: .* fetch it again"):
        list(open_dataset(str(path)).episodes())


def _place_of_observations(path: Path, contents: bytearray) -> int:
    if path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            return archive.getinfo("observations.npy").header_offset + 200
    return contents.index(np.array([7, 7.5, -7], np.float32).tobytes())


def test_a_header_that_promises_too_much(tmp_path: Path) -> None:
    write_arrays(tmp_path / "mine.npz", **flat_arrays())
    with zipfile.ZipFile(tmp_path / "more.npz", "w") as more, zipfile.ZipFile(tmp_path / "mine.npz") as mine:
        for name in mine.namelist():
            more.writestr(name, mine.read(name).replace(b"'shape': (8", b"'shape': (9"))
    with pytest.raises(DataError, match=r"cannot be read: an array of shape \(9, 3\) and type float32 has 96 bytes"):
        open_dataset(str(tmp_path / "more.npz"))


def test_demonstrations_by_url_are_known_by_path_alone(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "demos.hdf5", "w") as file:
        file.create_group("data/demo_0")
    with pytest.raises(DataError, match=r"no `observations` .*only data\. If it is robomimic's, give the path"):
        open_arrays(tmp_path / "demos.hdf5", "https://host/demos.hdf5", None)


def test_no_file(path: Path, tmp_path: Path) -> None:
    write_arrays(path, **flat_arrays())
    with pytest.raises(DataError, match=f"no file .*; did you mean `{path.name}`"):
        open_dataset(str(path.with_stem("mime")))
    with pytest.raises(DataError, match="its folder does not exist"):
        open_dataset(str(tmp_path / "nowhere" / path.name))
    with pytest.raises(DataError, match="is a folder, expected a file"):
        open_dataset(str(tmp_path))
    with pytest.raises(DataError, match=r"of no known kind, expected a file that ends in \.hdf5, \.h5, \.npz"):
        open_dataset("rewards.pkl")
    with pytest.raises(DataError, match="is no path here"):
        open_dataset("~nobody-of-this-name/x.npz")
