"""A git commit as commands: one RecordCommit, or several where one append could not hold it. Pure but for contents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from bridge.events import MAX_EVENTS
from lighthouse.git import Blob, Commit, Entry
from lighthouse.project.commands import Move, RecordCommit, Write
from lighthouse.project.content import SUBMODULE
from lighthouse.project.paths import ancestors, escape

Change = str | Move | Write
"""The path of a deleted file, a move, or what is written."""

Read = Callable[[Sequence[str]], list[Blob]]
"""Contents by object id, in the order asked for."""

MAX_BYTES = 7 * 512 * 1024
"""3.5 MiB of an append's 4 MiB: the rest is for the envelope and Avro's own bytes."""

MAX_MESSAGE = 64 * 1024
MAX_ACTOR = 256

_READ_AT_ONCE = 64
_FIXED_BYTES = 64
"""What an event needs beside path and content: hash, mode, size and a few lengths."""


@dataclass(frozen=True, slots=True)
class Part:
    """A commit, or a part of it, with the Idempotency-Key under which it can be sent again and again."""

    command: RecordCommit
    key: str
    actor: str
    time: int
    weight: int


def parts(commit: Commit, read: Read) -> Iterator[Part]:
    """The commit cut to what appends can hold, always at the same places; `time` is in microseconds.

    Deletions come first, then moves, then what is written, so that every part can be decided by itself.
    """
    groups = _grouped(_changes(commit, read), MAX_BYTES - len(message(commit).encode()))
    group, number = next(groups), 0
    for following in chain(groups, (None,)):
        yield _part(commit, group, number, following is None)
        if following is not None:
            group, number = following, number + 1


def actor(commit: Commit) -> str:
    """`Name <mail>` with what cannot be printed escaped, cut to 256 characters."""
    text = " ".join(f"{commit.author} <{commit.mail}>".split())
    return "".join(map(_printable, text))[:MAX_ACTOR]


def message(commit: Commit) -> str:
    """The message without line feeds at its end, cut to 64 KiB."""
    text = commit.message.rstrip("\n")
    return text.encode()[:MAX_MESSAGE].decode("utf-8", "ignore")


def _printable(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _part(commit: Commit, group: Sequence[Change], number: int, last: bool) -> Part:
    command = RecordCommit(
        sha=commit.sha,
        parent=commit.parents[0] if commit.parents else "",
        message=message(commit) if last else "",
        deleted=tuple(change for change in group if isinstance(change, str)),
        moved=tuple(change for change in group if isinstance(change, Move)),
        written=tuple(change for change in group if isinstance(change, Write)),
        last=last,
    )
    key = f"git:{commit.sha}" if last and number == 0 else f"git:{commit.sha}:{number + 1}"
    return Part(command, key, actor(commit), commit.time * 1_000_000, sum(map(_bytes, group)))


def _grouped(changes: Iterable[Change], max_bytes: int) -> Iterator[list[Change]]:
    """At least one group. A place is kept for CommitRecorded; a move counts twice, for it may be decided as two."""
    group: list[Change] = []
    events, size = 1, 0
    for change in changes:
        more, bytes = 1 + isinstance(change, Move), _bytes(change)
        if group and (events + more > MAX_EVENTS or size + bytes > max_bytes):
            yield group
            group, events, size = [], 1, 0
        group.append(change)
        events, size = events + more, size + bytes
    yield group


def _bytes(change: Change) -> int:
    if isinstance(change, str):
        return _FIXED_BYTES + 4 * len(change)
    source = change.source if isinstance(change, Move) else ""
    return _FIXED_BYTES + len(change.hash) + 4 * len(source + change.path) + len(change.content or b"")


def _changes(commit: Commit, read: Read) -> Iterator[Change]:
    entries = _untangled(commit.entries)
    yield from (escape(entry.path) for entry in entries if entry.status == "D")
    moves = [entry for entry in entries if entry.status == "R"]
    arriving = moves + [entry for entry in entries if entry.status not in "DR"]
    for start in range(0, len(arriving), _READ_AT_ONCE):
        yield from _arriving(arriving[start : start + _READ_AT_ONCE], read)


def _arriving(entries: Sequence[Entry], read: Read) -> Iterator[Change]:
    """Contents are read for a few entries at a time: a root commit may hold more than fits into memory."""
    blobs = iter(read([entry.hash for entry in entries if entry.mode != SUBMODULE]))
    for entry in entries:
        blob = Blob(0, None) if entry.mode == SUBMODULE else next(blobs)
        yield _moved(entry, blob) if entry.status == "R" else _written(entry, blob)


def _untangled(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Takes the moves apart into deletions and additions where their order could matter."""
    moves = [entry for entry in entries if entry.status == "R"]
    if not _tangled(moves):
        return entries
    return [part for entry in entries for part in (_apart(entry) if entry.status == "R" else (entry,))]


def _apart(move: Entry) -> tuple[Entry, Entry]:
    return replace(move, status="D", path=move.source), replace(move, status="A")


def _tangled(moves: Sequence[Entry]) -> bool:
    """Whether a file moves to above or below a place that another leaves: a part of the commit could not be decided."""
    sources = {escape(entry.source) for entry in moves}
    above = {directory for source in sources for directory in ancestors(source)}
    paths = [escape(entry.path) for entry in moves]
    return any(path in above or not sources.isdisjoint(ancestors(path)) for path in paths)


def _moved(entry: Entry, blob: Blob) -> Move:
    content = None if entry.hash == entry.source_hash else blob.content
    return Move(escape(entry.source), escape(entry.path), entry.hash, blob.size, entry.mode, content)


def _written(entry: Entry, blob: Blob) -> Write:
    return Write(escape(entry.path), entry.hash, blob.size, entry.mode, blob.content)
