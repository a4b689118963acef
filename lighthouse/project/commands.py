"""What can be asked of a project. Paths are texts as `paths` lays them down, hashes are git object ids.

`content` stands inline up to 64 KiB, and `hash` and `size` may then be left out; larger content lies in the blob
store under its hash, which is given with the size. A submodule (mode 160000) has its commit as hash, and size 0.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Write:
    """What a commit leaves at a path, whether or not a file was there before."""

    path: str
    hash: str
    size: int
    mode: str
    content: bytes | None


@dataclass(frozen=True, slots=True)
class Move:
    """A file that a commit moved, and what it is now; `content` may be null when the hash has not changed."""

    source: str
    path: str
    hash: str
    size: int
    mode: str
    content: bytes | None


@dataclass(frozen=True, slots=True)
class RecordCommit:
    """A commit's changes, decided as a whole: first everything leaves its old place, then everything arrives.

    A commit too large for one append comes in several parts, `last` with the message. `parent` is the commit
    recorded before, "" for the first.
    """

    sha: str
    parent: str
    message: str = ""
    deleted: tuple[str, ...] = ()
    moved: tuple[Move, ...] = ()
    written: tuple[Write, ...] = ()
    last: bool = True


@dataclass(frozen=True, slots=True)
class CreateFile:
    """A new file at a free path."""

    path: str
    content: bytes | None = None
    mode: str = "100644"
    hash: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class ModifyFile:
    """Another content or mode for a file."""

    path: str
    content: bytes | None = None
    mode: str = "100644"
    hash: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class DeleteFile:
    """Away with a file."""

    path: str


@dataclass(frozen=True, slots=True)
class MoveFile:
    """The same file at a free path."""

    source: str
    path: str


@dataclass(frozen=True, slots=True)
class Protect:
    """Only these paths, with everything below them, shall be protected; none lifts all protection."""

    prefixes: tuple[str, ...]


Command = RecordCommit | CreateFile | ModifyFile | DeleteFile | MoveFile | Protect
COMMANDS = (RecordCommit, CreateFile, ModifyFile, DeleteFile, MoveFile, Protect)
