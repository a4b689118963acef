"""One processor as a process: settings become a Processor that runs until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from functools import partial

from bridge.log import kafka
from bridge.log.producer import Producer
from bridge.log.record import Place
from bridge.settings import Settings
from bridge.store.contract import Stores
from bridge.store.factory import open_stores
from bridge.ticks import Ticker
from bridge.typed import Typed
from bridge.wiring import REGISTRY_TIMEOUT_OF_OWNERS, Base, category_facts, identities, open_base, state_cache
from streams.owner import Code
from streams.processor import Parts, Processor
from streams.source import Partition


async def run(settings: Settings, stop: asyncio.Event, step: Callable[[str], None] = lambda _: None) -> None:
    """Runs one processor until `stop` is set."""
    async with open_base(settings, REGISTRY_TIMEOUT_OF_OWNERS) as base:
        settings = base.settings
        stores = open_stores(settings.history_store, settings)
        producer = Producer(kafka.producer(settings))
        try:
            parts = await _parts(base, stores, producer, step)
            topics = [base.topics.name(category) for category in base.catalog.categories]
            await Processor(parts).run(kafka.consumer(settings, settings.group), topics, stop)
        finally:
            await producer.close(1.0)
            await stores.close()


async def _parts(base: Base, stores: Stores, producer: Producer, step: Callable[[str], None]) -> Parts:
    facts = await category_facts(base)
    states = state_cache(base.settings)
    typed = {name: Typed(decider) for name, decider in base.catalog.deciders.items()}

    def place(part: Partition) -> Place:
        topic, number = part
        category = topic.removeprefix(f"{base.settings.topic_prefix}.")
        return Place(topic, category, number, facts[category].partitions)

    def code(category: str) -> Code:
        return Code(base.schemas, typed.get(category), states)

    return Parts(base.settings, stores, place, code, partial(identities, base), Ticker(producer).tick, step)


def stop_on_signals() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def main(settings: Settings) -> None:
    """One processor, ended by a signal."""
    await run(settings, stop_on_signals())
