"""Many partitions as one order: by (effective time, category, partition, offset, index).

A partition's next event has at least the partition's effective time. So what lies strictly below the effective times
of all partitions (the watermark) is settled: nothing can come between any more, and whoever reads it again, now or
in a year, gets the same.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TypeAlias

from bridge.events import Position
from bridge.feed.cursor import Point, Where
from bridge.feed.filters import Filter
from bridge.feed.order import START, Fetched, Found, Most, Spot, decode, fetch, spot_at
from bridge.log.record import Place
from bridge.log.schemas import Schemas
from bridge.spaces import Space
from bridge.store import keys
from bridge.store.contract import View
from bridge.store.rows import Clock

FIRST_ROWS = 32
"""Rows of a partition's first page: a reader gets its first event after few of them. Each further page has twice."""

PAGE_ROWS = 512
"""Rows of a page at most: the event loop decodes them in 4 ms."""

ALL_ROWS = 8192
ALL_BYTES = 8 * 1024 * 1024
"""What one reader holds of all its partitions together, undecoded."""

Key: TypeAlias = "tuple[int, ...] | Point"
"""A Point, or an effective time alone, which sorts before every Point of that time."""

Fetch = Callable[[Place, View, Spot, Most, Filter], Awaitable[Fetched]]
"""Where a page's rows come from: a scan of the partition's order, or an index of it."""


async def scan(_: Place, view: View, start: Spot, most: Most, wanted: Filter) -> Fetched:
    """Looks at every row."""
    return await fetch(view, start, most, wanted)


_key = itemgetter(0)


@dataclass(frozen=True, slots=True)
class Source:
    """What partitions are read with."""

    schemas: Schemas
    fetch: Fetch = scan


@dataclass(frozen=True, slots=True)
class Batch:
    """The events that are settled now, in order, each with its place in it, and how far that goes.

    Everything below `next` was given. `settled` is the effective time below which everything is settled.
    `more` says that there is more to read at once; `rows` and `bytes` count what was read for it.
    """

    events: list[tuple[Point, Found]]
    next: Point
    settled: int
    more: bool
    rows: int
    bytes: int


@dataclass(eq=False)
class _Lane:
    """One partition as it is being read: what was read and not given yet, where the rest begins, how much was read.

    `clock` is its effective time in the view last seen, `last_event` that of its last event; `complete` says that this
    view held no more rows, `limit` is the place of the last row that was looked at.
    """

    space: Space
    next: Spot = START
    pages: int = 0
    clock: int = 0
    last_event: int = 0
    position: int = 0
    complete: bool = False
    limit: Point | None = None
    waiting: list[tuple[Point, Found]] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0

    @property
    def where(self) -> Where:
        return self.space.place.category, self.space.place.partition

    @property
    def spot(self) -> Spot:
        """The place of the next event that was not given."""
        if not self.waiting:
            return self.next
        point = self.waiting[0][0]
        return point.offset, point.within

    async def renew(self, source: Source, wanted: Filter, most: Most) -> None:
        """Reads on where that is needed to go on. Raises Unavailable."""
        if not self.waiting or (self.complete and len(self.waiting) < most.rows):
            await self._read(source, wanted, most)
        elif self.complete or self.waiting[-1][0].effective >= self.clock:
            async with self.space.store.view() as view:
                await self.look(view)
            self.complete, self.limit = False, self.waiting[-1][0]  # it holds enough; there may be more by now

    async def _read(self, source: Source, wanted: Filter, most: Most) -> None:
        most = Most(min(most.rows, FIRST_ROWS << min(self.pages, 8)), most.bytes)
        async with self.space.store.view() as view:
            await self.look(view)
            found = await source.fetch(self.space.place, view, self.next, most, wanted)
        category, partition = self.where
        for event in await decode(source.schemas, partition, found.rows, wanted):
            self.waiting.append((Point(event.effective, category, partition, event.offset, event.index), event))
        self.pages += 1
        self.next, self.complete = found.next, not found.more
        if found.last is not None:
            effective, (offset, index) = found.last
            self.limit = Point(effective, category, partition, offset, index)
        self.rows += found.looked
        self.bytes += sum(len(row) for _, row in found.rows)

    async def look(self, view: View) -> None:
        """Notes its times and its position. Raises Unavailable."""
        await self.space.check_readable(view)
        clock = Clock.unpack(await view.get(keys.CLOCK))
        self.clock, self.last_event, self.position = clock.effective, clock.last_event, view.mark.position

    def take(self, limit: Key) -> list[tuple[Point, Found]]:
        """What lies at or below a key, taken out."""
        split = bisect_right(self.waiting, limit, key=_key)
        taken, self.waiting = self.waiting[:split], self.waiting[split:]
        return taken


class Merge:
    """Some partitions, read in the merged order from a Point on. It holds a page or two of each, at most."""

    def __init__(self, source: Source, spaces: Sequence[Space], wanted: Filter, first: Point) -> None:
        """`first` is the Point of time 0 that sorts before all others of the platform."""
        self._source = source
        self._wanted = wanted
        self._first = first
        self._lanes = [_Lane(space) for space in spaces]
        share = max(len(spaces), 1)
        self._most = Most(min(PAGE_ROWS, max(FIRST_ROWS, ALL_ROWS // share)), ALL_BYTES // share)

    async def seek(self, point: Point) -> None:
        """Goes to a place; once, at the beginning. Raises Unavailable."""
        for lane in self._lanes:
            async with lane.space.store.view() as view:
                await lane.look(view)
                lane.next = await _beginning(view, lane.where, point)

    async def advance(self, until: int | None = None) -> Batch:
        """The next events, all below the watermark and below the time `until`. Raises Unavailable."""
        read = self._read()
        for lane in self._lanes:
            await lane.renew(self._source, self._wanted, self._most)
            await asyncio.sleep(0)  # others of this process have their turn between two pages
        bound: Key = (self.watermark if until is None else min(until, self.watermark),)
        limit = min([bound, *(lane.limit for lane in self._lanes if lane.limit and not lane.complete)])
        taken = [lane.take(limit) for lane in self._lanes]
        events = [one for some in taken for one in some]
        if sum(map(bool, taken)) > 1:
            events.sort(key=_key)  # a few sorted runs: what timsort is made for
        rows, size = (now - then for now, then in zip(self._read(), read, strict=True))
        return Batch(events, self._behind(limit), self.watermark, limit < bound, rows, size)

    def _read(self) -> tuple[int, int]:
        return sum(lane.rows for lane in self._lanes), sum(lane.bytes for lane in self._lanes)

    def _behind(self, limit: Key) -> Point:
        if isinstance(limit, Point):
            return limit.after
        return self._first._replace(effective=max(limit[0], 0))

    @property
    def watermark(self) -> int:
        """The effective time below which nothing more can come, as of the views last read."""
        return min((lane.clock for lane in self._lanes), default=0)

    async def last_event(self) -> int:
        """The effective time of the last event of any partition, as it is now; 0 where there is none."""
        for lane in self._lanes:
            async with lane.space.store.view() as view:
                await lane.look(view)
        return max((lane.last_event for lane in self._lanes), default=0)

    @property
    def vector(self) -> dict[Where, Spot]:
        """In each partition, the place of the next event that was not given."""
        return {lane.where: lane.spot for lane in self._lanes}

    @property
    def positions(self) -> list[Position]:
        """How far each partition's history was when it was last looked at."""
        return [lane.space.place.at(lane.position) for lane in self._lanes]

    def behind(self, time: int) -> list[Space]:
        """The partitions whose effective time has not reached this one."""
        return [lane.space for lane in self._lanes if lane.clock < time]


async def _beginning(view: View, where: Where, point: Point) -> Spot:
    """Where a partition begins at or behind a Point: partitions that sort before it have given its very time."""
    its = point.category, point.partition
    first = await spot_at(view, point.effective + (where < its))
    return max(first, (point.offset, point.within)) if where == its else first
