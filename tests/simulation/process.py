"""A process of the group: the real processor and switch, on stores and a log that are as slow as the test wants.

It can be stopped, as by SIGSTOP, before and behind each call of a store, and killed wherever it stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bridge.application import Catalog
from bridge.cache import Cache, StateCache
from bridge.errors import Unavailable
from bridge.handle import Handler, Log
from bridge.log.readers import Reader
from bridge.log.record import Place, Record
from bridge.log.registry import Registry
from bridge.query.reader import Projections
from bridge.spaces import Spaces
from bridge.store.contract import Mark, Store, View, Writes
from bridge.store.rows import Identity
from bridge.system.follower import Follower
from bridge.ticks import Ticker
from streams.builds import Projecting
from streams.owner import Code
from streams.processor import Parts, Processor
from streams.source import Callbacks, Partition
from streams.switch import Switch
from tests.model.world import RULES
from tests.simlog import Passing, SimLog, SimProducer, identity_of
from tests.simulation.group import Coordinator, GroupSource
from tests.simulation.server import Connection, Server
from tests.simulation.settings import COUNTS, SETTINGS, SYSTEM, TYPED, schemas_of_all, system_place

STEPS = ("view", "viewed", "own", "owned", "commit", "committed", "beat")
"""Where a process can be stopped, and its connection be lost: before and behind what a store does."""


class Pace:
    """How a process gets on."""

    def __init__(self) -> None:
        self.stop_at: str | None = None
        self.fail_at: str | None = None
        self.slow = 0.0
        self._goes = asyncio.Event()
        self._goes.set()

    @property
    def stopped(self) -> bool:
        """Whether it stands still."""
        return not self._goes.is_set()

    def stop(self) -> None:
        """It stands still at the next step that it reaches, whichever it is."""
        self._goes.clear()

    def go_on(self) -> None:
        """It goes on."""
        self.stop_at = None
        self._goes.set()

    def get_well(self) -> None:
        """The same, and nothing is slow or fails any more."""
        self.slow, self.fail_at = 0.0, None
        self.go_on()

    async def reach(self, step: str) -> None:
        """Takes as long as the step takes. Raises Unavailable."""
        if step == self.stop_at:
            self.stop_at = None
            self.stop()
        await self._goes.wait()
        if self.slow:
            await asyncio.sleep(self.slow)
            await self._goes.wait()
        if step == self.fail_at:
            self.fail_at = None
            raise Unavailable("the connection to the store is lost")


class SimReader(Reader):
    """A reader of a simulated log that hears what came when the test says so."""

    def __init__(self, log: SimLog, pace: Pace) -> None:
        self._log = log
        self._pace = pace
        self._news = asyncio.Event()

    def hear(self) -> None:
        """Whoever follows a log is given what it holds now."""
        self._news.set()

    async def end(self, topic: str, partition: int) -> int:
        """As the real one."""
        return self._log.length(topic, partition)

    async def follow(self, topic: str, partition: int, start: int) -> AsyncGenerator[tuple[list[Record], int]]:
        """As the real one."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self._pace.reach("followed")
            records = self._log.read(topic, partition, start, 500)
            start += len(records)
            yield records, start


class MemberStore(Passing):
    """A space as a process of the group has it. It asserts that nothing is written once the partition was let go."""

    def __init__(self, store: Store, member: Member, part: Partition) -> None:
        super().__init__(store)
        self.last: tuple[Mark, int, Writes] | None = None
        self._member = member
        self._part = part
        self._reach = member.pace.reach

    def _mine(self, what: str) -> None:
        mine = self._member.source is not None and self._part in self._member.source.mine
        assert mine, f"I6: {what} in {self._part}, by a process that was told that it is taken away"

    @asynccontextmanager
    async def view(self) -> AsyncIterator[View]:
        """See the contract."""
        await self._reach("view")
        async with self._store.view() as view:
            await self._reach("viewed")
            yield view

    async def own(self) -> Mark:
        """See the contract."""
        self._mine("own")
        await self._reach("own")
        mark = await self._store.own()
        await self._reach("owned")
        return mark

    async def commit(self, mark: Mark, position: int, writes: Writes) -> Mark:
        """See the contract."""
        self._mine("commit")
        await self._reach("commit")
        after = await self._store.commit(mark, position, writes)
        self.last = mark, position, writes
        await self._reach("committed")
        return after

    async def commit_again(self) -> Mark:
        """The last commit that was applied comes again, as from a connection that had lost its answer."""
        assert self.last is not None
        return await self._store.commit(*self.last)

    async def beat(self, mark: Mark) -> None:
        """See the contract."""
        self._mine("beat")
        await self._reach("beat")
        await self._store.beat(mark)

    async def wipe(self, mark: Mark) -> Mark:
        """See the contract."""
        self._mine("wipe")
        await self._reach("commit")
        return await self._store.wipe(mark)


@dataclass
class Around:
    """What all processes share."""

    log: SimLog
    loop: asyncio.AbstractEventLoop
    registry: Registry
    servers: Mapping[str, Server]
    group: Coordinator


class Member:
    """One process of the group; see streams.main.process, of which this is the same with another edge."""

    def __init__(self, around: Around, catalog: Catalog) -> None:
        self.catalog = catalog
        self.pace = Pace()
        self.source: GroupSource | None = None
        self.dead = False
        self.stores: dict[str, MemberStore] = {}
        self.producer = SimProducer(around.log, around.loop)
        self.reader = SimReader(around.log, self.pace)
        self._around = around
        self._schemas = schemas_of_all(around.registry)
        self._stop = asyncio.Event()
        spaces = Spaces(self, SETTINGS.topic_prefix, COUNTS)
        self.follower = Follower(self.reader, self._schemas, system_place())
        ticker = Ticker(self.producer, around.loop.time)
        projections = Projections(spaces, catalog, self.follower, ticker, RULES.limits)
        handler = Handler(
            Log(self._schemas, self.producer, around.log.end), spaces, TYPED, StateCache(100, 100_000), RULES
        )
        self._ticks = 0
        self.processor = Processor(self._parts(spaces, ticker))
        self.switch = Switch(catalog, projections, handler, lambda: SYSTEM in self.processor.owners)
        self.task = around.loop.create_task(self._run())

    def _parts(self, spaces: Spaces, ticker: Ticker) -> Parts:
        states, rows = StateCache(100, 100_000), Cache[tuple[int, str], object](100, 100_000)

        def place(part: Partition) -> Place:
            return spaces.place(part[0].partition(".")[2], part[1])

        def code(category: str) -> Code:
            projecting = Projecting(self.catalog.reading(category), self.follower.decisions, rows)
            return Code(self._schemas, TYPED[category], states, projecting)

        async def identify(topics: Sequence[str]) -> dict[str, Identity]:
            return {topic: identity_of(place((topic, 0)).partitions) for topic in topics}

        return Parts(SETTINGS, self, place, code, identify, ticker.tick, clock=self._clock)

    def _clock(self) -> float:
        """Each look takes a hundredth of a second, or a round would never be over."""
        self._ticks += 1
        return self._around.loop.time() + self._ticks / 100

    async def _run(self) -> None:
        self.follower.start()
        async with self.switch.running():
            await self.processor.run(self._join, self._stop)

    def _join(self, callbacks: Callbacks) -> GroupSource:
        self.source = GroupSource(self._around.group, callbacks)
        return self.source

    @property
    def waits(self) -> bool:
        """Whether it stands in a poll, and nobody has stopped it."""
        return not self.dead and not self.pace.stopped and self.source is not None and self.source.waits

    @property
    def lives(self) -> bool:
        """Whether it was neither killed nor has it ended."""
        return not self.dead and not self.task.done()

    def leave(self) -> None:
        """It is told to end (SIGTERM)."""
        self._stop.set()

    def kill(self) -> None:
        """It is gone (SIGKILL), wherever it stood; the group does not know it yet."""
        self.dead = True
        if self.source is not None:
            self.source.dead = True
        self.task.cancel()

    async def close(self) -> None:
        """Ends what is left of it."""
        self.kill()
        await asyncio.gather(self.task, self.follower.close(), return_exceptions=True)

    # As its processor's stores.

    def open(self, space: str) -> MemberStore:
        """See the contract."""
        if space not in self.stores:
            topic, _, number = space.rpartition("-")
            self.stores[space] = MemberStore(Connection(self._around.servers[space]), self, (topic, int(number)))
        return self.stores[space]
