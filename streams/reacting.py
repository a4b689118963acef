"""One reactor in one partition: the admitted order from its committed offset on, an effect for each event.

Its place is offset and index of the next event. It moves on only after the effect, and is committed by whoever runs
it (`streams.reactors`). What people say of it, and what it has to say, are decisions in category `system`.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import stamina
import structlog

from bridge.decisions import Decisions
from bridge.errors import LighthouseError, Unavailable, Unknown
from bridge.feed.order import Fetched, Most, Spot, Unreadable, fetch
from bridge.reactions import NOWHERE, BeginReactor, Command, LoseReactor, ParkedAt, ParkReactor, Standing
from bridge.reactor import Start
from bridge.spaces import Space
from bridge.store.contract import Row

log = structlog.get_logger()

AWAY = (Unavailable, Unknown)
"""Errors that say nothing against the event: the platform itself is away."""

PAGE = Most(rows=1000, bytes=1024 * 1024)
HELD = 0.5
"""Seconds after which what could not be asked is asked again."""

STILL = 0.2
"""Seconds after which one that stands still looks whether a person has spoken."""

UNREAD = 1.0
"""Seconds after which an event that cannot be decoded is looked at again."""

LONGEST_WAIT = 10.0
"""Seconds between two attempts at an event, at most."""

FINISH = 5.0
"""Seconds that an effect under way has to end when the partition is taken away."""

MOST_TEXT = 4000


class Item(Protocol):
    """An event as an effect wants it."""

    @property
    def id(self) -> str:
        """See RecordedEvent."""

    @property
    def stream(self) -> str:
        """Its stream."""

    @property
    def version(self) -> int:
        """Its version there."""

    @property
    def offset(self) -> int:
        """The offset of its record."""

    @property
    def index(self) -> int:
        """Its place in that record."""


class Effect(Protocol):
    """What is done with events: `batch` of them at once, of one partition, in order."""

    @property
    def name(self) -> str:
        """The reactor's name."""

    @property
    def start(self) -> Start:
        """Where it starts when it is new."""

    @property
    def attempts(self) -> int:
        """How often it is tried before it stands still."""

    @property
    def batch(self) -> int:
        """How many events it takes at once, at most."""

    def reads(self, category: str) -> bool:
        """Whether it wants the events of this category."""

    async def read(self, partition: int, rows: Sequence[Row]) -> Sequence[Item]:
        """The events in rows of the order, Unreadable where one cannot be decoded. Raises Unavailable."""

    async def do(self, items: Sequence[Item]) -> None:
        """The effect. What it raises is taken as a failure of all of them."""


@dataclass(frozen=True)
class Asked:
    """What one partition of a reactor asks others: its group, the log's end, what was decided; and what it decides.

    All raise Unavailable.
    """

    committed: Callable[[], Awaitable[Spot | None]]
    commit: Callable[[Spot], Awaitable[None]]
    end: Callable[[], Awaitable[int]]
    decisions: Callable[[], Awaitable[Decisions]]
    decide: Callable[[Command], Awaitable[object]]


class Reacting:
    """Runs until `stop`. `place` is where it goes on, None while that is not known; `committed` what the group has."""

    def __init__(self, effect: Effect, space: Space, asked: Asked) -> None:
        self.place: Spot | None = None
        self.committed: Spot | None = None
        self._effect = effect
        self._space = space
        self._category, self._partition = space.place.category, space.place.partition
        self._asked = asked
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._wake = asyncio.Event()
        self._asleep = False
        self._told = ""
        self._task = asyncio.create_task(self._run(), name=f"{effect.name} {space.place.space}")

    async def stop(self) -> None:
        """Lets an effect under way end, for some seconds, and no other begin."""
        self._stopping.set()
        self._wake.set()
        try:
            async with asyncio.timeout(FINISH):
                await self._idle.wait()
        except TimeoutError:
            self._tell("the effect under way was not awaited: it may be repeated")
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._go()
                self._told = ""
            except LighthouseError as error:
                self._tell(str(error))
                await self._pause(HELD)
            except Exception as error:  # one partition's trouble is not that of all others
                self._tell(f"{type(error).__name__}: {error}")
                log.exception("reactor", **self._who)
                await self._pause(LONGEST_WAIT)

    async def _go(self) -> None:
        if self.place is None:
            await self._settle()
        elif (found := await self._fetch(self.place)) is None:
            await self._sleep()
        elif not await self._step(self.place, *found):
            await self._pause(STILL)

    async def _sleep(self) -> None:
        self._wake.clear()
        self._asleep = not self._stopping.is_set()
        if self._asleep:
            await self._wake.wait()
        self._asleep = False

    async def look(self) -> None:
        """Wakes it where the store has moved on: one look for all partitions costs less than each with a timer."""
        if not self._asleep or self.place is None:
            return
        place = self.place
        if (await self._space.mark()).position > place[0]:
            self._wake.set()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    @property
    def _who(self) -> dict[str, str]:
        return {"reactor": self._effect.name, "partition": self._space.place.space}

    def _tell(self, what: str) -> None:
        """Once, however often it is met in a row."""
        if what != self._told:
            self._told = what
            log.warning("reactor waits", **self._who, error=what)

    async def _standing(self) -> Standing:
        return (await self._asked.decisions()).of_reactor(self._effect.name).of(self._category, self._partition)

    # Where to go on

    async def _settle(self) -> None:
        """From the group's offset; a new reactor from where it starts; one that has lost its place waits for a word.

        The offset is committed before it is recorded that there is one: an offset that is recorded and not there
        was lost.
        """
        standing, found = await self._standing(), await self._asked.committed()
        beyond = found is not None and found[0] > await self._asked.end()
        if found is not None and not beyond:
            await self._begin(found, standing)
        elif standing.placed != NOWHERE:
            await self._begin(await self._committed((standing.placed, 0)), standing)
        elif found is None and not standing.begun:
            first = 0 if self._effect.start == "beginning" else await self._asked.end()
            await self._begin(await self._committed((first, 0)), standing)
        else:
            what = f"its group's offset, {found[0]}, lies behind the log's end" if found else "its group has no offset"
            await self._lose(standing, what)

    async def _committed(self, spot: Spot) -> Spot:
        await self._asked.commit(spot)
        return spot

    async def _begin(self, spot: Spot, standing: Standing) -> None:
        if not standing.begun or standing.lost or standing.placed != NOWHERE:
            await self._asked.decide(BeginReactor(self._category, self._partition, spot[0]))
        self.place = self.committed = spot

    async def _lose(self, standing: Standing, what: str) -> None:
        where = f"{self._category}-{self._partition}"
        error = f"reactor {self._effect.name} does not know where to go on in {where}: {what} any more. Say it: place"
        self._tell(error)
        if not standing.lost:
            await self._asked.decide(LoseReactor(self._category, self._partition, error))
        await self._pause(HELD)

    # From there on

    async def _step(self, place: Spot, fetched: Fetched, position: int) -> bool:
        """One page. False where nothing more of it may be done now."""
        reactions = (await self._asked.decisions()).of_reactor(self._effect.name)
        standing = reactions.of(self._category, self._partition)
        if _parked(standing, place):
            return False
        items = await self._effect.read(self._partition, fetched.rows)
        if not await self._take(items, reactions.skips, standing.parks):
            return False
        self.place = fetched.next if fetched.more else (position, 0)
        return True

    async def _fetch(self, place: Spot) -> tuple[Fetched, int] | None:
        """The admitted order from a place on, and the position of the view; None where there is nothing yet.

        A store that is being rebuilt comes to the place again in its time: nothing before it is ever looked at.
        """
        async with self._space.store.view() as view:
            position = view.mark.position
            if position <= place[0]:
                return None
            await self._space.check_readable(view)
            return await fetch(view, place, PAGE), position

    async def _take(self, items: Sequence[Item], skips: frozenset[str], parks: int) -> bool:
        """Whether all of them are done."""
        done = 0
        while done < len(items) and not self._stopping.is_set():
            first = items[done]
            if first.id in skips:
                self._move(first)
                done += 1
                continue
            if isinstance(first, Unreadable):
                await self._unread(first, parks)
                return False
            chunk = _readable(items[done : done + self._effect.batch], skips)
            if not await self._done(chunk, parks):
                return False
            done += len(chunk)
        return done == len(items)

    async def _done(self, chunk: Sequence[Item], parks: int) -> bool:
        """Whether the effect was had. One that failed for many is tried for each alone, to know for which it does."""
        try:
            await self._tried(chunk)
        except Exception as error:
            if len(chunk) > 1:
                return await self._one_by_one(chunk, parks)
            await self._park(chunk[0], error, parks)
            return False
        self._move(chunk[-1])
        return True

    async def _one_by_one(self, chunk: Sequence[Item], parks: int) -> bool:
        for item in chunk:
            if not await self._done([item], parks):
                return False
        return True

    def _move(self, item: Item) -> None:
        self.place = item.offset, item.index + 1

    async def _tried(self, chunk: Sequence[Item]) -> None:
        """Raises what the last attempt raised."""
        attempts = self._effect.attempts
        async for attempt in stamina.retry_context(Exception, attempts, timeout=None, wait_max=LONGEST_WAIT):
            with attempt:
                await self._patiently(chunk)

    async def _patiently(self, chunk: Sequence[Item]) -> None:
        """One attempt, for which Kafka and the stores are waited for however long they are away."""
        async for attempt in stamina.retry_context(AWAY, attempts=None, timeout=None):
            with attempt:
                self._idle.clear()
                try:
                    await self._effect.do(chunk)
                finally:
                    self._idle.set()

    # Standing still

    async def _park(self, item: Item, error: Exception, parks: int) -> None:
        said = f"{type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(error))
        await self._record(item, said, trace)
        log.warning("reactor parked", **self._who, at=item.id, error=said)
        while (await self._standing()).parks <= parks and not self._stopping.is_set():
            await self._pause(STILL)

    async def _unread(self, item: Unreadable, parks: int) -> None:
        """Waits for an event that cannot be decoded yet, and says so, once."""
        standing = await self._standing()
        if standing.parked is None or standing.parked.event != item.id:
            await self._record(item, item.error, "", unread=True)
        self._tell(item.error)
        await self._pause(UNREAD)

    async def _record(self, item: Item, error: str, trace: str, unread: bool = False) -> None:
        place = item.id, item.stream, item.version, item.offset, item.index
        parked = ParkedAt(*place, error[:MOST_TEXT], trace[-MOST_TEXT:], unread)
        await self._asked.decide(ParkReactor(self._category, self._partition, parked))


def _parked(standing: Standing, place: Spot) -> bool:
    """Whether it was decided that it stands still here: an event before this place was done with in another way."""
    parked = standing.parked
    return parked is not None and not parked.unread and (parked.offset, parked.index) >= place


def _readable(items: Sequence[Item], skips: frozenset[str]) -> Sequence[Item]:
    """The first items, up to one that is to be skipped or cannot be read."""
    for number, item in enumerate(items):
        if isinstance(item, Unreadable) or item.id in skips:
            return items[:number]
    return items
