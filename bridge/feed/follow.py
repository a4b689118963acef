"""Live: what the processors apply, partition by partition, for any number of readers of one process.

One task looks at each partition that anybody reads, every 20 ms, and decodes what is new once for all. (The stores'
own waiters would look every millisecond, for appends that wait; a reader of many streams does not notice 20.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from bridge.errors import LighthouseError
from bridge.events import Envelope, RecordedEvent
from bridge.feed.cursor import Vector, Where
from bridge.feed.filters import Filter
from bridge.feed.merge import Source
from bridge.feed.messages import Encode
from bridge.feed.order import Found, Most, Spot, decode, fetch
from bridge.spaces import Space
from bridge.store.contract import Mark

LOOK = 0.02
"""Seconds between two looks at a partition."""

HELD = 0.5
"""Seconds until a partition that could not be read is looked at again."""

PAGE = Most(rows=512, bytes=1024 * 1024)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Item:
    """An event as it is sent to readers, encoded once for all who want it so, and its place."""

    where: Where
    spot: Spot
    text: bytes


@dataclass(frozen=True, slots=True)
class Room:
    """How much is kept for a reader that does not take it."""

    items: int
    bytes: int


Wish = tuple[Filter, Encode]
"""Which events a reader wants, and how they are written for it."""


class Reader:
    """What is new for one reader, from the moment it joined. Leave it with `Live.leave`.

    Once its room is full it gets nothing more: what comes then is in the history, and is read from there.
    """

    def __init__(self, spaces: Sequence[Space], wanted: Wish, room: Room, woken: asyncio.Event) -> None:
        """`woken` is set when there is something to take."""
        self.spaces = spaces
        self.wanted = wanted
        self.full = False
        self._room = room
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._failed: LighthouseError | None = None
        self._woken = woken

    def put(self, item: Item) -> None:
        """Adds what is new, while there is room."""
        if len(self._items) >= self._room.items or self._bytes + len(item.text) > self._room.bytes:
            self.full = True
        if not self.full:
            self._items.append(item)
            self._bytes += len(item.text)
        self._woken.set()

    def fail(self, why: LighthouseError) -> None:
        """Nothing more comes; `take` says why."""
        self._failed = why
        self._woken.set()

    @property
    def level(self) -> bool:
        """Whether everything that came was taken."""
        return not self._items and not self.full and self._failed is None

    def take(self) -> list[Item]:
        """What has come since. Raises what it failed with."""
        if self._failed is not None:
            raise self._failed
        items, self._items, self._bytes = list(self._items), deque(), 0
        return items


class _AnyOf:
    """What any of several filters takes, as far as a partition's rows are concerned."""

    inside = True

    def __init__(self, filters: Sequence[Filter]) -> None:
        self._filters = filters
        named = [wanted.keys for wanted in filters]
        every = any(names is None for names in named)
        self.keys = None if every else frozenset().union(*(names for names in named if names is not None))

    def takes(self, type_: str, envelope: Envelope) -> bool:
        """Whether one of them does."""
        return any(wanted.takes(type_, envelope) for wanted in self._filters)


@dataclass(eq=False)
class _Watched:
    """A partition that somebody reads: readers by their wish, what comes next, until when it is left alone."""

    space: Space
    next: Spot
    held_until: float = 0.0
    failing: bool = False
    readers: dict[Wish, list[Reader]] = field(default_factory=dict)

    @property
    def where(self) -> Where:
        return self.space.place.category, self.space.place.partition

    def fail(self, why: LighthouseError) -> None:
        """Tells every reader that nothing more comes."""
        for readers in self.readers.values():
            for reader in readers:
                reader.fail(why)

    def publish(self, event: Found) -> None:
        """Gives an event to whoever wants it."""
        items: dict[Encode, Item] = {}
        for (wanted, encode), readers in self.readers.items():
            if not wanted.takes_stream(event.stream):
                continue
            if isinstance(event, RecordedEvent) and not wanted.takes(event.type, event.envelope):
                continue
            if (item := items.get(encode)) is None:
                item = items[encode] = Item(self.where, (event.offset, event.index), encode(event))
            for reader in readers:
                reader.put(item)


class Live:
    """The partitions that the readers of one process follow; it runs while there are readers."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._watched: dict[Where, _Watched] = {}
        self._task: asyncio.Task[None] | None = None

    async def join(self, reader: Reader) -> Vector:
        """Gives the reader what is new from now on; answers the place, in each of its partitions, where that begins."""
        begins: dict[Where, Spot] = {}
        marks = await asyncio.gather(*(space.mark() for space in reader.spaces))
        for space, mark in zip(reader.spaces, marks, strict=True):
            where = space.place.category, space.place.partition
            watched = self._watched.setdefault(where, _Watched(space, (max(mark.position, 0), 0)))
            watched.readers.setdefault(reader.wanted, []).append(reader)
            begins[where] = watched.next
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="live")
        return begins

    def leave(self, reader: Reader) -> None:
        """Ends what `join` began; also where that was cancelled half way."""
        for space in reader.spaces:
            where = space.place.category, space.place.partition
            watched = self._watched.get(where)
            if watched is None or reader not in (found := watched.readers.get(reader.wanted, [])):
                continue
            found.remove(reader)
            if not found:
                del watched.readers[reader.wanted]
            if not watched.readers:
                del self._watched[where]

    def reached(self, spaces: Sequence[Space]) -> Vector:
        """Up to where everything was given to the readers of these partitions."""
        places = [(space.place.category, space.place.partition) for space in spaces]
        return {where: self._watched[where].next for where in places if where in self._watched}

    async def close(self) -> None:
        """Stops looking."""
        self._watched.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while self._watched:
                await self.look()
                await asyncio.sleep(LOOK)
        except Exception as error:  # a bug of ours: readers must not wait for what never comes
            log.error("live readers cannot go on", exc_info=error)
            for watched in self._watched.values():
                watched.fail(LighthouseError(f"live events cannot be read: {error!r}"))
            self._watched.clear()

    async def look(self) -> None:
        """One look at each partition; one that cannot be read is held, and the others go on."""
        now = asyncio.get_running_loop().time()
        looked = [watched for watched in self._watched.values() if watched.held_until <= now]
        marks = await asyncio.gather(*(one.space.mark() for one in looked), return_exceptions=True)
        for watched, mark in zip(looked, marks, strict=True):
            try:
                if isinstance(mark, BaseException):
                    raise mark
                await self._read(watched, mark)
                watched.failing = False
            except (LighthouseError, OSError) as error:
                watched.held_until = now + HELD
                if not watched.failing:
                    log.warning("live readers wait", partition=watched.space.place.space, error=str(error))
                watched.failing = True

    async def _read(self, watched: _Watched, mark: Mark) -> None:
        """Publishes what was applied since the last look. A space that is being rebuilt is waited for."""
        more = True
        while more and mark.position > watched.next[0] and watched.readers:
            wanted = _AnyOf([filter_ for filter_, _ in watched.readers])
            async with watched.space.store.view() as view:
                mark = view.mark
                found = await fetch(view, watched.next, PAGE, wanted)
            more = found.more
            events = await decode(self._source.schemas, watched.space.place.partition, found.rows, wanted)
            # From here on without a pause: who joins sees all of the page as new, or nothing of it.
            for event in events:
                watched.publish(event)
            watched.next = found.next if more else max(found.next, (mark.position, 0))
            await asyncio.sleep(0)
