"""The Projection: a fold of the events of many streams into rows that answer queries, and the kit that tests one.

    def project(event: RecordedEvent, rows: Rows[int]) -> None:
        rows.put(event.stream, (rows.get(event.stream) or 0) + 1)

    counts = Projection("counts", 1, project, row=int, categories=("account",))

`project` is pure but for its rows: the same events give the same rows, live and in every rebuild. It may be called
again for an event that it did not finish, so it keeps nothing outside of its rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from bridge.errors import LighthouseError
from bridge.events import RecordedEvent

R = TypeVar("R")

NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
KEY_BYTES = 384
"""A store's key has at most 511 bytes, and the projection's name and a time stand in it as well."""

MAX_VERSION = 2**31 - 1


class Rows(Protocol[R]):
    """The projection's rows as of the event being projected. A row is a value: a changed one is put again."""

    def get(self, key: str) -> R | None:
        """The row, or None."""

    def get_many(self, keys: Iterable[str]) -> dict[str, R]:
        """The rows of these keys that there are: cheaper than one after the other."""

    def put(self, key: str, row: R) -> None:
        """Sets a row. Raises BadRow for a key that `check_key` refuses."""

    def delete(self, key: str) -> None:
        """Removes a row; one that is not there is no error."""


@dataclass(frozen=True)
class Projection(Generic[R]):
    """A named fold. `version` must be raised when `project` or the shape of its rows changes: a rebuild follows.

    `row` is the rows' type, as msgspec encodes it; best an immutable one. `categories` are those it reads, None for
    all. Without `merge` each row belongs to the stream whose event wrote it: its key is that stream, or begins with
    it and a `#`. With a commutative and associative `merge` any key may be written in any partition, and a reader is
    given the partitions' rows of that key merged. `versioned` keeps what each row was at every effective time.

    `project_many`, for speed alone, does for a run of events what `project` does for one after the other; where it
    raises, or the projection is versioned, the events are projected one by one.

    `hot` has its rows of now copied into the hot store, if one is set: there readers ask first. What they are given
    may then be a moment old, unless they say what they must see (When.wanted).
    """

    name: str
    version: int
    project: Callable[[RecordedEvent, Rows[R]], None]
    row: Any
    categories: tuple[str, ...] | None = None
    merge: Callable[[R, R], R] | None = None
    versioned: bool = False
    project_many: Callable[[Sequence[RecordedEvent], Rows[R]], None] | None = None
    hot: bool = False

    def __post_init__(self) -> None:
        if NAME.fullmatch(self.name) is None:
            raise LighthouseError(f"{self.name!r} cannot name a projection: use a-z, 0-9 and -, at most 63 of them")
        if not 1 <= self.version <= MAX_VERSION:
            raise LighthouseError(f"projection {self.name} has version {self.version}; versions are 1, 2, 3 and so on")

    def reads(self, category: str) -> bool:
        """Whether it reads the events of this category."""
        return self.categories is None or category in self.categories


class BadRow(LighthouseError):
    """A projection put a row under a key that it must not use."""


def check_key(projection: Projection[Any], streams: Container[str], key: str) -> None:
    """Raises BadRow unless an event of these streams may write this row."""
    if not key or "\0" in key or len(key.encode()) > KEY_BYTES:
        raise BadRow(f"row key {key[:80]!r} of {projection.name} must have 1 to {KEY_BYTES} bytes, none of them zero")
    if projection.merge is None and stream_of_key(key) not in streams:
        raise BadRow(
            f"row {key[:80]!r} of {projection.name} was written by another stream: without a `merge`, a row's key is "
            "its event's stream, or that stream, a # and more"
        )


def stream_of_key(key: str) -> str:
    """The stream that a row without a merge belongs to."""
    return key.partition("#")[0]


class _Kit(dict[str, R]):
    """Rows in memory, as the kit needs them."""

    def __init__(self, projection: Projection[R]) -> None:
        super().__init__()
        self._projection = projection
        self.streams: set[str] = set()

    def get_many(self, keys: Iterable[str]) -> dict[str, R]:
        return {key: self[key] for key in keys if key in self}

    def put(self, key: str, row: R) -> None:
        check_key(self._projection, self.streams, key)
        self[key] = row

    def delete(self, key: str) -> None:
        self.pop(key, None)


def projected(projection: Projection[R], events: Iterable[RecordedEvent]) -> dict[str, R]:
    """The rows that these events lead to, for tests: `assert projected(counts, [opened]) == {"account/a": 1}`.

    Asserts that `project_many`, where there is one, comes to the same.
    """
    rows, found = _Kit(projection), tuple(events)
    for event in found:
        rows.streams = {event.stream}
        projection.project(event, rows)
    if projection.project_many is not None:
        many = _Kit(projection)
        many.streams = {event.stream for event in found}
        projection.project_many(found, many)
        assert dict(many) == dict(rows), f"project_many of {projection.name} comes to other rows than project"
    return dict(rows)
