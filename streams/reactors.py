"""The reactors of one process: a consumer group each, a task each partition, commits between."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import structlog

from bridge.decisions import stream_of_reactor
from bridge.errors import LighthouseError, Unavailable
from bridge.events import RecordedEvent
from bridge.feed.order import Spot, decode
from bridge.handle import Commands, Context
from bridge.log import kafka
from bridge.log.groups import group_of
from bridge.log.producer import Producer
from bridge.log.schemas import Schemas
from bridge.reactor import Reaction, Reactor
from bridge.store.contract import Row
from bridge.wiring import Platform
from streams.group import Group, Shared
from streams.publisher import NEVER_GIVE_UP, Ids, Publisher
from streams.reacting import Asked, Effect, Item, Reacting
from streams.source import Partition

log = structlog.get_logger()

ACTOR = "lighthouse"
EVERY = 0.1
"""Seconds between two commits, and the grain of the reaction to a stop."""

LOOK = 0.02
"""Seconds between two looks whether the stores have moved on."""

PATIENCE = 1.0
"""Seconds for what is on its way when the process ends: it would be repeated."""

REVOKED = 15.0
"""Seconds that the end of revoked partitions may take."""


class Applied:
    """A registered reactor as an effect: one event at a time, in the newest shape."""

    batch = 1

    def __init__(self, reactor: Reactor, schemas: Schemas, commands: Commands) -> None:
        self.name, self.start, self.attempts = reactor.name, reactor.start, reactor.attempts
        self.reads = reactor.reads
        self._reactor = reactor
        self._schemas = schemas
        self._commands = commands

    async def read(self, partition: int, rows: Sequence[Row]) -> Sequence[Item]:
        """See Effect."""
        return await decode(self._schemas, partition, rows, newest=True)

    async def do(self, items: Sequence[Item]) -> None:
        """See Effect."""
        for event in items:
            assert isinstance(event, RecordedEvent), f"{event} cannot be reacted to"
            said = event.envelope
            context = Context(self.name, event.id, correlation=said.correlation, causation=event.id)
            async with asyncio.timeout(self._reactor.timeout):
                await self._reactor.react(event, Reaction(event.id, self._commands, context))


class Running:
    """One reactor in this process."""

    def __init__(self, platform: Platform, effect: Effect) -> None:
        self._platform = platform
        self._effect = effect
        self._parts: dict[Partition, Reacting] = {}
        self._loop = asyncio.get_running_loop()
        self._deciding = asyncio.Lock()
        self._ending = False
        settings = platform.base.settings
        self._topics = {fact.name: name for name, fact in platform.facts.items() if effect.reads(name)}
        config = kafka.consumer(settings, group_of(settings.group, effect.name))
        self._group = Group(config, list(self._topics), Shared(self._assigned, self._revoked))

    async def run(self, stop: asyncio.Event) -> None:
        """Reacts until `stop` is set; then leaves the group with everything committed."""
        watching = asyncio.create_task(self._watch(), name=f"watch {self._effect.name}")
        try:
            while not stop.is_set():
                await self._group.poll(EVERY)
                await self._commit(list(self._parts))
        finally:
            self._ending = True
            await self._end(list(self._parts))
            await self._group.close()
            watching.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            parts = tuple(self._parts.values())
            for error in await asyncio.gather(*(one.look() for one in parts), return_exceptions=True):
                if isinstance(error, LighthouseError):  # it will meet the same error itself
                    log.info("store not looked at", reactor=self._effect.name, error=str(error))
                elif error is not None:
                    raise error

    # In the polling thread, while the loop goes on.

    def _assigned(self, partitions: Sequence[Partition]) -> None:
        self._loop.call_soon_threadsafe(self._begin, list(partitions))

    def _revoked(self, partitions: Sequence[Partition]) -> None:
        try:
            asyncio.run_coroutine_threadsafe(self._end(list(partitions)), self._loop).result(REVOKED)
        except TimeoutError:
            log.warning("reactor not ended in time", reactor=self._effect.name, partitions=list(partitions))

    # In the loop.

    def _begin(self, partitions: Sequence[Partition]) -> None:
        for part in partitions:
            if part not in self._parts and not self._ending:
                space = self._platform.spaces.at(self._topics[part[0]], part[1])
                self._parts[part] = Reacting(self._effect, space, self._asked(part))
        log.info("reactor assigned", reactor=self._effect.name, partitions=len(partitions))

    async def _end(self, partitions: Sequence[Partition]) -> None:
        mine = [part for part in partitions if part in self._parts]
        await asyncio.gather(*(self._parts[part].stop() for part in mine))
        await self._commit(mine)
        for part in mine:
            self._parts.pop(part, None)

    async def _commit(self, partitions: Sequence[Partition]) -> None:
        """Commits what has moved. What cannot be committed now is with the next; a kill before that repeats it."""
        moved: dict[Partition, Spot] = {}
        for part in partitions:
            one = self._parts.get(part)
            if one is not None and one.place is not None and one.place != one.committed:
                moved[part] = one.place
        if not moved:
            return
        try:
            await asyncio.to_thread(self._group.commit, moved)
        except Unavailable as error:
            log.warning("not committed", reactor=self._effect.name, error=str(error))
            return
        for part, spot in moved.items():
            if part in self._parts:
                self._parts[part].committed = spot

    def _asked(self, part: Partition) -> Asked:
        platform = self._platform

        async def commit(spot: Spot) -> None:
            await asyncio.to_thread(self._group.commit, {part: spot})

        return Asked(
            committed=partial(asyncio.to_thread, self._group.committed, part),
            commit=commit,
            end=partial(platform.reader.end, *part),
            decisions=platform.projections.decisions,
            decide=self._decide,
        )

    async def _decide(self, command: Any) -> object:
        """One after the other: all partitions write to one stream."""
        async with self._deciding:
            stream = stream_of_reactor(self._effect.name)
            return await self._platform.handler.execute(stream, command, Context(ACTOR))


async def run_all(platform: Platform, stop: asyncio.Event) -> None:
    """Runs every reactor until `stop` is set."""
    base = platform.base
    effects: list[Effect] = [Applied(one, base.schemas, platform.handler) for one in base.catalog.reactors]
    async with AsyncExitStack() as stack:
        if base.settings.publish:
            producer = Producer(kafka.producer(base.settings) | NEVER_GIVE_UP)
            stack.push_async_callback(producer.close, PATIENCE)
            prefix = base.settings.topic_prefix
            effects.append(Publisher(base.schemas, Ids(base.registry, prefix), producer, prefix))
        async with asyncio.TaskGroup() as tasks:
            for effect in effects:
                tasks.create_task(_run(platform, effect, stop), name=effect.name)


async def _run(platform: Platform, effect: Effect, stop: asyncio.Event) -> None:
    try:
        await Running(platform, effect).run(stop)
    except LighthouseError as error:
        log.error("reactor ended", reactor=effect.name, error=str(error))
        raise
