"""Downloads from a server on this machine that speaks as much of the Hugging Face Hub's protocol as they need."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest

from spar_lightning.datasets.sources.minari.download import _settle
from spar_lightning.datasets.sources.minari.minari_source import open_minari
from spar_lightning.types import DataError

COMMIT = "c0ffee" * 6 + "beef"
REPOSITORY = "farama-minari/toys"
NAME = "toys/line/first-v0"


class Hub(ThreadingHTTPServer):
    """Serves one repository of data sets, well or badly."""

    daemon_threads = True

    def __init__(self, repository: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repository = repository
        self.requests: list[str] = []
        self.fault = ""  # of main_data.hdf5: "short", "breaks", "breaks once", "stalls", or "gone"
        self.released = threading.Event()  # ends a stall

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def listing(self) -> bytes:
        files = sorted(path for path in self.repository.rglob("*") if path.is_file())
        siblings = [{"rfilename": str(f.relative_to(self.repository)), "size": f.stat().st_size} for f in files]
        return json.dumps({"id": REPOSITORY, "sha": COMMIT, "siblings": siblings}).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        self.server.requests.append(f"{self.command} {path}")
        start = f"/datasets/{REPOSITORY}/resolve/{COMMIT}/"
        file = self.server.repository / path.removeprefix(start)
        if path == f"/api/datasets/{REPOSITORY}":
            self._send(self.server.listing(), body)
        elif path.startswith(start) and file.is_file():
            self._send_file(file, body)
        else:
            self._refuse(404, "RepoNotFound")

    def _send_file(self, file: Path, body: bool) -> None:
        fault = self.server.fault if file.suffix == ".hdf5" else ""
        content, first = file.read_bytes(), 0
        if fault == "gone":
            return self._refuse(404, "EntryNotFound")
        if fault == "short":
            content = content[:-100]
        if self.headers["Range"]:
            first = int(re.findall(r"\d+", self.headers["Range"])[0])
        stop = len(content) if not body or fault in ("", "short") else max(first, len(content) // 2)
        self._send(content[first:], body, stop - first, partial=first > 0)
        if stop < len(content) and body:
            if fault == "stalls":
                self.wfile.flush()
                self.server.released.wait(60)
            if fault == "breaks once":
                self.server.fault = ""
            self.close_connection = True
        return None

    def _send(self, content: bytes, body: bool, sent: int | None = None, partial: bool = False) -> None:
        self.send_response(206 if partial else 200)
        for header, value in (("X-Repo-Commit", COMMIT), ("ETag", '"1"'), ("Content-Length", len(content))):
            self.send_header(header, str(value))
        self.end_headers()
        if body:
            self.wfile.write(content[:sent])

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def hub(make_minari: Callable[..., str], datasets_root: Path, tmp_path: Path) -> Iterator[Hub]:
    """A hub with two data sets, where Minari's folder here is empty."""
    recorded = datasets_root / make_minari()
    for name in (NAME, "toys/line/second-v0"):
        folder = tmp_path / "published" / name.removeprefix("toys/")
        shutil.copytree(recorded, folder)
        edit(folder, dataset_id=name)
    with Hub(tmp_path / "published") as server, pytest.MonkeyPatch.context() as patch:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = "{repo_id}/resolve/{revision}/{filename}"
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        patch.setattr("huggingface_hub.constants.ENDPOINT", server.address)
        patch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", f"{server.address}/{place}")
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "here"))
        yield server
        server.released.set()
        server.shutdown()


def edit(folder: Path, **changes: Any) -> None:
    file = folder / "data" / "metadata.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def what_is_there(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


COMPLETE = [
    "toys/line/first-v0/data/main_data.hdf5",
    "toys/line/first-v0/data/metadata.json",
    "toys/line/namespace_metadata.json",
    "toys/namespace_metadata.json",
]


def test_a_published_data_set_is_downloaded_once(hub: Hub, tmp_path: Path) -> None:
    dataset = open_minari(NAME)
    assert [len(episode.rewards) for episode in dataset.episodes()] == [7, 4]
    assert what_is_there(tmp_path / "here") == COMPLETE
    assert not any("second" in request for request in hub.requests)
    np.testing.assert_allclose(minari.load_dataset(NAME)[0].rewards, next(dataset.episodes()).rewards, rtol=1e-6)
    hub.requests.clear()
    assert open_minari(NAME).fingerprint == dataset.fingerprint
    assert hub.requests == []


def test_an_empty_folder_is_filled(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "here" / NAME).mkdir(parents=True)
    assert open_minari(NAME).num_episodes == 2


@pytest.mark.parametrize(
    ("name", "near"),
    [("toys/line/frist-v0", "did you mean `toys/line/first-v0`"), ("toyz/line/first-v0", "has none of that name")],
    ids=["data set", "repository"],
)
def test_what_is_not_published_is_answered_with_near_names(hub: Hub, tmp_path: Path, name: str, near: str) -> None:
    with pytest.raises(DataError, match=rf"`{name}` is not on this machine.*{near}.*`minari list remote`"):
        open_minari(name)
    assert what_is_there(tmp_path / "here") == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("short", r"[\d,]+ of [\d,]+ bytes of line/first-v0/data/main_data.hdf5 arrived"),
        pytest.param("breaks", "closed connection|incomplete", marks=pytest.mark.slow),
        pytest.param("stalls", "timed out", marks=pytest.mark.slow),
        ("gone", "404 Not Found"),
    ],
    ids=["short", "breaks", "stalls", "gone"],
)
def test_after_a_failure_nothing_is_left_and_the_next_try_is_clean(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, reason: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    hub.fault = fault
    with pytest.raises(DataError, match=rf"cannot be downloaded from hf://farama-minari: .*({reason}).*Try again"):
        open_minari(NAME)
    assert list((tmp_path / "here").iterdir()) == []
    hub.fault = ""
    assert open_minari(NAME).num_transitions == 11
    assert what_is_there(tmp_path / "here") == COMPLETE


def test_a_broken_connection_is_taken_up_again(hub: Hub, tmp_path: Path) -> None:
    hub.fault = "breaks once"
    assert [len(episode.rewards) for episode in open_minari(NAME).episodes()] == [7, 4]


def test_a_server_that_cannot_be_reached_is_named_at_once(hub: Hub, tmp_path: Path) -> None:
    hub.shutdown()
    hub.server_close()
    with pytest.raises(
        DataError,
        match=rf"refused.*`minari download {NAME}`.*`~/.minari/datasets/{NAME}` to {tmp_path / 'here' / NAME}",
    ):
        open_minari(NAME)
    assert what_is_there(tmp_path / "here") == []


def test_data_of_another_version_of_minari_are_refused_before_they_are_downloaded(hub: Hub, tmp_path: Path) -> None:
    edit(hub.repository / "line/first-v0", minari_version="0.9.0")
    with pytest.raises(DataError, match=r"written by Minari 0\.9\.0, expected one of 0\.4\.0, .*install another"):
        open_minari(NAME)
    assert what_is_there(tmp_path / "here") == []
    assert not any("hdf5" in request for request in hub.requests)


@pytest.mark.parametrize(
    ("content", "reason"), [("{", "Expecting"), ('{"minari_version": "0.5.3"}', "is `None`")], ids=["cut", "no id"]
)
def test_metadata_that_make_no_sense_are_refused(hub: Hub, tmp_path: Path, content: str, reason: str) -> None:
    (hub.repository / "line/first-v0/data/metadata.json").write_text(content)
    with pytest.raises(DataError, match=f"cannot be downloaded .*{reason}"):
        open_minari(NAME)
    assert what_is_there(tmp_path / "here") == []


def test_a_listing_cannot_write_elsewhere(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = json.loads(hub.listing())
    listing["siblings"].append({"rfilename": "line/first-v0/data/../../../../outside", "size": 1})
    monkeypatch.setattr(Hub, "listing", lambda _: json.dumps(listing).encode())
    open_minari(NAME)
    assert what_is_there(tmp_path / "here") == COMPLETE


def test_a_full_disk_is_seen_beforehand(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**6))  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="it needs 50 MB, and 1 MB are free"):
        open_minari(NAME)
    assert what_is_there(tmp_path / "here") == []


def test_other_remotes_are_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_REMOTE", "gcp://minari-datasets")
    with pytest.raises(DataError, match=r"`MINARI_REMOTE` is `gcp://minari-datasets`.*`minari download`"):
        open_minari(NAME)


def test_a_data_set_that_another_process_has_put_there_stays(hub: Hub, tmp_path: Path) -> None:
    open_minari(NAME)
    place, late = tmp_path / "here" / NAME, tmp_path / "late"
    shutil.copytree(place, late)
    before = place.stat().st_ino
    _settle(late, place)
    assert place.stat().st_ino == before


def test_what_is_damaged_is_replaced(hub: Hub, tmp_path: Path) -> None:
    open_minari(NAME)
    place, new = tmp_path / "here" / NAME, tmp_path / "new"
    shutil.copytree(place, new)
    (place / "data" / "metadata.json").unlink()
    _settle(new, place)
    assert (place / "data" / "metadata.json").exists()


@pytest.mark.slow
def test_two_processes_may_download_at_once(hub: Hub, tmp_path: Path) -> None:
    code = f"from spar_lightning.datasets import open_dataset; print(len(list(open_dataset({NAME!r}).episodes())))"
    hub_settings = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    environment = {**os.environ, **hub_settings, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert out.split() == [b"2"], err.decode()
    assert what_is_there(tmp_path / "here") == COMPLETE
