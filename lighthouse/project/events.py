"""What happens to a project. The fields are those of `schemas/project/*.avsc`, which say what each one means."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileCreated:
    """A file, symbolic link or submodule came to be at a free path."""

    path: str
    hash: str
    size: int
    mode: str
    content: bytes | None


@dataclass(frozen=True, slots=True)
class FileModified:
    """The content or the mode at a path changed."""

    path: str
    hash: str
    size: int
    mode: str
    content: bytes | None


@dataclass(frozen=True, slots=True)
class FileMoved:
    """A file went to a free path, perhaps with another content or mode; content is null when it stayed the same."""

    source: str
    path: str
    hash: str
    size: int
    mode: str
    content: bytes | None


@dataclass(frozen=True, slots=True)
class FileDeleted:
    """A file is gone."""

    path: str


@dataclass(frozen=True, slots=True)
class CommitRecorded:
    """Everything since the last one of these is commit `sha`."""

    sha: str
    message: str


@dataclass(frozen=True, slots=True)
class ProtectionChanged:
    """From now on nothing at or below these paths may change."""

    prefixes: tuple[str, ...]


Event = FileCreated | FileModified | FileMoved | FileDeleted | CommitRecorded | ProtectionChanged
EVENTS = (FileCreated, FileModified, FileMoved, FileDeleted, CommitRecorded, ProtectionChanged)
