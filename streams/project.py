"""Events into the rows of one build of a projection (P4, B2). Pure: rows are looked up in memory alone.

A row that is not in memory ends the attempt at that event; the rest of the batch is tried once more, without effect,
only to learn which rows it will want. The caller fetches them all at once, and the fold goes on where it stopped. So
`project` is a plain function, and the store is asked as rarely as the batch allows.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bridge import states
from bridge.events import RecordedEvent
from bridge.feed.order import Found, Unreadable
from bridge.projection import BadRow, Projection, check_key
from bridge.store import keys
from bridge.store.contract import Writes
from bridge.store.rows import ParkedEvent, pack_old


class Absent(BaseException):
    """A row was asked for that is not in memory. No Exception, for an application may catch those."""


ABSENT = object()
"""Stands in memory for a row that is not there, which is something else than one that is not in memory."""


class Misfit:
    """Stands in memory for a stored row that the projection's type does not take; `error` says why."""

    def __init__(self, error: str) -> None:
        self.error = error


Look = Callable[[str], Any]
"""A row in memory, ABSENT for one that does not exist, a Misfit, or None for one that must be fetched."""


@dataclass(frozen=True)
class Build:
    """A projection's code and the generation of the rows that it is to write."""

    projection: Projection[Any]
    generation: int = 0

    @cached_property
    def number(self) -> int:
        """Version and generation as one number."""
        return keys.build(self.projection.version, self.generation)

    @cached_property
    def prefix(self) -> bytes:
        """The prefix of its rows' keys."""
        return keys.projection(self.projection.name, self.number)

    @cached_property
    def progress(self) -> bytes:
        """The key of its progress."""
        return keys.progress(self.projection.name, self.number)

    def __str__(self) -> str:
        return f"{self.projection.name} {self.projection.version}.{self.generation}"


class Fold:
    """The rows of one build while a batch goes through: what `project` is given as its rows."""

    def __init__(self, build: Build, look: Look, skips: frozenset[tuple[int, str]]) -> None:
        self.missing: set[str] = set()
        self.changed: dict[str, Any] = {}
        self.parked: ParkedEvent | None = None
        self.done = 0
        self._build = build
        self._project = build.projection.project
        self._many = None if build.projection.versioned else build.projection.project_many
        self._look = look
        self._skips = {event for version, event in skips if version == build.projection.version}
        self._encoded: dict[str, bytes | None] = {}
        self._old: dict[bytes, bytes] = {}
        self._undo: list[tuple[str, Any]] = []
        self._streams: Container[str] = ()

    def run(self, items: Sequence[Found]) -> bool:
        """Goes on from item `done`. False where rows are `missing`; else all is done, or `parked` says why not."""
        self.missing.clear()
        if self._many is not None:
            return self._all(items, self._many)
        while self.done < len(items):
            item = items[self.done]
            try:
                if not (self._skips and item.id in self._skips):
                    self._one(item)
            except Absent:
                self._revert()
                self._scout(items[self.done + 1 :])
                return False
            except Exception as error:  # the application's code: whatever it raises parks the build
                self._revert()
                self._park(item, error)
                return True
            self.done += 1
        return True

    def _all(self, items: Sequence[Found], many: Callable[[Any, Any], None]) -> bool:
        """All items in one call, if they allow that and the code does; else one by one from here on."""
        self._undo.clear()
        try:
            if self._skips or {*map(type, items)} != {RecordedEvent}:
                raise _Unread
            self._streams = {item.stream for item in items}
            many(items, self)
            self._encode(0)
        except Absent:
            self._revert()
            return False
        except Exception:  # which event it was, `project` will tell
            self._revert()
            self._many = None
            return self.run(items)
        self.done = len(items)
        return True

    def _park(self, item: Found, error: Exception) -> None:
        """The build stands still at this item."""
        unread = isinstance(error, _Unread)
        said = str(error) if unread else f"{type(error).__name__}: {error}"
        trace = "" if unread else traceback.format_exc()
        self.parked = ParkedEvent(item.stream, item.version, item.id, item.effective, said, trace, unread=unread)

    def _one(self, item: Found) -> None:
        self._undo.clear()
        if isinstance(item, Unreadable):
            raise _Unread(item.error)
        self._streams = (item.stream,)
        self._project(item, self)
        if self._undo:
            self._encode(item.effective)

    def _encode(self, effective: int) -> None:
        """Encodes what the event has put: a row that cannot be encoded parks at its event in every batching."""
        encoded = {key: _raw(self.changed[key]) for key, _ in self._undo}
        self._encoded |= encoded
        if self._build.projection.versioned:
            prefix = self._build.prefix
            self._old |= {keys.old_row(prefix, key, effective): pack_old(raw) for key, raw in encoded.items()}

    def _scout(self, items: Iterable[Found]) -> None:
        """Learns which rows the rest of the batch will want, and takes everything back."""
        self._undo.clear()
        for item in items:
            if isinstance(item, Unreadable):
                break
            self._streams = (item.stream,)
            try:
                self._project(item, self)
            except (Absent, Exception):  # what comes of it here does not count
                continue
        self._revert()

    def _revert(self) -> None:
        """Takes back what was put since the undo log was begun."""
        while self._undo:
            key, row = self._undo.pop()
            if row is None:
                del self.changed[key]
            else:
                self.changed[key] = row

    # The rows, as `project` sees them.

    def get(self, key: str) -> Any:
        """See projection.Rows."""
        row = self.changed.get(key)
        if row is None and (row := self._look(key)) is None:
            self.missing.add(key)
            raise Absent
        if row is ABSENT:
            return None
        if isinstance(row, Misfit):
            raise BadRow(row.error)
        return row

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """See projection.Rows."""
        found, wanted = {}, tuple(keys)
        for key in wanted:
            row = self.changed.get(key)
            if row is None and (row := self._look(key)) is None:
                self.missing.add(key)
            elif row is not ABSENT:
                found[key] = row
        if self.missing:
            raise Absent
        for row in found.values():
            if isinstance(row, Misfit):
                raise BadRow(row.error)
        return found

    def put(self, key: str, row: Any) -> None:
        """See projection.Rows."""
        if row is None:
            raise TypeError(f"row {key!r} is None; delete it instead")
        self._set(key, row)

    def delete(self, key: str) -> None:
        """See projection.Rows."""
        self._set(key, ABSENT)

    def _set(self, key: str, row: Any) -> None:
        before = self.changed.get(key)
        if before is None or self._build.projection.merge is None:
            check_key(self._build.projection, self._streams, key)
        self._undo.append((key, before))
        self.changed[key] = row

    # What is to be written.

    def write(self, writes: Writes) -> None:
        """Adds the changed rows."""
        prefix = self._build.prefix
        for key, raw in self._encoded.items():
            if raw is None:
                writes.delete(keys.row(prefix, key))
            else:
                writes.put(keys.row(prefix, key), raw)
        writes.puts.update(self._old)

    @property
    def kept(self) -> Iterator[tuple[str, Any, int]]:
        """The changed rows, each with the bytes it has encoded."""
        return ((key, self.changed[key], len(raw or b"")) for key, raw in self._encoded.items())


class _Unread(Exception):
    """The item is one that cannot be read."""


def decoded(build: Build, key: str, raw: bytes | None) -> Any:
    """A stored row as it is kept in memory."""
    if raw is None:
        return ABSENT
    try:
        return states.decode(raw, build.projection.row)
    except Exception as error:  # msgspec's errors, and whatever the application's class raises when it is made
        return Misfit(f"row {key!r} of {build} does not fit its type; raise the projection's version: {error!r}")


def _raw(row: Any) -> bytes | None:
    return None if row is ABSENT else states.encode(row)
