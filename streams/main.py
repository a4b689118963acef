"""Processors and reactors as processes: settings become objects that run until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from bridge import collector
from bridge.log import kafka
from bridge.log.producer import Producer
from bridge.log.record import Place
from bridge.log.topics import TopicFacts
from bridge.settings import Settings
from bridge.store.factory import open_stores
from bridge.ticks import Ticker
from bridge.typed import typed_by_category
from bridge.wiring import (
    REGISTRY_TIMEOUT_OF_OWNERS,
    Base,
    category_facts,
    check_schemas,
    identities,
    open_base,
    state_cache,
)
from streams.dead_letters import DeadLetters
from streams.owner import Code
from streams.processor import Parts, Processor
from streams.source import Partition

Step = Callable[[str], None]


@dataclass(frozen=True)
class Scene:
    """What both roles need: the base, the topics as they are, and a producer."""

    base: Base
    facts: dict[str, TopicFacts]
    producer: Producer

    @property
    def topics(self) -> list[str]:
        """The raw topics."""
        return [fact.name for fact in self.facts.values()]

    def place(self, part: Partition) -> Place:
        """A partition of a raw topic, with its category and the partition count."""
        topic, number = part
        category = topic.removeprefix(f"{self.base.settings.topic_prefix}.")
        return Place(topic, category, number, self.facts[category].partitions)


@asynccontextmanager
async def scene(settings: Settings) -> AsyncIterator[Scene]:
    """Opens what both roles need. Raises SchemaError, LighthouseError where a topic is missing."""
    async with open_base(settings, REGISTRY_TIMEOUT_OF_OWNERS) as base:
        check_schemas(base.catalog)
        facts = await category_facts(base)
        producer = Producer(kafka.producer(base.settings))
        try:
            yield Scene(base, facts, producer)
        finally:
            await producer.close(1.0)


async def run_processor(settings: Settings, stop: asyncio.Event, step: Step = lambda _: None) -> None:
    """Runs one processor until `stop` is set; `step` is called at each step of the protocol, for tests."""
    async with scene(settings) as stage:
        settings = stage.base.settings
        stores = open_stores(settings.history_store, settings)
        states = state_cache(settings)
        typed = typed_by_category(stage.base.catalog.deciders)

        def code(category: str) -> Code:
            return Code(stage.base.schemas, typed.get(category), states)

        identify = partial(identities, stage.base)
        parts = Parts(settings, stores, stage.place, code, identify, Ticker(stage.producer).tick, step)
        try:
            await Processor(parts).run(kafka.consumer(settings, settings.group), stage.topics, stop)
        finally:
            await stores.close()


async def run_reactors(settings: Settings, stop: asyncio.Event) -> None:
    """Runs the reactors until `stop` is set."""
    async with scene(settings) as stage:
        settings = stage.base.settings
        reactor = DeadLetters(stage.base.topics.dead_letters, stage.place, stage.producer)
        config = kafka.consumer(settings, f"{settings.group}.dead-letters")
        await reactor.run(config, stage.topics, stop)


ROLES = {"processor": run_processor, "reactors": run_reactors}


async def main(settings: Settings, role: str) -> None:
    """One role in this process, ended by a signal."""
    collector.calm()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await ROLES[role](settings, stop)
