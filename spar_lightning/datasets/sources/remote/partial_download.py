"""What has arrived of a download that is not complete."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests


@dataclass(frozen=True)
class PartialDownload:
    """A hidden folder with what has arrived, and with what tells whether the server still has the same file."""

    folder: Path
    file: Path

    @classmethod
    def beside(cls, destination: Path) -> PartialDownload:
        """What has arrived of the file that is to be at `destination`."""
        folder = destination.with_name(f".{destination.name}.partial")
        return cls(folder, folder / destination.name)

    @property
    def _version_file(self) -> Path:
        return self.folder / "version"

    @property
    def size(self) -> int:
        """Bytes that have arrived and can be gone on from."""
        return self.file.stat().st_size if self.file.exists() and self._version_file.exists() else 0

    def request(self) -> dict[str, str]:
        """Headers that ask for the rest, or for everything if the file has changed; identity, so that sizes compare."""
        headers = {"Accept-Encoding": "identity"}
        if self.size:
            headers |= {"Range": f"bytes={self.size}-", "If-Range": self._version_file.read_text(encoding="utf-8")}
        return headers

    def begin(self, response: requests.Response) -> None:
        """Start anew with a response that holds the whole file, resumable if the server says so."""
        self.discard()
        self.folder.mkdir()
        tag = response.headers.get("ETag", "")
        version = response.headers.get("Last-Modified", "") if tag.startswith("W/") or not tag else tag
        if response.headers.get("Accept-Ranges") == "bytes" and version:
            self._version_file.write_text(version, encoding="utf-8")

    def discard(self) -> None:
        """Remove what has arrived."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def discarded_on_error(self) -> Iterator[PartialDownload]:
        """Whatever goes wrong, keep only what the next call can go on from: the disk may be full."""
        try:
            yield self
        except BaseException as error:
            broken = isinstance(error, (requests.RequestException, KeyboardInterrupt))
            if not (broken and self.size):
                self.discard()
            raise
