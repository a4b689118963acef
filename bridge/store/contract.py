"""The store contract: ordered bytes -> bytes, one space a topic-partition (DESIGN 7).

One process, the owner, writes a space; any number read it. Each commit is compared with the whole mark (I6), so a
zombie's commit and a repeated commit are refused, whatever the position says. A key has 1 to 511 bytes and does not
begin with a zero byte, which adapters keep for themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

Row = tuple[bytes, bytes]


class Mark(msgspec.Struct, frozen=True, order=True):
    """What each commit is compared with: the owner's epoch, the number of its last commit, the next offset.

    A space that was never owned has the mark (0, 0, -1): nothing is applied, not even the wish to apply.
    """

    epoch: int
    commit: int
    position: int


UNOWNED = Mark(0, 0, -1)


@dataclass(slots=True)
class Writes:
    """One commit's changes. A key is put or deleted, never both; the order of the puts carries no meaning."""

    puts: dict[bytes, bytes] = field(default_factory=dict)
    deletes: set[bytes] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.puts or self.deletes)

    def put(self, key: bytes, value: bytes) -> None:
        """Sets a row."""
        self.deletes.discard(key)
        self.puts[key] = value

    def delete(self, key: bytes) -> None:
        """Removes a row; a row that is not there is no error."""
        self.puts.pop(key, None)
        self.deletes.add(key)


class View(Protocol):
    """One consistent view of a space: rows and mark as one commit left them."""

    @property
    def mark(self) -> Mark:
        """The mark of the last commit in this view; UNOWNED where there is none."""

    @property
    def beat_age(self) -> float:
        """Seconds since the owner last committed or beat, by the store's own clock; infinite if it never did."""

    async def get(self, key: bytes) -> bytes | None:
        """The row's value, or None."""

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The rows' values in the order of the keys, None where there is no row."""

    async def scan(
        self,
        prefix: bytes,
        start: bytes | None = None,
        stop: bytes | None = None,
        reverse: bool = False,
        limit: int = 1000,
        most_bytes: int | None = None,
    ) -> list[Row]:
        """At most `limit` rows whose keys have the prefix and lie in [start, stop), ascending or descending.

        `start` and `stop` are whole keys, not suffixes; None stands for the end of the prefix's range. `most_bytes`
        bounds what the values have together; a first row that is larger is answered alone.
        """


class Store(Protocol):
    """One space. A store object serves one process; it is opened by its adapter's factory (`Stores`)."""

    def view(self) -> AbstractAsyncContextManager[View]:
        """A consistent view, to be left soon: an open view holds back the store's cleaning up."""

    async def own(self) -> Mark:
        """Takes the space over: the epoch rises by one, every mark given out before is refused from now on.

        That is no beat: whoever has taken a space over keeps nothing up to date yet, and perhaps cannot.
        A store that can lose this, in a fail-over, tells owners of the same epoch apart by a name of its own.
        """

    async def commit(self, mark: Mark, position: int, writes: Writes) -> Mark:
        """Applies the writes and the position in one transaction; answers the new mark, its commit one higher.

        Raises Fenced, with nothing written, when the mark is not the space's. A commit counts as a beat.
        """

    async def beat(self, mark: Mark) -> None:
        """Says that the owner lives; raises Fenced when the epoch is not the space's. Leaves the mark as it is."""

    async def wait(self, position: int, timeout: float) -> Mark:
        """Returns as soon as the mark's position is at least `position`; NotReached after `timeout` seconds."""

    async def read_at(self, position: int, timeout: float, keys: Sequence[bytes]) -> list[bytes | None]:
        """The rows' values in one view whose position is at least `position`, as soon as there is one.

        None where there is no row; NotReached after `timeout` seconds. Many callers share one look at the space.
        """

    async def wipe(self, mark: Mark) -> Mark:
        """Removes every row and sets the position to -1, as one commit; raises Fenced like it."""

    async def close(self) -> None:
        """Frees what the object holds; the space stays."""


class Stores(Protocol):
    """The adapter's factory. `space` names a topic-partition, e.g. `lighthouse.project-3`."""

    def open(self, space: str) -> Store:
        """The store of a space, made when missing; the same object for the same space while it is open."""

    async def close(self) -> None:
        """Closes every open store."""
