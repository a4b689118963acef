"""The events of one stream, decoded from their rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.errors import NotFound, Parked, SchemaError, Unavailable
from bridge.events import RecordedEvent
from bridge.log.avro import Slice, read_envelope, read_event
from bridge.log.registry import RegistryAway
from bridge.log.schemas import Schemas
from bridge.store import keys
from bridge.store.contract import View
from bridge.store.rows import EventRow, Head, ParkedRow

PAGE = 1000
PAGE_BYTES = 16 * 1024 * 1024
"""Bytes of the rows that are read at once, whatever their number: an event may have 4 MiB."""


@dataclass(frozen=True, slots=True)
class Range:
    """Versions `start` to `stop`, the last not included, at most `limit` of them, newest first if `backward`."""

    start: int
    stop: int
    limit: int = PAGE
    backward: bool = False


async def head_of(view: View, stream: str) -> Head:
    """The stream's head; version 0 for a stream that does not exist."""
    return Head.unpack(await view.get(keys.head(stream)))


async def existing(view: View, stream: str) -> Head:
    """The head of a stream that has events; raises NotFound."""
    head = await head_of(view, stream)
    if head.next == 0:
        raise NotFound(f"there is no stream {stream}")
    return head


async def parked_at(view: View, stream: str) -> ParkedRow | None:
    """Why and where the stream is parked, or None."""
    raw = await view.get(keys.parked(stream))
    return ParkedRow.unpack(raw) if raw is not None else None


async def rows(view: View, stream: str, span: Range, most_bytes: int = PAGE_BYTES) -> list[tuple[int, EventRow]]:
    """The undecoded rows of a range, each with its version; fewer than there are where they grow too large."""
    prefix = keys.events(stream)
    found = await view.scan(
        prefix,
        start=keys.event(stream, span.start),
        stop=keys.event(stream, span.stop),
        reverse=span.backward,
        limit=span.limit,
        most_bytes=most_bytes,
    )
    return [(int.from_bytes(key[-8:], "big"), EventRow.unpack(value)) for key, value in found]


async def read(view: View, schemas: Schemas, stream: str, partition: int, span: Range) -> list[RecordedEvent]:
    """The events of a range, as `rows` bounds them.

    Raises Parked at an event that cannot be decoded, Unavailable without a registry.
    """
    out = []
    for version, row in await rows(view, stream, span):
        out.append(recorded(stream, partition, version, row, await decoded(schemas, stream, version, row)))
    return out


async def decoded(schemas: Schemas, stream: str, version: int, row: EventRow) -> Slice:
    """One row's event. Raises Parked, Unavailable."""
    if row.raw:
        raise Parked(f"{stream} is parked: its event {version} cannot be decoded yet", version)
    schema = schemas.known(row.schema)
    if schema is None:
        try:
            schema = await schemas.reader(row.schema)
        except RegistryAway as error:
            raise Unavailable(str(error)) from error
        except SchemaError as error:
            raise Parked(f"{stream}: its event {version} cannot be decoded: {error}", version) from error
    return read_event(schema, row.event)


def recorded(stream: str, partition: int, version: int, row: EventRow, event: Slice) -> RecordedEvent:
    """The noun for a decoded row, with the event's fields as they were written: what listings show."""
    return _noun(stream, partition, version, row, (event, event.data))


def newest(stream: str, partition: int, version: int, row: EventRow, event: Slice) -> RecordedEvent:
    """The noun for a decoded row, with the fields in the newest shape: what folds and projections are given.

    Raises whatever an upcast raises: it is the application's code.
    """
    return _noun(stream, partition, version, row, (event, event.newest))


def _noun(
    stream: str, partition: int, version: int, row: EventRow, told: tuple[Slice, Mapping[str, Any]]
) -> RecordedEvent:
    event, data = told
    return RecordedEvent(
        stream=stream,
        version=version,
        type=event.branch.type,
        data=data,
        envelope=read_envelope(row.envelope),
        append=row.append,
        index=row.index,
        partition=partition,
        offset=row.offset,
        effective=row.effective,
        event_time=row.event_time,
        schema_version=event.branch.version,
    )
