"""The world of many processes: partitions of two categories, the group that shares them, and API processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from bridge.cache import StateCache
from bridge.decisions import CATEGORY as SYSTEM
from bridge.decisions import Decisions
from bridge.events import Position
from bridge.handle import Handler, Log
from bridge.log import ids
from bridge.log.producer import Outgoing
from bridge.log.record import Place, partition_of
from bridge.query.reader import Projections, When
from bridge.spaces import Spaces
from bridge.store.memory import MemoryStores, _State
from bridge.system.follower import Admitted, Follower
from bridge.ticks import Ticker
from streams.owner import Code, LogEnds, Owner
from tests.model.reference import Fact, Truth, truth
from tests.model.world import KNOWN, RULES, Attempt, World, now
from tests.model.world import Server as ApiServer
from tests.simlog import Flight, Gate, GatedStores, SimProducer, SimRegistry, identity_of
from tests.simulation.group import Coordinator, Turn
from tests.simulation.process import Around, Member, Pace, SimReader
from tests.simulation.projected import MERGED, Weather, catalogs
from tests.simulation.server import Server
from tests.simulation.settings import (
    COMPOSED,
    COUNTS,
    SETTINGS,
    SYSTEM_ID,
    TYPED,
    places,
    schemas_of_all,
    system_place,
)

MOST = 4
"""Processes of the group that are alive at a time, at most."""

PLACES = places()
ACCOUNTS = PLACES[:-1]
EVERYTHING = Turn(50)


@dataclass(eq=False)
class Query:
    """A row that somebody asked for, as of a time or now, and read no earlier than `wanted`."""

    name: str
    key: str
    when: When
    task: asyncio.Task[Any] = field(repr=False)
    judged: bool = False


@dataclass(frozen=True)
class Reading:
    """How an API process reads projections, and hears what is decided of them."""

    projections: Projections
    reader: SimReader
    follower: Follower


def category_of(position: Position) -> str:
    """The category of a position."""
    return position.topic.removeprefix(f"{SETTINGS.topic_prefix}.")


class Cluster(World):
    """Everything but the rules."""

    def __post_init__(self) -> None:
        self._drawn = ids.draw, ids.anonymous
        ids.draw = (f"drawn-{number}" for number in count()).__next__
        ids.anonymous = lambda: ids.append_id("", "", ids.draw())
        self._told: dict[tuple[Place, int, int], Truth] = {}
        self._decisions = Decisions()
        self._admitted = Admitted(system_place(), self._decisions)
        self.registry.known |= {KNOWN: COMPOSED["account"], SYSTEM_ID: COMPOSED[SYSTEM]}
        never_away = SimRegistry()
        never_away.known = self.registry.known
        self.schemas = schemas_of_all(never_away)
        self.stores = MemoryStores(self.loop.time)
        self.disks = {place.space: Server(self.stores.open(place.space)) for place in PLACES}
        self.group = Coordinator(self.log, [(place.topic, place.partition) for place in PLACES])
        self.weather = Weather()
        self.catalogs = catalogs(self.weather)
        self.members: list[Member] = []
        self.queries: list[Query] = []
        self.orders: list[asyncio.Task[Any]] = []
        self.servers = [self._server() for _ in range(2)]
        self.reading = [self._reading() for _ in self.servers]
        self.admin = self._server()

    def _server(self) -> ApiServer:
        producer, gate = SimProducer(self.log, self.loop), Gate()
        log = Log(schemas_of_all(self.registry), producer, self.log.end)
        return ApiServer(Handler(log, self._spaces(gate), TYPED, StateCache(100, 100_000), RULES), producer, gate)

    def _reading(self) -> Reading:
        reader, ticker = SimReader(self.log, Pace()), Ticker(SimProducer(self.log, self.loop), self.loop.time)
        follower = Follower(reader, schemas_of_all(self.registry), system_place())
        spaces = self._spaces(Gate())
        return Reading(Projections(spaces, self.catalogs[1], follower, ticker, RULES.limits), reader, follower)

    def _spaces(self, gate: Gate) -> Spaces:
        return Spaces(GatedStores(self.stores, gate), SETTINGS.topic_prefix, COUNTS)

    # What the log means

    def told(self, place: Place, position: int | None = None) -> Truth:
        """What a partition of accounts means up to a position."""
        end = self.log.length(place.topic, place.partition) if position is None else max(position, 0)
        known = place, end, len(self.registry.known)
        if known not in self._told:
            records = self.log.read(place.topic, place.partition, 0, end)
            self._told[known] = truth(records, place.partition, place.partitions, self.parsed())
        return self._told[known]

    def in_order(self, place: Place) -> list[tuple[str, Fact]]:
        """The facts of a partition with their streams, in the order of the log."""
        found = [(stream, fact) for stream, facts in self.told(place).streams.items() for fact in facts]
        return sorted(found, key=lambda one: one[1].place)

    def place_of(self, stream: str) -> Place:
        """Where a stream of accounts lies."""
        return ACCOUNTS[partition_of(stream.encode(), len(ACCOUNTS))]

    def holding(self, query: Query) -> list[Place]:
        """Where a row may lie: of a projection that is merged, everywhere; of another, with its stream."""
        if query.name == MERGED:
            return ACCOUNTS
        return [self.place_of(query.key)] if query.key.startswith("account/") else []

    def head(self, stream: str) -> int:
        """The version that the next event gets, once the log is applied."""
        return len(self.told(self.place_of(stream)).streams.get(stream, []))

    def decided(self) -> Decisions:
        """What the log of decisions says."""
        place = system_place()
        for record in self.log.read(place.topic, place.partition, self._admitted.position, 10_000):
            now(self._admitted.take(record, self.schemas))
        return self._decisions

    def state(self, place: Place) -> _State:
        """A space as it is."""
        return self.stores.open(place.space).state

    def rebuilt_at(self, place: Place) -> _State:
        """A space as a clean rebuild makes it, without projections, up to where it is."""
        stores = MemoryStores(self.loop.time)
        owner = Owner(
            place, stores.open(place.space), Code(self.schemas, TYPED[place.category], StateCache(100, 100_000))
        )
        position = self.state(place).mark.position
        now(owner.open(LogEnds(identity_of(place.partitions), 0, position)))
        if records := self.log.read(place.topic, place.partition, 0, position):
            now(owner.take(records))
        return stores.open(place.space).state

    # What clients do

    def producers(self) -> list[SimProducer]:
        """Everybody's."""
        return [*(one.producer for one in (*self.servers, self.admin)), *(one.producer for one in self.members)]

    def pending(self) -> list[tuple[SimProducer, Flight]]:
        """Records whose senders have heard nothing yet."""
        return [
            (producer, flight) for producer in self.producers() for flight in producer.flights if not flight.reported
        ]

    def write(self, key: bytes | None, value: bytes | None, headers: dict[str, bytes]) -> None:
        """A foreign producer's record; one without a key goes to each partition."""
        for place in ACCOUNTS if key is None else [ACCOUNTS[partition_of(key, len(ACCOUNTS))]]:
            self.log.write(Outgoing(place.topic, place.partition, key, value or b"", list(headers.items())))

    def query(self, reading: Reading, name: str, key: str, when: When) -> None:
        """Somebody asks for a row."""
        task = self.loop.create_task(reading.projections.row(name, key, when))
        self.queries.append(Query(name, key, when, task))
        self.loop.settle()

    # What the group does

    def open(self, stop_at: str | None = None) -> None:
        """The first processes."""
        for _ in range(2):
            self.join(newer=False)

    def join(self, newer: bool) -> Member:
        """One more process, of today's code or tomorrow's."""
        around = Around(self.log, self.loop, self.registry, self.disks, self.group)
        member = Member(around, self.catalogs[newer])
        self.members.append(member)
        self.loop.settle()
        return member

    def alive(self) -> list[Member]:
        """The processes that were neither killed nor have ended."""
        return [one for one in self.members if one.lives]

    def waiting(self) -> list[Member]:
        """Those that stand in a poll."""
        return [one for one in self.members if one.waits]

    def share(self) -> None:
        """The group finds a member for each partition that has none, the one with the fewest."""
        sources = [one.source for one in self.alive() if one.source is not None and not one.source.expelled]
        for part, target in self.group.target.items():
            if sources and target not in sources:
                load = [sum(each is source for each in self.group.target.values()) for source in sources]
                self.group.target[part] = sources[load.index(min(load))]

    def expel(self, member: Member) -> None:
        """The group gives away what a process has, whether it knows that or not."""
        if member.source is not None:
            self.group.forget(member.source)
            member.source.expelled = member.lives

    def turn(self, member: Member, turn: Turn) -> None:
        """A process's poll goes on."""
        assert member.source is not None
        member.source.give(turn)
        self.loop.settle()

    def everybody(self) -> None:
        """All that stand in a poll go on at once."""
        for member in self.waiting():
            assert member.source is not None
            member.source.give(EVERYTHING)
        self.loop.settle()

    def readers(self) -> Iterator[SimReader]:
        """Whoever follows what is decided."""
        yield from (one.reader for one in self.alive())
        yield from (one.reader for one in self.reading)

    def close(self) -> None:
        """Ends every task and the loop; doing so twice is harmless."""
        if self.loop.is_closed():
            return
        ids.draw, ids.anonymous = self._drawn
        for task in (*(one.task for one in self.attempts), *(one.task for one in self.queries), *self.orders):
            task.cancel()
        self.loop.settle()
        self.loop.run_until_complete(self._close())
        for producer in self.producers():
            for flight in producer.flights:
                flight.report.cancel()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    async def _close(self) -> None:
        for member in self.members:
            await member.close()
        for reading in self.reading:
            await reading.follower.close()

    def judged(self, attempt: Attempt) -> Truth:
        """What the log means where a try's stream lies; of a stream that was drawn, all partitions are asked."""
        if attempt.ask.stream:
            return self.told(self.place_of(attempt.ask.stream))
        merged = Truth()
        for place in ACCOUNTS:
            merged.streams |= self.told(place).streams
            merged.wins |= self.told(place).wins
        return merged
