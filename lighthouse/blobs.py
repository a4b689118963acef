"""Contents too large for an event, each under its git object id, in any place that fsspec reaches."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from bridge.errors import LighthouseError, NotFound
from lighthouse.project.content import object_id


class BlobError(LighthouseError):
    """A content is not what its hash says, or the blob store cannot be reached."""


@dataclass(frozen=True)
class Blobs:
    """A content store. `ab12…` lies at `<root>/ab/12…`; what is there is never changed."""

    files: AbstractFileSystem
    root: str

    def has(self, hash: str) -> bool:
        """Whether the content is there."""
        return bool(self.files.exists(self._path(hash)))

    def put(self, hash: str, size: int, chunks: Iterable[bytes]) -> None:
        """Stores a content unless it is there; it appears whole or not at all.

        Takes all chunks in either case. Raises BlobError when they are not what hash and size say.
        """
        try:
            _drain(chunks) if self.has(hash) else self._store(hash, size, chunks)
        except OSError as error:
            raise BlobError(f"the blob store {self.root} cannot be written: {error}") from error

    def get(self, hash: str) -> bytes:
        """The content, compared with its hash. Raises NotFound, or BlobError when it was damaged."""
        try:
            content: bytes = self.files.cat_file(self._path(hash))
        except FileNotFoundError as error:
            raise NotFound(f"the blob store {self.root} has no content {hash}") from error
        _check(hash, object_id(content, len(hash)))
        return content

    def _store(self, hash: str, size: int, chunks: Iterable[bytes]) -> None:
        with tempfile.NamedTemporaryFile(dir=self._staging(hash), delete=False) as staged:
            try:
                _check(hash, _copy(chunks, staged, hash, size))
                self._publish(staged.name, hash)
            finally:
                Path(staged.name).unlink(missing_ok=True)

    def _path(self, hash: str) -> str:
        return f"{self.root}/{hash[:2]}/{hash[2:]}"

    def _staging(self, hash: str) -> str | None:
        """Beside its place where a rename is atomic; elsewhere an upload appears as a whole."""
        parent = self._path(hash).rpartition("/")[0]
        self.files.makedirs(parent, exist_ok=True)
        return parent if isinstance(self.files, LocalFileSystem) else None

    def _publish(self, staged: str, hash: str) -> None:
        if isinstance(self.files, LocalFileSystem):
            os.replace(staged, self._path(hash))
        else:
            self.files.put_file(staged, self._path(hash))


def open_blobs(url: str, default_dir: Path) -> Blobs:
    """The blob store at an fsspec URL (`s3://…`, `gs://…`, `file:///…`), or in a directory when there is none.

    Raises BlobError when the URL names no store that can be opened here.
    """
    try:
        files, root = url_to_fs(url or default_dir.expanduser().absolute().as_uri())
    except (ValueError, ImportError) as error:
        raise BlobError(f"the blob store {url!r} cannot be opened: {error}") from error
    return Blobs(files, root.rstrip("/"))


def _copy(chunks: Iterable[bytes], target: IO[Any], hash: str, size: int) -> str:
    """Copies to the disk and returns git's id of what was copied."""
    digest = (hashlib.sha1 if len(hash) == 40 else hashlib.sha256)(b"blob %d\0" % size)
    for chunk in chunks:
        digest.update(chunk)
        target.write(chunk)
    target.flush()
    os.fsync(target.fileno())
    return digest.hexdigest()


def _drain(chunks: Iterable[bytes]) -> None:
    for _ in chunks:
        pass


def _check(hash: str, found: str) -> None:
    if found != hash:
        raise BlobError(f"the content given as {hash} is in truth {found}: it is damaged, or was stored wrongly")
