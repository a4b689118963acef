"""The composition root: the one place where settings become objects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import chain

from bridge.application import Catalog, registered
from bridge.builtin import BUILT_IN, INDEX
from bridge.cache import StateCache
from bridge.decisions import CATEGORY as SYSTEM
from bridge.decisions import Decided
from bridge.errors import LighthouseError, SchemaError
from bridge.feed.cursor import Cursors
from bridge.feed.feed import Edges, Feed
from bridge.feed.feed import Rules as FeedRules
from bridge.feed.follow import Room
from bridge.feed.indexed import Indexed
from bridge.feed.merge import Source
from bridge.handle import Handler, Log, Rules
from bridge.history.reader import History
from bridge.history.replica import Replicated
from bridge.hot import HotRows
from bridge.local.addresses import located
from bridge.log import kafka
from bridge.log.compose import Schema, canonical
from bridge.log.groups import Groups
from bridge.log.producer import Producer
from bridge.log.published import event_schemas
from bridge.log.published import subject as published_subject
from bridge.log.readers import Reader
from bridge.log.registry import Registry
from bridge.log.schemas import Schemas, problems
from bridge.log.topics import Difference, TopicFacts, Topics
from bridge.present import encode_found
from bridge.query.reactors import Reactors
from bridge.query.reader import Projections
from bridge.reactor import PUBLISHING, Reactor
from bridge.settings import Settings
from bridge.spaces import Limits, Spaces
from bridge.steering import ReactorSteering, Steering
from bridge.store import keys
from bridge.store.contract import Stores
from bridge.store.factory import open_stores
from bridge.store.rows import Identity
from bridge.system.follower import Follower
from bridge.ticks import Ticker
from bridge.typed import Typed, typed_by_category

ROOM_BYTES = 8 * 1024 * 1024
"""Bytes of live events that a reader may leave unread."""

REGISTRY_TIMEOUT_OF_OWNERS = 1.0
"""Seconds: an owner that waits for the registry serves no other partition meanwhile."""

PATIENCE_OF_OWNERS = 1.0
"""Seconds that an owner's last records may take: they are ticks, or decisions that another owner takes as well."""


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
    typed: dict[str, Typed]
    handler: Handler
    history: History
    projections: Projections
    steering: Steering
    feed: Feed
    reactors: Reactors
    reactor_steering: ReactorSteering
    hot: HotRows | None = None


@asynccontextmanager
async def open_base(settings: Settings, registry_timeout: float | None = None) -> AsyncIterator[Base]:
    """Clients for Kafka and the registry; nothing is connected yet."""
    settings = located(settings)
    catalog = _with_projections(registered(), settings.projections)
    registry = Registry(settings.registry_url, registry_timeout or settings.registry_timeout)
    schemas = Schemas(registry, catalog.schemas, settings.topic_prefix, catalog.upcasts)
    try:
        yield Base(settings, catalog, Topics(settings), registry, schemas)
    finally:
        await registry.close()


def _with_projections(catalog: Catalog, which: str) -> Catalog:
    """The catalog with the projections that a setting names."""
    kept = {
        "all": catalog.projections,
        "built-in": BUILT_IN,
        "applications": tuple(one for one in catalog.projections if one not in BUILT_IN),
        "none": (),
    }
    return replace(catalog, projections=kept[which])


@asynccontextmanager
async def open_platform(settings: Settings, owner: bool = False) -> AsyncIterator[Platform]:
    """Everything that reads and writes need. Raises Unavailable, SchemaError, LighthouseError for a missing topic.

    An `owner` of partitions waits for nobody long: not for the registry, and not for Kafka when it ends.
    """
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(open_base(settings, REGISTRY_TIMEOUT_OF_OWNERS if owner else None))
        check_schemas(base.catalog)
        yield await _assembled(stack, base, owner)


async def _assembled(stack: AsyncExitStack, base: Base, owner: bool) -> Platform:
    settings = base.settings
    facts = await category_facts(base)
    stores = open_stores(settings.history_store, settings)
    stack.push_async_callback(stores.close)
    producer = Producer(kafka.producer(settings))
    stack.push_async_callback(producer.close, PATIENCE_OF_OWNERS if owner else settings.deadline)
    reader = Reader(settings, settings.deadline / 2)
    stack.push_async_callback(reader.close)
    hot = _hot(stack, settings)
    spaces = Spaces(stores, settings.topic_prefix, {name: fact.partitions for name, fact in facts.items()}, hot)
    if not owner:  # an owner leaves the reason in the space, where all others find it (P1)
        await check_pins(spaces)
    typed = typed_by_category(base.catalog.deciders)
    log = Log(base.schemas, producer, reader.end)
    handler = Handler(log, spaces, typed, state_cache(settings), rules(settings))
    ticker = Ticker(producer)
    history = _history(stack, base, spaces, typed, ticker)
    follower = Follower(reader, base.schemas, spaces.place(SYSTEM, 0))
    stack.push_async_callback(follower.close)
    projections = Projections(spaces, base.catalog, follower, ticker, limits(settings))
    steering = Steering(base.catalog, handler, projections)
    feed = _feed(base, facts, projections, spaces, ticker)
    stack.push_async_callback(feed.close)
    written = base, facts, stores, spaces, producer, ticker, reader
    reactors = Reactors(_reactors(base), spaces, projections, Groups(settings), settings.group)
    reacting = reactors, ReactorSteering(handler, reactors, reader.end)
    return Platform(*written, typed, handler, history, projections, steering, feed, *reacting, hot)


def _hot(stack: AsyncExitStack, settings: Settings) -> HotRows | None:
    """The hot store, if one is set."""
    if not settings.hot_store:
        return None
    stores = open_stores(settings.hot_store, settings)
    stack.push_async_callback(stores.close)
    return HotRows(stores, settings.session)


def _history(stack: AsyncExitStack, base: Base, spaces: Spaces, typed: Mapping[str, Typed], ticker: Ticker) -> History:
    """The read side; with a replica, if one is set."""
    settings = base.settings
    if not settings.history_replica:
        return History(base.schemas, spaces, typed, ticker, settings.clock_skew)
    stores = open_stores(settings.history_replica, settings)
    stack.push_async_callback(stores.close)
    far = Spaces(stores, settings.topic_prefix, spaces.categories)
    replica = History(base.schemas, far, typed, ticker, settings.clock_skew)
    return Replicated(replica, base.schemas, spaces, typed, ticker, settings.clock_skew)


def _reactors(base: Base) -> tuple[Reactor, ...]:
    return (*base.catalog.reactors, *((PUBLISHING,) if base.settings.publish else ()))


def _feed(
    base: Base, facts: Mapping[str, TopicFacts], projections: Projections, spaces: Spaces, ticker: Ticker
) -> Feed:
    async def decided() -> Decided:
        return (await projections.decisions()).of(INDEX.name)

    cursors = Cursors({name: fact.topic_id for name, fact in facts.items()}, spaces.categories)
    source = Source(base.schemas, Indexed(decided).fetch) if INDEX in base.catalog.projections else Source(base.schemas)
    return Feed(source, spaces, cursors, Edges(encode_found, ticker), feed_rules(base.settings))


def schema_problems(catalog: Catalog) -> dict[str, list[str]]:
    """What is wrong with each category's files and upcasts, with no registry asked."""
    steps = catalog.upcasts
    return {name: problems(name, folder, steps.get(name, {})) for name, folder in catalog.schemas.items()}


def check_schemas(catalog: Catalog) -> None:
    """Raises SchemaError before anything is opened: a gap in the upcasts would park each stream with an old event."""
    found = [sentence for wrong in schema_problems(catalog).values() for sentence in wrong]
    if found:
        raise SchemaError("; ".join(found))


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
                "a category gets more of them by `lighthouse topics repartition` alone: restore the topic"
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
        settings.reader_patience,
        settings.deadline,
        settings.clock_skew,
    )


def state_cache(settings: Settings) -> StateCache:
    """Folded states in memory."""
    return StateCache(settings.state_cache, settings.state_cache_mb * 1024 * 1024)


async def category_facts(base: Base) -> dict[str, TopicFacts]:
    """Each category's topic as it is; raises LighthouseError naming the topics that are missing."""
    await check_settled(base)
    names = {base.topics.name(category): category for category in base.catalog.categories}
    facts = await base.topics.facts(list(names))
    missing = sorted(names.keys() - facts.keys())
    if missing:
        raise LighthouseError(f"topics are missing: {', '.join(missing)}. Run `lighthouse topics create`")
    return {names[name]: fact for name, fact in facts.items()}


async def check_settled(base: Base) -> None:
    """Raises LighthouseError while a category is being repartitioned: nobody may write to it, nor make its topic."""
    copies = {base.topics.copy(category): category for category in base.catalog.categories}
    for name, fact in (await base.topics.facts(list(copies))).items():
        again = f"lighthouse topics repartition {copies[name]} --partitions {fact.partitions - 1}"
        raise LighthouseError(
            f"category {copies[name]} is being repartitioned: `{again}` goes on with it, or gives it up with --abandon"
        )


async def create_topics(base: Base) -> tuple[list[str], list[Difference]]:
    """Creates the topics of every category that are missing, and the dead-letter topic.

    Answers the names of those created, and what differs in those that exist. Raises LighthouseError (check_settled).
    """
    await check_settled(base)
    specs = await base.topics.specs(base.catalog.categories)
    return await base.topics.ensure(specs), await base.topics.differences(specs)


async def push_schemas(base: Base) -> dict[str, int]:
    """Registers the schema of every category; answers the ids by subject. Raises SchemaError, RegistryAway.

    None is registered while an upcast is missing: what is registered can only be added to.
    """
    check_schemas(base.catalog)
    pushed = {
        base.schemas.subject(category): await base.registry.push(
            base.schemas.subject(category), base.schemas.local(category)
        )
        for category in base.catalog.categories
    }
    if base.settings.publish:
        for category in base.catalog.categories:
            pushed |= await _push_events(base, category)
    return pushed


async def _push_events(base: Base, category: str) -> dict[str, int]:
    """Registers the event types' own schemas, of every version of the category: old events are published as well."""
    subject = base.schemas.subject(category)
    versions = [await base.registry.version(subject, one) for one in await base.registry.versions(subject)]
    found: dict[str, dict[str, Schema]] = {}
    for schema in chain.from_iterable(map(event_schemas, versions)):
        name = published_subject(base.settings.topic_prefix, category, schema["name"])
        found.setdefault(name, {})[canonical(schema)] = schema
    ids = await asyncio.gather(*(_push_all(base.registry, name, one.values()) for name, one in found.items()))
    return dict(zip(found, ids, strict=True))


async def _push_all(registry: Registry, subject: str, schemas: Iterable[Schema]) -> int:
    """Registers the schemas of one subject, oldest first; answers the last one's id."""
    number = 0
    for schema in schemas:
        number = await registry.register(subject, schema)
    return number


async def identities(base: Base, topics: Sequence[str]) -> dict[str, Identity]:
    """Who the log is now, by topic (P1)."""
    cluster, facts = await asyncio.gather(base.topics.cluster_id(), base.topics.facts(topics))
    return {name: Identity(cluster, fact.topic_id, fact.partitions) for name, fact in facts.items()}
