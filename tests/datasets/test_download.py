"""Files from a server on this machine, which may refuse, stall, or hang up."""

from __future__ import annotations

import errno
import io
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import numpy as np
import pytest
from array_files import flat_arrays, write_arrays

from spar_lightning.datasets import open_dataset
from spar_lightning.datasets.sources.d4rl_names import KNOWN_D4RL
from spar_lightning.datasets.sources.remote import download, remote_files
from spar_lightning.types import DataError


class Handler(BaseHTTPRequestHandler):
    """Serves one file in the way that the first part of the path says."""

    contents: ClassVar[bytes]
    version: ClassVar[str]
    asked: ClassVar[list[str | None]]  # the `Range` of each request
    hang_up_after: ClassVar[int | None]  # bytes

    def do_GET(self) -> None:
        way = self.path.split("/")[1]
        type(self).asked.append(self.headers.get("Range"))
        if way == "missing":
            self.send_error(404)
        elif way == "moved":
            self.send_response(302)
            self.send_header("Location", "/plain/elsewhere")
            self.end_headers()
        elif way == "part":
            self._send(self.contents[100:], {"Content-Range": "bytes 100-"}, status=206)
        elif way == "page":
            self._send(b"<html>Please log in</html>", {"Content-Type": "text/html"})
        elif way == "unsized":
            self._send(self.contents, sized=False)
        elif way == "resumable":
            self._send_resumable()
        else:
            self._send(self.contents, stall=way == "stalls")

    def _send_resumable(self) -> None:
        headers = {"Accept-Ranges": "bytes", "ETag": self.version}
        asked = self.headers.get("Range")
        if asked is None or self.headers["If-Range"] != self.version:
            return self._send(self.contents, headers)
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(self.contents):
            return self.send_error(416)
        headers["Content-Range"] = f"bytes {start}-{len(self.contents) - 1}/{len(self.contents)}"
        return self._send(self.contents[start:], headers, status=206)

    def _send(
        self,
        contents: bytes,
        headers: dict[str, str] | None = None,
        status: int = 200,
        sized: bool = True,
        stall: bool = False,
    ) -> None:
        self.send_response(status)
        for name, value in ((headers or {}) | ({"Content-Length": str(len(contents))} if sized else {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(contents[: self.hang_up_after])
        if stall:
            time.sleep(1)

    def log_message(self, *_: Any) -> None:
        """Not to the terminal."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that has one data set, and a cache that is empty."""
    Handler.contents = Path(write_arrays(tmp_path / "served.hdf5", **flat_arrays())).read_bytes()
    Handler.version, Handler.asked, Handler.hang_up_after = '"first"', [], None
    monkeypatch.setenv("SPAR_LIGHTNING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


@pytest.fixture
def cached(tmp_path: Path) -> Any:
    """Lists the files in the cache, without the empty ones that locks are."""
    return lambda: sorted(
        path.name for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"
    )


@pytest.fixture
def large() -> bytes:
    """An archive of 20,000 rows, some 500 kB."""
    whole = io.BytesIO()
    np.savez(whole, **flat_arrays(20_000, (), ()))
    return whole.getvalue()


@pytest.mark.parametrize("way", ["plain", "moved", "unsized", "resumable"])
def test_a_file_is_fetched_once(server: str, cached: Any, way: str) -> None:
    url = f"{server}/{way}/walker2d_medium-v2.hdf5?token=1"
    first = open_dataset(url)
    asked = len(Handler.asked)
    second = open_dataset(url)
    assert len(Handler.asked) == asked == (2 if way == "moved" else 1)
    assert cached() == ["walker2d_medium-v2.hdf5"]
    assert first.name == url
    assert first.fingerprint == second.fingerprint
    assert first.num_transitions == 6
    assert first.scale.reference == (1.629008, 4592.3)


def test_an_archive_from_elsewhere(server: str, tmp_path: Path) -> None:
    Handler.contents = Path(write_arrays(tmp_path / "served.npz", **flat_arrays())).read_bytes()
    dataset = open_dataset(f"{server}/plain/mine.npz")
    assert (dataset.num_transitions, dataset.environment_spec) == (6, None)


def test_files_of_one_name_from_two_places(server: str) -> None:
    first = open_dataset(f"{server}/plain/x.hdf5")
    Handler.contents = b""
    with pytest.raises(DataError, match="empty"):
        open_dataset(f"{server}/other/x.hdf5")
    assert open_dataset(f"{server}/plain/x.hdf5").fingerprint == first.fingerprint


def test_a_name_of_d4rls(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {**KNOWN_D4RL, "hopper-medium-v2": f"{server}/plain/hopper_medium-v2.hdf5"}
    monkeypatch.setattr(remote_files, "KNOWN_D4RL", known)
    dataset = open_dataset("d4rl:hopper-medium-v2")
    assert (dataset.name, dataset.num_transitions) == ("d4rl:hopper-medium-v2", 6)
    assert dataset.environment_spec is not None
    assert dataset.environment_spec.id == "Hopper-v4"


def test_a_server_that_does_not_have_it(server: str, cached: Any) -> None:
    with pytest.raises(DataError, match=r"cannot be downloaded: the server answers 404 Not Found\. .* give its path"):
        open_dataset(f"{server}/missing/x.hdf5")
    assert cached() == []


def test_a_server_that_is_not_there(server: str, cached: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(DataError, match="cannot be downloaded: Connection refused"):
            open_dataset(f"http://127.0.0.1:{unused.getsockname()[1]}/x.hdf5")
    assert cached() == []


def test_a_host_that_nobody_knows(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver's own answer, without asking one."""

    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DataError, match="its host is not known here, or there is no network"):
        open_dataset("http://nowhere.invalid/x.hdf5")


def test_a_server_that_stalls(server: str, tmp_path: Path, cached: Any) -> None:
    Handler.hang_up_after = 100
    with pytest.raises(DataError, match=r"the server sent nothing for 0\.2 seconds"):
        download.download(f"{server}/stalls/x.hdf5", tmp_path / "cache" / "x.hdf5", lambda _: None, 0.2)
    assert cached() == []


def test_a_connection_that_breaks_and_cannot_be_resumed(server: str, cached: Any) -> None:
    Handler.hang_up_after = 100
    with pytest.raises(DataError, match="the connection ended before the file was complete"):
        open_dataset(f"{server}/plain/x.hdf5")
    assert cached() == []
    Handler.hang_up_after = None
    assert open_dataset(f"{server}/plain/x.hdf5").num_transitions == 6
    assert Handler.asked == [None, None]


def test_a_file_of_unstated_size_that_is_cut_off_is_not_kept(server: str, cached: Any) -> None:
    Handler.hang_up_after = len(Handler.contents) - 500
    with pytest.raises(DataError, match=r"damaged HDF5 file: .*truncated"):
        open_dataset(f"{server}/unsized/x.hdf5")
    assert cached() == []
    Handler.hang_up_after = None
    assert open_dataset(f"{server}/unsized/x.hdf5").num_transitions == 6


def test_a_connection_that_breaks_is_gone_on_from(server: str, cached: Any, large: bytes) -> None:
    Handler.contents, url = large, f"{server}/resumable/x.npz"
    Handler.hang_up_after = 100_000
    for kept in ("65,536", "131,072"):  # whole blocks
        with pytest.raises(DataError, match=f"{kept} bytes are kept, the next try goes on there"):
            open_dataset(url)
    Handler.hang_up_after = None
    assert open_dataset(url).num_transitions == 19_999
    assert Handler.asked == [None, "bytes=65536-", "bytes=131072-"]
    assert cached() == ["x.npz"]
    (fetched,) = Path(os.environ["SPAR_LIGHTNING_CACHE"]).rglob("x.npz")
    assert fetched.read_bytes() == large


def test_a_file_that_changes_between_two_tries(server: str, large: bytes, tmp_path: Path) -> None:
    Handler.contents, Handler.hang_up_after = large, 100_000
    with pytest.raises(DataError, match="65,536 bytes are kept"):
        open_dataset(f"{server}/resumable/x.npz")
    Handler.contents = Path(write_arrays(tmp_path / "other.npz", **flat_arrays(20))).read_bytes()
    Handler.version, Handler.hang_up_after = '"second"', None
    assert open_dataset(f"{server}/resumable/x.npz").num_transitions == 18


def test_everything_had_arrived(server: str, tmp_path: Path) -> None:
    """Only to be renamed was left when the process was killed."""
    destination = tmp_path / "cache" / "x.hdf5"
    partial = destination.with_name(".x.hdf5.partial")
    partial.mkdir(parents=True)
    (partial / "x.hdf5").write_bytes(Handler.contents)
    (partial / "version").write_text(Handler.version)
    download.download(f"{server}/resumable/x.hdf5", destination, lambda _: None)
    assert Handler.asked == [f"bytes={len(Handler.contents)}-", None]
    assert destination.read_bytes() == Handler.contents


def test_a_page_instead_of_a_file(server: str, cached: Any) -> None:
    with pytest.raises(DataError, match="what the server sends is no HDF5 file but a web page"):
        open_dataset(f"{server}/page/x.hdf5")
    assert cached() == []


def test_a_part_instead_of_a_file(server: str, cached: Any) -> None:
    with pytest.raises(DataError, match="the server sends another part of the file than was asked for"):
        open_dataset(f"{server}/part/x.hdf5")
    assert cached() == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/x.hdf5", "expected http:// or https://"),
        ("file:///x.hdf5", "or give a path"),
        ("http:///x.hdf5", "expected http:// or https://"),
        ("http://host/x.zip", r"expected one that ends in \.hdf5, \.h5, \.npz"),
        ("http://host/", "names no file of a known kind"),
        ("http://host/.npz", "names no file of a known kind"),
        ("http://host/\udcff.npz", "is no URL"),
        (f"http://{'a' * 80}/x.npz", "label empty or too long"),
    ],
)
def test_addresses_of_another_kind(url: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_dataset(url)


def test_a_cache_in_the_home_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPAR_LIGHTNING_CACHE", "~nobody-of-this-name/cache")
    with pytest.raises(DataError, match="cache folder ~nobody-of-this-name/cache cannot be used"):
        open_dataset("http://127.0.0.1:1/x.npz")


def test_the_cache_keeps_to_its_folder(tmp_path: Path, server: str) -> None:
    open_dataset(f"{server}/plain/..%2F..%2F..%2Fout%20side.hdf5")
    assert [path.name for path in (tmp_path / "cache").rglob("*.hdf5")] == ["out_side.hdf5"]


def test_a_disk_without_room(server: str, cached: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=r"it needs [\d,]+ bytes, and 10 are free"):
        open_dataset(f"{server}/resumable/x.hdf5")
    assert cached() == []


_LIMITED = f"""
import resource, sys
from spar_lightning.datasets.sources.remote.remote_files import open_url
from spar_lightning.types import DataError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    open_url(sys.argv[1])
except DataError as error:
    print(error)
    sys.exit({errno.EFBIG})
"""


@pytest.mark.slow  # another Python has to begin
def test_a_disk_that_becomes_full(server: str, cached: Any, large: bytes) -> None:
    """A limit on the size of files is met in the same place, in the midst of writing."""
    Handler.contents = large
    url = f"{server}/resumable/x.npz"
    limited = subprocess.run([sys.executable, "-c", _LIMITED, url], capture_output=True, text=True, check=False)
    assert limited.returncode == errno.EFBIG, limited.stderr
    assert "cannot be downloaded: File too large" in limited.stdout
    assert cached() == []
    assert open_dataset(url).num_transitions == 19_999


@pytest.mark.slow  # two more Pythons have to begin
def test_two_processes_at_once(server: str, cached: Any) -> None:
    url = f"{server}/resumable/x.hdf5"
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert len(set(pool.map(_fingerprint, [url] * 4, chunksize=1))) == 1
    assert Handler.asked == [None]
    assert cached() == ["x.hdf5"]


def _fingerprint(url: str) -> str:
    return open_dataset(url).fingerprint
