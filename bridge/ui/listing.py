"""Which streams there are, those that grew last first: by the built-in projection, or without it by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Protocol

from bridge.builtin import StreamRow
from bridge.errors import NotFound, Unavailable
from bridge.query.reader import Projections, Span
from bridge.spaces import Space, Spaces
from bridge.store import keys
from bridge.store.rows import Head

PAGE = 1000
LOOKED_AT = 20_000
"""Streams that one question looks at, at most."""
STREAMS = "streams"
"""The built-in projection that has a row for each stream."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The streams with their heads, how many match in all, and whether there were more than could be looked at."""

    rows: Sequence[tuple[str, Head]]
    matching: int
    cut: bool


class Listing(Protocol):
    """Answers which streams there are."""

    async def newest(self, prefix: str, limit: int) -> Listed:
        """At most `limit` streams whose name, or whose id alone, begins so; those that grew last first."""


class Projected:
    """Reads the rows of the projection whose names begin so, and the heads of those that are shown."""

    def __init__(self, projections: Projections, spaces: Spaces) -> None:
        self._projections = projections
        self._spaces = spaces
        self._scan = Scan(spaces)

    async def newest(self, prefix: str, limit: int) -> Listed:
        """As Listing says. While the projection cannot be read, every stream's head is looked at instead."""
        found: dict[str, StreamRow] = {}
        try:
            async for name, row in self._rows(prefix):
                found[name] = row
                if len(found) == LOOKED_AT:
                    break
        except (NotFound, Unavailable):
            return await self._scan.newest(prefix, limit)
        names = nlargest(limit, found, key=lambda name: found[name].last)
        rows = [(name, await self._head(name)) for name in names]
        return Listed(rows, len(found), len(found) == LOOKED_AT)

    async def _rows(self, prefix: str) -> AsyncIterator[tuple[str, StreamRow]]:
        """By the whole name, and where no category is named by the id in each category."""
        categories = () if "/" in prefix or not prefix else self._spaces.categories
        for whole in (prefix, *(f"{category}/{prefix}" for category in categories)):
            after: str | None = ""
            while after is not None:
                page = await self._projections.rows(STREAMS, Span(whole, after, PAGE))
                for row in page.rows:
                    yield row
                after = page.next

    async def _head(self, stream: str) -> Head:
        async with self._spaces.of(stream).store.view() as view:
            return Head.unpack(await view.get(keys.head(stream)))


class Scan:
    """Reads the heads of every partition, up to a bound."""

    def __init__(self, spaces: Spaces) -> None:
        self._spaces = spaces

    async def newest(self, prefix: str, limit: int) -> Listed:
        """As Listing says; about 1 µs a stream there is."""
        found: list[tuple[str, Head]] = []
        left = LOOKED_AT
        for space in self._likely(prefix):
            rows = await _heads(space, left)
            left -= len(rows)
            found += _matching(rows, prefix)
            await asyncio.sleep(0)
        return Listed(nlargest(limit, found, key=lambda row: row[1].last), len(found), left <= 0)

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


def _matching(rows: Iterable[tuple[bytes, bytes]], prefix: str) -> Iterator[tuple[str, Head]]:
    wanted = prefix.encode()
    for key, value in rows:
        name = key[len(keys.HEADS) + 1 :]
        if name.startswith(wanted) or name.partition(b"/")[2].startswith(wanted):
            yield name.decode(), Head.unpack(value)
