"""Reading many streams in one process: pages of the merged order, and what replays and live readers share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bridge.errors import Invalid, NoOwner, NotFound, Unavailable
from bridge.events import Position
from bridge.feed.cursor import Cursors, Point
from bridge.feed.filters import Filter
from bridge.feed.follow import Live, Room
from bridge.feed.merge import Batch, Merge, Source
from bridge.feed.messages import Encode
from bridge.feed.order import Found
from bridge.log.record import Place
from bridge.spaces import Space, Spaces
from bridge.ticks import Ticker

SCAN = 100_000
"""Rows that one page looks at, at most: a second's work. A page ends there, with what it has found."""

PAGE_BYTES = 16 * 1024 * 1024
"""Bytes of the rows of one page."""

SOON = 2.0
"""Seconds that a page waits for the ticks that make it final."""

AGAIN = 0.01
"""Seconds between two looks whether a time has become final."""

MILLISECOND = 1000

CATCHING_UP = 4
"""Live readers of one process that read what they have missed at the same time."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits: replays at once, and a live reader's room; in seconds the time between two heartbeats, how long a live
    reader may be behind, how long a time may take to become final, and how far a clock may be ahead.
    """

    replays: int
    room: Room
    heartbeat: float
    patience: float
    deadline: float
    clock_skew: float


def wall() -> int:
    """This moment, as precise as the log's clock: it counts milliseconds."""
    return time.time_ns() // 1_000_000 * MILLISECOND


@dataclass(frozen=True, slots=True)
class Edges:
    """What a feed knows of the world: how its events are written for readers, who ticks, and what time it is."""

    encode: Encode
    ticker: Ticker
    now: Callable[[], int] = wall


@dataclass(frozen=True, slots=True)
class FeedPage:
    """A page of the merged order: see `present.FeedAnswer`."""

    events: list[Found]
    next: Point | None
    final: bool
    up_to: int
    positions: list[Position]


class Feed:
    """The read side of many streams."""

    def __init__(self, source: Source, spaces: Spaces, cursors: Cursors, edges: Edges, rules: Rules) -> None:
        self.source = source
        self.cursors = cursors
        self.encode = edges.encode
        self.now = edges.now
        self.rules = rules
        self.live = Live(source)
        self.stopping = False
        self.catching_up = asyncio.Semaphore(CATCHING_UP)
        self.readers: set[asyncio.Event] = set()
        self.replays = 0
        self._spaces = spaces
        self._ticker = edges.ticker

    @contextmanager
    def reading(self, woken: asyncio.Event) -> Iterator[None]:
        """A reader that is told, by its event, when the process is about to end."""
        self.readers.add(woken)
        try:
            yield
        finally:
            self.readers.remove(woken)

    async def stop(self, timeout: float) -> None:
        """Tells every reader that this process is about to end, and waits that many seconds until all have left."""
        self.stopping = True
        for woken in self.readers:
            woken.set()
        deadline = asyncio.get_running_loop().time() + timeout
        while self.readers and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - once in a process
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Stops looking for what is new."""
        await self.live.close()

    @property
    def first(self) -> Point:
        """The beginning of the merged order."""
        return Point(0, min(self._spaces.categories, default=""), 0)

    def at(self, effective: int) -> Point:
        """The place of a time."""
        return self.first._replace(effective=max(effective, 0))

    def check_time(self, path: str, moment: int) -> None:
        """Raises Invalid for a time that no broker's clock can have reached."""
        if moment > self.now() + self.rules.clock_skew * 1e6:
            raise Invalid(path, f"the time lies more than {self.rules.clock_skew:.0f} s ahead")

    def spaces(self, wanted: Filter) -> list[Space]:
        """The partitions in which a filter's events lie. Raises NotFound for an unknown category."""
        for category in wanted.categories | wanted.in_categories:
            if category not in self._spaces.categories:
                known = ", ".join(sorted(self._spaces.categories)) or "none"
                raise NotFound(f"there is no category {category[:80]!r}; known are: {known}")
        if wanted.streams:
            named = {self._spaces.of(stream).place for stream in wanted.streams if wanted.takes_stream(stream)}
            return [self._spaces.at(place.category, place.partition) for place in sorted(named, key=_by_number)]
        within = wanted.in_categories
        return [space for space in self._spaces.all() if not within or space.place.category in within]

    def merge(self, spaces: Sequence[Space], wanted: Filter) -> Merge:
        """A reader of the merged order."""
        return Merge(self.source, spaces, wanted, self.first)

    async def positions(self, spaces: Sequence[Space]) -> list[Position]:
        """How far these partitions are applied."""
        marks = await asyncio.gather(*(space.mark() for space in spaces))
        return [space.place.at(mark.position) for space, mark in zip(spaces, marks, strict=True)]

    async def present(self, merge: Merge) -> int:
        """The time below which everything lies that is applied by now, so that waiting for it writes ticks only where
        something is new.
        """
        last = await merge.last_event()
        if last >= merge.watermark:
            await asyncio.sleep(0.001)  # a tick in the very millisecond of the last event would fall short of it
        return last + MILLISECOND if last else 0

    def tick(self, spaces: Sequence[Space]) -> None:
        """P7: asks for ticks where a time is waited for, in partitions that were never used too."""
        for space in spaces:
            self._ticker.tick(space.place)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """A replay under way. Raises Unavailable where there are too many."""
        if self.replays >= self.rules.replays:
            raise Unavailable(f"{self.replays} replays are under way in this process, which is its limit")
        self.replays += 1
        try:
            yield
        finally:
            self.replays -= 1

    async def batches(self, merge: Merge, until: int) -> AsyncIterator[Batch]:
        """Everything below a time, as it becomes settled. Raises Unavailable, NoOwner where it does not."""
        loop, settled, moved = asyncio.get_running_loop(), -1, 0.0
        while True:
            batch = await merge.advance(until)
            yield batch
            if batch.more:
                continue
            if batch.settled >= until:
                return
            if batch.settled > settled:
                settled, moved = batch.settled, loop.time()
            elif loop.time() - moved > self.rules.deadline:
                raise stuck(merge.behind(until))
            self.tick(merge.behind(until))
            await asyncio.sleep(AGAIN)

    async def page(self, wanted: Filter, start: Point, until: int | None, limit: int) -> FeedPage:
        """At most `limit` events from a place on, all below the time `until` where there is one.

        Waits until that is final, or until everything that is applied by now is settled, but not longer than SOON.
        Raises NotFound, Unavailable.
        """
        merge = self.merge(self.spaces(wanted), wanted)
        await merge.seek(start)
        target = await self.present(merge) if until is None else until
        events, following = await self._collect(merge, until, target, limit)
        up_to = merge.watermark if until is None else min(merge.watermark, until)
        final = until is not None and merge.watermark >= until
        return FeedPage(events, following, final, up_to, merge.positions)

    async def _collect(
        self, merge: Merge, until: int | None, target: int, limit: int
    ) -> tuple[list[Found], Point | None]:
        loop, found, rows, size = asyncio.get_running_loop(), list[tuple[Point, Found]](), 0, 0
        deadline = loop.time() + SOON
        while True:
            batch = await merge.advance(until)
            found += batch.events
            rows, size = rows + batch.rows, size + batch.bytes
            if len(found) > limit:
                return [event for _, event in found[:limit]], found[limit][0]
            if batch.more and (rows >= SCAN or size >= PAGE_BYTES):
                return [event for _, event in found], batch.next
            if not batch.more:
                if batch.settled >= target or loop.time() >= deadline:
                    return [event for _, event in found], None
                self.tick(merge.behind(target))
                await asyncio.sleep(AGAIN)


def stuck(behind: Sequence[Space]) -> NoOwner:
    """Why what was asked for does not become final."""
    named = ", ".join(space.place.space for space in behind[:5])
    return NoOwner(f"{len(behind)} partitions do not move on, so that nothing becomes final: {named}")


def _by_number(place: Place) -> tuple[str, int]:
    return place.category, place.partition
