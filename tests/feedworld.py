"""Several partitions of two categories with their owners, and a feed over them; nothing waits but in virtual time."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from bridge.cache import StateCache
from bridge.events import Envelope
from bridge.feed.cursor import Cursors, Where
from bridge.feed.feed import Edges, Feed, Rules
from bridge.feed.follow import Room
from bridge.feed.merge import Source
from bridge.feed.messages import Asked, Events, Message
from bridge.feed.order import Found, Most, page
from bridge.feed.playback import Playback
from bridge.log.avro import CategorySchema, encode
from bridge.log.record import H_TICK, Place, Record, headers_of, partition_of, topic_of
from bridge.present import encode_found
from bridge.spaces import Spaces
from bridge.store.memory import MemoryStores
from bridge.ticks import Ticker
from streams.owner import Code, LogEnds, Owner
from tests.model import account
from tests.model.world import COMPOSED, KNOWN, now
from tests.simlog import IDENTITY, SimLog, SimProducer, SimRegistry, VirtualLoop, schemas_of

T = TypeVar("T")
COUNTS = {"account": 2, "bill": 1}
START = 1_700_000_000_000_000
MILLISECOND = 1_000
RULES = Rules(replays=3, room=Room(50, 100_000), heartbeat=10.0, patience=30.0, deadline=5.0, clock_skew=60.0)
PLACES: list[Where] = [(category, number) for category, count in COUNTS.items() for number in range(count)]


def stream_in(where: Where, number: int = 0) -> str:
    """A stream of a partition."""
    category, partition = where
    names = (f"{category}/s{number}-{draw}" for draw in range(100))
    return next(name for name in names if partition_of(name.encode(), COUNTS[category]) == partition)


@dataclass
class FeedWorld:
    """`now` is the brokers' clock and the readers', in microseconds. Partitions know only what was applied."""

    loop: VirtualLoop
    now: int = START
    rules: Rules = RULES
    registry: SimRegistry = field(default_factory=SimRegistry)
    logs: dict[Where, list[Record]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.registry.known[KNOWN] = COMPOSED
        self.stores = MemoryStores(lambda: 0.0)
        self.schemas = schemas_of(self.registry, "account", account.SCHEMAS / "account")
        self.spaces = Spaces(self.stores, "lighthouse", COUNTS)
        self.producer = SimProducer(SimLog(), self.loop)
        self.owners = {where: self._owner(where) for where in PLACES}
        self.cursors = Cursors({category: f"id-of-{category}" for category in COUNTS}, COUNTS)
        self.feed = self.another_feed()
        self._ids = 0

    def another_feed(self) -> Feed:
        """The feed of one more process."""
        edges = Edges(encode_found, Ticker(self.producer, self.loop.time), lambda: self.now)
        schemas = schemas_of(self.registry, "account", account.SCHEMAS / "account")
        return Feed(Source(schemas), self.spaces, self.cursors, edges, self.rules)

    def _owner(self, where: Where) -> Owner:
        place = Place(topic_of("lighthouse", where[0]), where[0], where[1], COUNTS[where[0]])
        owner = Owner(place, self.stores.open(place.space), Code(self.schemas, None, StateCache(10, 1000)))
        now(owner.open(LogEnds(msgspec.structs.replace(IDENTITY, partitions=place.partitions), 0, 0)))
        return owner

    # writing

    def append(self, where: Where, count: int = 1, stream: int = 0, schema: int = KNOWN, actor: str = "ann") -> None:
        """Writes an append of some deposits, at the present time of the brokers."""
        self._ids += 1
        known = CategorySchema(schema, COMPOSED)
        events = [(known.by_type["Deposited"], {"amount": self._ids, "memo": str(index)}) for index in range(count)]
        value = encode(known, Envelope(actor, self.now, correlation=f"c{self._ids % 2}"), list(events))
        headers = headers_of(self._ids.to_bytes(16, "big"), None, count, bytes(16))
        self._write(where, stream_in(where, stream).encode(), value, headers)

    def tick(self, where: Where) -> None:
        """Writes a tick."""
        self._write(where, None, b"", [(H_TICK, b"1")])

    def _write(self, where: Where, key: bytes | None, value: bytes, headers: Any) -> None:
        log = self.logs[where]
        log.append(Record(len(log), key, value, headers, self.now, 0))

    def write_ticks(self) -> None:
        """The ticks that readers have asked for since the last time arrive."""
        for flight in self.producer.flights:
            category = flight.outgoing.topic.partition(".")[2]
            self.tick((category, flight.outgoing.partition))
            self.producer.give_up(flight)
            flight.report.exception()
        self.producer.flights.clear()

    def apply(self, where: Where, most: int = 1000) -> None:
        """The owner takes the next records as one batch."""
        owner = self.owners[where]
        position = max(owner.mark.position, 0)
        batch = self.logs[where][position : position + most]
        if batch:
            now(owner.take(batch))

    def apply_all(self) -> None:
        """All owners take everything."""
        for where in PLACES:
            self.apply(where)

    def settle(self) -> None:
        """A second later every partition has ticked, and everything is applied."""
        self.now += 1_000_000
        for where in PLACES:
            self.tick(where)
        self.apply_all()

    # reading

    def run(self, work: Coroutine[Any, Any, T] | asyncio.Task[T], seconds: float = 20.0, step: float = 0.01) -> T:
        """The result of some work, after as much virtual time as it needs; ticks arrive and are applied meanwhile."""
        task = asyncio.ensure_future(work, loop=self.loop)
        for _ in range(int(seconds / step)):
            self.loop.settle()
            if task.done():
                return task.result()
            self.pass_by(step)
        task.cancel()
        self.loop.settle()
        raise AssertionError(f"{work} took more than {seconds} s")

    def pass_by(self, seconds: float) -> None:
        """Time passes for everybody."""
        self.now += round(seconds * 1000) * MILLISECOND
        self.write_ticks()
        self.apply_all()
        self.loop.advance(seconds)

    def reader(self, asked: Asked, feed: Feed | None = None) -> SimReader:
        """A reader, begun."""
        return SimReader(self, asked, feed or self.feed)

    def naive(self) -> list[Found]:
        """Every applied event in the merged order, as a naive reader would find it: all pages, sorted."""
        found = [event for where in PLACES for event in self.order(where)]
        return sorted(found, key=merged_key)

    def order(self, where: Where, most: int = 1000) -> list[Found]:
        """The applied events of a partition."""

        async def read() -> list[Found]:
            async with self.spaces.at(*where).store.view() as view:
                return (await page(view, self.schemas, where[1], most=Most(most, 10**9))).events

        return now(read())

    def clock(self) -> int:
        """The effective time that every partition has reached."""
        return min(self.owners[where].clock.effective for where in PLACES)

    def close(self) -> None:
        """Ends what runs."""
        self.loop.run_until_complete(self.feed.close())
        for flight in self.producer.flights:
            flight.report.cancel()


def where_of(event: Found) -> Where:
    """The partition of an event."""
    return event.stream.partition("/")[0], event.partition


def merged_key(event: Found) -> tuple[Any, ...]:
    """Its place in the merged order."""
    return event.effective, *where_of(event), event.offset, event.index


class SimReader:
    """A playback whose messages are kept. `hold` is a socket that takes no more, `delay` are the
    seconds that a slow one needs for each message.
    """

    def __init__(self, world: FeedWorld, asked: Asked, feed: Feed) -> None:
        self.messages: list[Message] = []
        self.delay = 0.0
        self._gate = asyncio.Event()
        self._gate.set()
        self._world = world
        self.playback = world.loop.run(self._made(feed, asked))
        self.task = world.loop.create_task(self._run())

    async def _made(self, feed: Feed, asked: Asked) -> Playback:
        return Playback(feed, asked, self._tell)

    async def _run(self) -> None:
        async with self.playback:
            await self.playback.run()

    async def _tell(self, message: Message) -> None:
        await self._gate.wait()
        if self.delay:
            await asyncio.sleep(self.delay)
        self.messages.append(message)

    def hold(self) -> None:
        """Takes nothing more."""
        self._gate.clear()

    def release(self) -> None:
        """Takes again."""
        self._gate.set()

    @property
    def entries(self) -> list[tuple[str, bytes]]:
        """All events told, with their cursors."""
        return [entry for message in self.messages if isinstance(message, Events) for entry in message.entries]

    @property
    def ids(self) -> list[str]:
        """The ids of all events told."""
        return [msgspec.json.decode(text)["id"] for _, text in self.entries]

    def finish(self) -> None:
        """Reads to the end."""
        self._world.run(self.task)

    def leave(self) -> None:
        """The client is gone."""
        self.task.cancel()
        self._world.loop.settle()


def ids(events: Sequence[Found]) -> list[str]:
    """The ids of some events."""
    return [event.id for event in events]
