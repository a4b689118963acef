"""The composition root: the one place where settings become objects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bridge.application import Catalog, registered
from bridge.cache import StateCache
from bridge.errors import LighthouseError
from bridge.feed.cursor import Cursors
from bridge.feed.feed import Edges, Feed
from bridge.feed.feed import Rules as FeedRules
from bridge.feed.follow import Room
from bridge.feed.merge import Source
from bridge.handle import Handler, Log, Rules
from bridge.history.reader import History
from bridge.local.addresses import located
from bridge.log import kafka
from bridge.log.producer import Producer
from bridge.log.readers import Reader
from bridge.log.registry import Registry
from bridge.log.schemas import Schemas
from bridge.log.topics import Difference, TopicFacts, Topics
from bridge.present import encode_found
from bridge.settings import Settings
from bridge.spaces import Limits, Spaces
from bridge.store import keys
from bridge.store.contract import Stores
from bridge.store.factory import open_stores
from bridge.store.rows import Identity
from bridge.ticks import Ticker
from bridge.typed import Typed

ROOM_BYTES = 8 * 1024 * 1024
"""Bytes of live events that a reader may leave unread."""

REGISTRY_TIMEOUT_OF_OWNERS = 1.0
"""Seconds: an owner that waits for the registry serves no other partition meanwhile."""


@dataclass(frozen=True)
class Base:
    """What every process of the platform has: settings, applications, topics, registry, schemas."""

    settings: Settings
    catalog: Catalog
    topics: Topics
    registry: Registry
    schemas: Schemas


@dataclass(frozen=True)
class Platform:
    """A process that reads and writes: the base, its stores, the write side and the read side."""

    base: Base
    facts: dict[str, TopicFacts]
    stores: Stores
    spaces: Spaces
    producer: Producer
    ticker: Ticker
    reader: Reader
    handler: Handler
    history: History
    feed: Feed


@asynccontextmanager
async def open_base(settings: Settings, registry_timeout: float | None = None) -> AsyncIterator[Base]:
    """Clients for Kafka and the registry; nothing is connected yet."""
    settings = located(settings)
    catalog = registered()
    registry = Registry(settings.registry_url, registry_timeout or settings.registry_timeout)
    schemas = Schemas(registry, catalog.schemas, settings.topic_prefix)
    try:
        yield Base(settings, catalog, Topics(settings), registry, schemas)
    finally:
        await registry.close()


@asynccontextmanager
async def open_platform(settings: Settings) -> AsyncIterator[Platform]:
    """Everything that reads and writes need. Raises Unavailable, or LighthouseError where a topic is missing."""
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(open_base(settings))
        settings = base.settings
        facts = await category_facts(base)
        stores = open_stores(settings.history_store, settings)
        stack.push_async_callback(stores.close)
        producer = Producer(kafka.producer(settings))
        stack.push_async_callback(producer.close, settings.deadline)
        reader = Reader(settings, settings.deadline / 2)
        stack.push_async_callback(reader.close)
        spaces = Spaces(stores, settings.topic_prefix, {name: fact.partitions for name, fact in facts.items()})
        await check_pins(spaces)
        typed = {name: Typed(decider) for name, decider in base.catalog.deciders.items()}
        log = Log(base.schemas, producer, reader.end)
        handler = Handler(log, spaces, typed, state_cache(settings), rules(settings))
        ticker = Ticker(producer)
        history = History(base.schemas, spaces, typed, ticker, settings.clock_skew)
        feed = Feed(
            Source(base.schemas),
            spaces,
            Cursors({name: fact.topic_id for name, fact in facts.items()}, spaces.categories),
            Edges(encode_found, ticker),
            feed_rules(settings),
        )
        stack.push_async_callback(feed.close)
        yield Platform(base, facts, stores, spaces, producer, ticker, reader, handler, history, feed)


async def check_pins(spaces: Spaces) -> None:
    """Raises LighthouseError when a topic has another partition count than its history: streams would lie elsewhere."""
    for category, count in spaces.categories.items():
        async with spaces.at(category, 0).store.view() as view:
            known = await view.get(keys.IDENTITY)
        pinned = Identity.unpack(known).partitions if known is not None else count
        if pinned != count:
            topic = spaces.place(category, 0).topic
            raise LighthouseError(
                f"topic {topic} has {count} partitions, but its history was made of {pinned}; "
                "a category keeps its count for ever: restore the topic, or copy its events to a new category"
            )


def limits(settings: Settings) -> Limits:
    """What a partition must keep for appends to be taken."""
    return Limits(settings.session, settings.deadline, settings.clock_skew)


def rules(settings: Settings) -> Rules:
    """The write side's limits."""
    return Rules(limits(settings), settings.in_flight, settings.decide_attempts)


def feed_rules(settings: Settings) -> FeedRules:
    """What readers of many streams may take."""
    return FeedRules(
        settings.replays,
        Room(settings.reader_room, ROOM_BYTES),
        settings.heartbeat,
        settings.deadline,
        settings.clock_skew,
    )


def state_cache(settings: Settings) -> StateCache:
    """Folded states in memory."""
    return StateCache(settings.state_cache, settings.state_cache_mb * 1024 * 1024)


async def category_facts(base: Base) -> dict[str, TopicFacts]:
    """Each category's topic as it is; raises LighthouseError naming the topics that are missing."""
    names = {base.topics.name(category): category for category in base.catalog.categories}
    facts = await base.topics.facts(list(names))
    missing = sorted(names.keys() - facts.keys())
    if missing:
        raise LighthouseError(f"topics are missing: {', '.join(missing)}. Run `lighthouse topics create`")
    return {names[name]: fact for name, fact in facts.items()}


async def create_topics(base: Base) -> tuple[list[str], list[Difference]]:
    """Creates the topics of every category that are missing, and the dead-letter topic.

    Answers the names of those created, and what differs in those that exist.
    """
    specs = await base.topics.specs(base.catalog.categories)
    return await base.topics.ensure(specs), await base.topics.differences(specs)


async def push_schemas(base: Base) -> dict[str, int]:
    """Registers the schema of every category; answers the ids by subject. Raises SchemaError, RegistryAway."""
    return {
        base.schemas.subject(category): await base.registry.push(
            base.schemas.subject(category), base.schemas.local(category)
        )
        for category in base.catalog.categories
    }


async def identities(base: Base, topics: Sequence[str]) -> dict[str, Identity]:
    """Who the log is now, by topic (P1)."""
    cluster, facts = await asyncio.gather(base.topics.cluster_id(), base.topics.facts(topics))
    return {name: Identity(cluster, fact.topic_id, fact.partitions) for name, fact in facts.items()}
