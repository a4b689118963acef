"""One reader of many streams: the past in the merged order at a pace, and then what is new, partition by partition.

The seam: the merge knows for each partition which event it would give next. Live goes on from there, so that no event
is missed and none comes twice, whatever is written meanwhile.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Self

from bridge.errors import Invalid, TooSlow
from bridge.feed.cursor import Point, Vector, Where
from bridge.feed.feed import AGAIN, Feed, stuck
from bridge.feed.follow import PAGE, Item, Reader
from bridge.feed.merge import Batch, Merge
from bridge.feed.messages import Asked, Beat, Ended, Events, Message, Paused, Resumed, Stopping, Tell
from bridge.feed.order import Found, Spot, decode, fetch
from bridge.feed.pace import Pace
from bridge.spaces import Space

CHUNK = 128
"""Events that are handed on at once, and encoded without a pause."""

NEAR = 64
"""Events that a reader is behind, when it joins the others."""

RECENT = 1_000_000
"""Microseconds: a replay that has come so near to the present goes on live."""


class _Stopped(Exception):
    """The process is about to end."""


class Playback:
    """One reader: `run` is its task; `pause`, `resume` and `speed` may be called meanwhile."""

    def __init__(self, feed: Feed, asked: Asked, tell: Tell) -> None:
        """Raises NotFound for an unknown category."""
        self.spaces = feed.spaces(asked.wanted)
        self._feed = feed
        self._asked = asked
        self._encode = asked.encode or feed.encode
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._pace = Pace(self._loop.time, asked.speed, asked.longest)
        self._woken = asyncio.Event()
        self._answers: deque[Message] = deque()
        self._slot = ExitStack()
        self._behind: float | None = None
        self._spoken = self._loop.time()
        self._cursor: Callable[[], str] = str

    def pause(self) -> None:
        """Nothing more comes, but for heartbeats, once the reader was told."""
        self._pace.paused = True
        self._answer(Paused())

    def resume(self) -> None:
        """Goes on where it was paused."""
        self._pace.paused, self._behind = False, None
        self._answer(Resumed())

    def speed(self, speed: float) -> None:
        """Goes on at another speed, 0 for as fast as possible; live events have none."""
        self._pace.speed = speed
        self._woken.set()

    def _answer(self, message: Message) -> None:
        self._answers.append(message)
        self._woken.set()

    async def __aenter__(self) -> Self:
        """Checks that there is room, and that every partition can be read from the start on.

        Raises Invalid, Unavailable, NotReached.
        """
        start = self._asked.start
        for space in self.spaces:
            async with space.store.view() as view:
                await space.check_readable(view)
            if isinstance(start, Mapping):
                if (where := _where(space)) not in start:
                    raise Invalid("cursor", f"the cursor does not say where {space.place.space} goes on")
                await space.store.wait(start[where][0], self._feed.rules.deadline)
        if isinstance(start, Point):
            self._slot.enter_context(self._feed.slot())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._slot.close()

    async def run(self) -> None:
        """Tells the reader everything, in order, until what it asked for ends.

        Raises Unavailable, TooSlow, and whatever telling raises.
        """
        with self._feed.reading(self._woken):
            try:
                start = self._asked.start
                if isinstance(start, Point):
                    start = await self._past(start)
                if not isinstance(self._asked.start, Point) or self._asked.follow:
                    await self._live(start)
                await self._say(Ended(self._cursor()))
            except _Stopped:
                await self._say(Stopping(self._cursor()))

    async def _say(self, message: Message) -> None:
        await self._tell(message)
        self._spoken = self._loop.time()

    # waiting

    async def _idle(self, seconds: float) -> None:
        """Returns after so many seconds, or as soon as something has changed. Heartbeats go on meanwhile."""
        until = self._loop.time() + seconds
        while True:
            if self._feed.stopping:
                raise _Stopped
            now = self._loop.time()
            if (beat := self._spoken + self._feed.rules.heartbeat) <= now:
                await self._say(Beat(self._cursor()))
                continue
            await _wait(self._woken, max(0.0, min(until, beat) - now))
            if self._woken.is_set() or self._loop.time() >= until:
                self._woken.clear()
                return

    async def _go_on(self) -> None:
        """Answers what the reader said, and stands still while it is paused."""
        await self._answered()
        while self._pace.paused:
            await self._idle(math.inf)
            await self._answered()

    async def _answered(self) -> None:
        while self._answers:
            await self._say(self._answers.popleft())

    # the past

    async def _past(self, start: Point) -> Vector:
        """The merged order until its end, or until the present is near; answers where each partition goes on."""
        asked, feed = self._asked, self._feed
        merge = feed.merge(self.spaces, asked.wanted)
        self._cursor = partial(feed.cursors.point, start)
        await merge.seek(start)
        until = asked.until if asked.until is not None else await feed.present(merge)
        while await self._reach(merge, until) and asked.follow:
            reached, until = until, await feed.present(merge)
            if until - reached < RECENT:
                break
        self._slot.close()
        return merge.vector

    async def _reach(self, merge: Merge, until: int) -> bool:
        """Gives everything below a time; False where a reader that follows has waited long enough for that."""
        settled, moved = -1, self._loop.time()
        while True:
            batch = await merge.advance(until)
            await self._give(batch)
            if batch.more:
                await self._idle(0.0)
                continue
            if batch.settled >= until:
                return True
            if batch.settled > settled or self._pace.paused:
                settled, moved = batch.settled, self._loop.time()
            elif self._loop.time() - moved > self._feed.rules.deadline:
                if not self._asked.follow:
                    raise stuck(merge.behind(until))
                return False
            self._feed.tick(merge.behind(until))
            await self._idle(AGAIN)

    async def _give(self, batch: Batch) -> None:
        """Hands events on as they become due."""
        events, place = batch.events, 0
        while place < len(events):
            await self._go_on()
            stop = self._due(events, place)
            if stop == place:
                await self._idle(self._pace.wait(events[place][0].effective))
                continue
            point, encode = self._feed.cursors.point, self._encode
            entries = [(point(where.after), encode(event)) for where, event in events[place:stop]]
            await self._entries(entries)
            place = stop
        self._cursor = partial(self._feed.cursors.point, batch.next)

    async def _entries(self, entries: list[tuple[str, bytes]]) -> None:
        if entries:
            self._cursor = partial(str, entries[-1][0])
            await self._say(Events(entries))

    def _due(self, events: Sequence[tuple[Point, Found]], start: int) -> int:
        """Up to where events are due now, from a place on; a chunk of them at most."""
        for place in range(start, min(start + CHUNK, len(events))):
            if self._pace.wait(events[place][0].effective) > 0:
                return place
        return min(start + CHUNK, len(events))

    # the present

    async def _live(self, start: Vector | None) -> None:
        """What is new, for ever; from these places on, or from now."""
        at = dict(start) if start is not None else None
        while True:
            reader = Reader(self.spaces, (self._asked.wanted, self._encode), self._feed.rules.room, self._woken)
            try:
                at = await self._follow(reader, at)
            finally:
                self._feed.live.leave(reader)
            await self._go_on()

    async def _follow(self, reader: Reader, start: dict[Where, Spot] | None) -> dict[Where, Spot]:
        """Reads what was missed, joins the other readers, and goes on with them until paused, or until its room was
        full: then it reads what it has missed once more.
        """
        at = start
        if at is not None:
            while await self._catch_up(at) > NEAR:
                await self._idle(0.0)
                await self._go_on()
        begins = await self._feed.live.join(reader)
        if at is None:
            at = dict(begins)
        for space in self.spaces:
            while at[_where(space)] < begins[_where(space)]:
                await self._page(space, at)
        await self._together(reader, at)
        self._cursor = partial(self._feed.cursors.vector, at)
        return at

    async def _together(self, reader: Reader, at: dict[Where, Spot]) -> None:
        """Goes on with the other readers, until it is paused or has missed something."""
        while not self._pace.paused:
            if items := reader.take():
                await self._items(items, at)
            elif reader.full:
                self._check_speed()
                return
            else:
                self._behind = None
                self._cursor = partial(self._reached, reader, at)
                await self._answered()
                await self._idle(math.inf)

    def _check_speed(self) -> None:
        """Raises TooSlow for a reader that has been behind all the time for too long."""
        now = self._loop.time()
        self._behind = now if self._behind is None else self._behind
        if now - self._behind > self._feed.rules.patience:
            raise TooSlow(f"the reader has been behind for {now - self._behind:.0f} s: more comes than it takes")

    def _reached(self, reader: Reader, at: dict[Where, Spot]) -> str:
        """The cursor of a reader that has read everything: behind what it did not want, too."""
        if reader.level:
            for where, spot in self._feed.live.reached(self.spaces).items():
                at[where] = max(at[where], spot)
        return self._feed.cursors.vector(at)

    async def _items(self, items: Sequence[Item], at: dict[Where, Spot]) -> None:
        """Hands live events on, but for those that this reader has had."""
        found = [(item.where, item.spot, item.text) for item in items if item.spot >= at[item.where]]
        for place in range(0, len(found), CHUNK):
            await self._new(found[place : place + CHUNK], at)

    async def _new(self, found: Sequence[tuple[Where, Spot, bytes]], at: dict[Where, Spot]) -> None:
        entries: list[tuple[str, bytes]] = []
        for where, (offset, index), text in found:
            at[where] = offset, index + 1
            entries.append((self._feed.cursors.vector(at), text))
        await self._entries(entries)

    async def _catch_up(self, at: dict[Where, Spot]) -> int:
        """A page of each partition; answers how many rows that were. Raises TooSlow."""
        if self._behind is not None:
            self._check_speed()
        return sum([await self._page(space, at) for space in self.spaces])

    async def _page(self, space: Space, at: dict[Where, Spot]) -> int:
        """Reads a partition on by a page; answers how many rows were looked at."""
        where, source, wanted = _where(space), self._feed.source, self._asked.wanted
        async with self._feed.catching_up:
            async with space.store.view() as view:
                await space.check_readable(view)
                found = await fetch(view, at[where], PAGE, wanted)
                end = view.mark.position, 0
            events = await decode(source.schemas, where[1], found.rows, wanted)
            for place in range(0, len(events), CHUNK):
                some = events[place : place + CHUNK]
                await self._new([(where, (event.offset, event.index), self._encode(event)) for event in some], at)
        at[where] = max(at[where], found.next if found.more else max(found.next, end))
        return found.looked


def _where(space: Space) -> Where:
    return space.place.category, space.place.partition


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set, or the time is over."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
