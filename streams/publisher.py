"""The publisher: every admitted event as a CloudEvent in Kafka's binary mode, for whoever does not know the platform.

The value is the event as it was written, under its type's own schema: no field is decoded, and whoever publishes an
event again, whatever its code, writes the same bytes. Records of a page are produced together and awaited together,
by a producer that never gives up: so a stream's events come in order, and a repeat repeats a run of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from bridge.errors import LighthouseError, Unavailable
from bridge.events import RecordedEvent
from bridge.feed.order import decode, fetch_schemas
from bridge.log import cloudevents, published
from bridge.log.avro import CategorySchema, read_envelope
from bridge.log.envelope import read_long
from bridge.log.producer import Outgoing, Producer
from bridge.log.record import PREFIX
from bridge.log.registry import Registry, RegistryAway
from bridge.log.schemas import Schemas
from bridge.reactor import PUBLISHER, Start
from bridge.store.contract import Row
from bridge.store.rows import EventRow, unpack_order
from streams.reacting import Item

NEVER_GIVE_UP = {"message.timeout.ms": 0, "linger.ms": 5}
"""A record that timed out between others would change the order."""


class Published(msgspec.Struct, frozen=True):
    """An event and its record."""

    id: str
    stream: str
    version: int
    offset: int
    index: int
    outgoing: Outgoing


class Ids:
    """The ids under which the event types' own schemas are registered, by category schema and branch."""

    def __init__(self, registry: Registry, prefix: str) -> None:
        self._registry = registry
        self._prefix = prefix
        self._known: dict[int, list[bytes | None]] = {}

    async def of(self, schema: CategorySchema, branch: int) -> bytes:
        """What a value begins with. Raises Unavailable where the schema is not registered, or nobody can tell."""
        known = self._known.setdefault(schema.id, [None] * len(schema.branches))
        found = known[branch]
        if found is None:
            found = known[branch] = PREFIX.pack(0, await self._find(schema, branch))
        return found

    async def _find(self, schema: CategorySchema, branch: int) -> int:
        category = str(schema.schema["namespace"]).removeprefix("lighthouse.")
        subject = published.subject(self._prefix, category, schema.branches[branch].type)
        try:
            found = await self._registry.find(subject, published.event_schemas(schema.schema)[branch])
        except RegistryAway as error:
            raise Unavailable(str(error)) from error
        if found is None:
            raise Unavailable(f"a schema of {subject} is not registered: run `lighthouse schemas push`")
        return found


class Publisher:
    """The publisher as an effect."""

    name = PUBLISHER
    start: Start = "beginning"
    attempts = 6
    batch = 1000

    def __init__(self, schemas: Schemas, ids: Ids, producer: Producer, prefix: str) -> None:
        self._schemas = schemas
        self._ids = ids
        self._producer = producer
        self._prefix = prefix

    def reads(self, category: str) -> bool:
        """See Effect."""
        return bool(category)

    async def read(self, partition: int, rows: Sequence[Row]) -> Sequence[Item]:
        """See Effect."""
        unpacked = [(order, EventRow.unpack(row)) for order, row in rows]
        await fetch_schemas(self._schemas, {row.schema for _, row in unpacked if not row.raw})
        return [
            await self._item(partition, (order, raw), row)
            for (order, raw), (_, row) in zip(rows, unpacked, strict=True)
        ]

    async def _item(self, partition: int, raw: Row, row: EventRow) -> Item:
        schema = self._schemas.known(row.schema)
        if row.raw or schema is None:
            return await self._unreadable(partition, raw)
        try:
            return await self._record(partition, *unpack_order(raw[0]), row, schema)
        except LighthouseError:
            raise
        except Exception:  # bytes that lead to no event type
            return await self._unreadable(partition, raw)

    async def _unreadable(self, partition: int, raw: Row) -> Item:
        (found,) = await decode(self._schemas, partition, [raw])
        return found

    async def _record(
        self, partition: int, stream: str, version: int, row: EventRow, schema: CategorySchema
    ) -> Published:
        number, body = read_long(row.event, 0)
        branch = schema.branches[number]
        event = RecordedEvent(
            stream,
            version,
            branch.type,
            {},
            read_envelope(row.envelope),
            row.append,
            row.index,
            partition,
            row.offset,
            row.effective,
            row.event_time,
            branch.version,
        )
        value = await self._ids.of(schema, number) + row.event[body:]
        topic = published.topic(self._prefix, stream.partition("/")[0])
        record = cloudevents.outgoing(topic, event, value, cloudevents.AVRO)
        return Published(event.id, stream, version, row.offset, row.index, record)

    async def do(self, items: Sequence[Item]) -> None:
        """See Effect."""
        sent = [self._producer.send(item.outgoing) for item in items if isinstance(item, Published)]
        assert len(sent) == len(items), "what cannot be read is not given"
        await asyncio.gather(*sent)
