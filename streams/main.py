"""Processors and reactors as processes: settings become objects that run until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from bridge import collector
from bridge.cache import Cache
from bridge.decisions import CATEGORY as SYSTEM
from bridge.decisions import Decisions
from bridge.log import kafka
from bridge.log.record import Place
from bridge.settings import Settings
from bridge.wiring import Platform, identities, open_platform, state_cache
from streams import reactors
from streams.builds import Projecting
from streams.consumer import KafkaSource
from streams.dead_letters import DeadLetters
from streams.firing import Around, Firing
from streams.hot import Kept
from streams.hot_feed import FedStores
from streams.owner import Code
from streams.processor import Parts, Processor
from streams.source import Partition
from streams.switch import Switch

Step = Callable[[str], None]


async def run_processor(settings: Settings, stop: asyncio.Event, step: Step = lambda _: None) -> None:
    """Runs one processor until `stop` is set; `step` is called at each step of the protocol, for tests."""
    async with open_platform(settings, owner=True) as platform:
        await process(platform, stop, step)


async def process(platform: Platform, stop: asyncio.Event, step: Step = lambda _: None) -> None:
    """The same with a platform that is open."""
    settings = platform.base.settings
    async with _fed(platform, _parts(platform, platform.projections.follow(), step)) as parts:
        processor = Processor(parts)
        catalog, system = platform.base.catalog, (platform.facts[SYSTEM].name, 0)
        switch = Switch(catalog, platform.projections, platform.handler, lambda: system in processor.owners, step)
        firing = Firing(_around(platform, step), lambda: processor.owners)
        async with switch.running(), firing.running():
            config, ends = kafka.consumer(settings, settings.group), platform.base.topics.ends
            join = partial(KafkaSource, config, topics(platform), ends)
            await processor.run(join, stop)


@asynccontextmanager
async def _fed(platform: Platform, parts: Parts) -> AsyncIterator[Parts]:
    """The same parts; with a hot store, stores that feed it, and whose followers end with the processor."""
    if platform.hot is None:
        yield parts
        return
    stores = FedStores(platform.stores, platform.hot.stores, partial(_kept, platform), parts.settings.session)
    try:
        yield replace(parts, stores=stores, let_go=stores.let_go)
    finally:
        await stores.close()


def _kept(platform: Platform, space: str) -> Kept:
    """What is hot in a partition."""
    base = platform.base
    category = space.rpartition("-")[0].removeprefix(f"{base.settings.topic_prefix}.")
    typed = platform.typed.get(category)
    names = {projection.name for projection in base.catalog.reading(category) if projection.hot}
    return Kept(typed.version if typed is not None else None, tuple(sorted(names)))


def _around(platform: Platform, step: Step) -> Around:
    known = {projection.name for projection in platform.base.catalog.projections}
    return Around(
        [timer for timer in platform.base.catalog.timers if timer.pending in known],
        platform.handler,
        platform.stores.open,
        platform.ticker.tick,
        platform.projections.decisions,
        platform.projections.decisions_now,
        step,
    )


def _parts(platform: Platform, decisions: Decisions, step: Step) -> Parts:
    settings, catalog = platform.base.settings, platform.base.catalog
    states = state_cache(settings)
    rows: Cache[tuple[int, str], object] = Cache(settings.row_cache, settings.row_cache_mb * 1024 * 1024)

    def code(category: str) -> Code:
        projecting = Projecting(catalog.reading(category), decisions, rows)
        return Code(platform.base.schemas, platform.typed.get(category), states, projecting)

    identify = partial(identities, platform.base)
    return Parts(settings, platform.stores, partial(place, platform), code, identify, platform.ticker.tick, step)


def topics(platform: Platform) -> list[str]:
    """The raw topics."""
    return [fact.name for fact in platform.facts.values()]


def place(platform: Platform, part: Partition) -> Place:
    """A partition of a raw topic, with its category and the partition count."""
    topic, number = part
    return platform.spaces.place(topic.removeprefix(f"{platform.base.settings.topic_prefix}."), number)


async def run_reactors(settings: Settings, stop: asyncio.Event) -> None:
    """Runs the reactors until `stop` is set."""
    async with open_platform(settings, owner=True) as platform:
        reactor = DeadLetters(platform.base.topics.dead_letters, partial(place, platform), platform.producer)
        config = kafka.consumer(platform.base.settings, f"{platform.base.settings.group}.dead-letters")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reactor.run(config, topics(platform), stop), name="dead letters")
            tasks.create_task(reactors.run_all(platform, stop), name="reactors")


ROLES = {"processor": run_processor, "reactors": run_reactors}


async def main(settings: Settings, role: str) -> None:
    """One role in this process, ended by a signal."""
    collector.calm()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await ROLES[role](settings, stop)
