"""Which streams there are, the ones that grew last first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import nlargest
from typing import Protocol

from bridge.spaces import Space, Spaces
from bridge.store import keys
from bridge.store.rows import Head

PAGE = 1000
LOOKED_AT = 50_000
"""Heads that one question reads at most."""


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A stream in the list; times are microseconds."""

    stream: str
    head: Head

    @property
    def category(self) -> str:
        """The part before the slash."""
        return self.stream.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Listed:
    """The rows, how many streams match in all, and whether there were more than could be looked at."""

    rows: list[StreamRow]
    matching: int
    cut: bool


class Listing(Protocol):
    """Answers which streams there are."""

    async def newest(self, prefix: str, limit: int) -> Listed:
        """At most `limit` streams whose name, or whose id alone, begins so; those that grew last first."""


class Scan:
    """Reads the heads of every partition, up to a bound."""

    def __init__(self, spaces: Spaces) -> None:
        self._spaces = spaces

    async def newest(self, prefix: str, limit: int) -> Listed:
        """As Listing says; about 1 µs a stream there is."""
        found: list[StreamRow] = []
        left = LOOKED_AT
        for space in self._likely(prefix):
            rows = await _heads(space, left)
            left -= len(rows)
            found += _matching(rows, prefix)
            await asyncio.sleep(0)
        return Listed(nlargest(limit, found, key=lambda row: row.head.last), len(found), left <= 0)

    def _likely(self, prefix: str) -> Iterator[Space]:
        """The partitions that can hold a match: those of one category, where the prefix names one."""
        category, slash, _ = prefix.partition("/")
        yield from (one for one in self._spaces.all() if not slash or one.place.category == category)


async def _heads(space: Space, most: int) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    start = None
    async with space.store.view() as view:
        while len(found) < most:
            page = await view.scan(keys.HEADS, start=start, limit=min(PAGE, most - len(found)))
            found += page
            if len(page) < PAGE:
                break
            start = page[-1][0] + b"\0"
    return found


def _matching(rows: Iterable[tuple[bytes, bytes]], prefix: str) -> Iterator[StreamRow]:
    wanted = prefix.encode()
    for key, value in rows:
        name = key[len(keys.HEADS) + 1 :]
        if name.startswith(wanted) or name.partition(b"/")[2].startswith(wanted):
            yield StreamRow(name.decode(), Head.unpack(value))
