"""Appends as Avro bytes. The array of events is framed here, so that each event's own bytes can be kept as they are.

The bytes are exactly those of the `Append` record of the category's schema: any Avro library reads and writes them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from bridge.errors import Invalid, SchemaError, TooLarge, Undecodable
from bridge.events import Envelope
from bridge.log.compose import ENVELOPE, Schema
from bridge.log.record import PREFIX

_ENVELOPE = parse_schema(
    {
        "type": "record",
        "name": "lighthouse.Envelope",
        "fields": [{**field, "type": "long"} if field["name"] == "time" else field for field in ENVELOPE],
    }
)
"""The envelope without its logical type: times stay integers, in microseconds."""

MAX_ENVELOPE = 65_535
"""Bytes of an encoded envelope: the history keeps it with each event of its append."""

_UNFIT = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""What fastavro raises for a value that does not fit its schema."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One event type of a category's union: its short name, its upcasting version, its parsed schema."""

    type: str
    version: int
    schema: Any
    index: int


class CategorySchema:
    """A category's `Append` schema under its id in the registry, ready to read and write."""

    def __init__(self, schema_id: int, schema: Schema) -> None:
        self.id = schema_id
        self.schema = schema
        self.branches = _branches(schema)
        self.prefix = PREFIX.pack(0, schema_id)

    @cached_property
    def by_type(self) -> dict[str, Branch]:
        """The branches by the event types' short names."""
        return {branch.type: branch for branch in self.branches}

    def branch(self, type_: str, path: str) -> Branch:
        """The branch of an event type; raises Invalid, with the path where the type stood, for one there is not."""
        found = self.by_type.get(type_)
        if found is None:
            known = ", ".join(sorted(self.by_type))
            raise Invalid(path, f"there is no event type {type_[:80]!r}; known are {known}")
        return found


def _branches(schema: Schema) -> tuple[Branch, ...]:
    named: dict[str, Any] = {}
    names = [field["name"] for field in schema.get("fields", ())]
    if schema.get("name") != "Append" or names != [*(field["name"] for field in ENVELOPE), "events"]:
        raise SchemaError(f"schema {schema.get('name')!r} with fields {names} is not an Append of this format")
    return tuple(
        Branch(event["name"].rpartition(".")[2], event.get("version", 1), parse_schema(event, named), index)
        for index, event in enumerate(schema["fields"][-1]["type"]["items"])
    )


class Slice(msgspec.Struct, frozen=True):
    """One event of an append: its branch, its fields, and its own Avro bytes (branch number and body)."""

    branch: Branch
    data: dict[str, Any]
    raw: bytes


class Decoded(msgspec.Struct, frozen=True):
    """An append: its event time, its envelope's own bytes, and its events."""

    time: int
    envelope: bytes
    events: list[Slice]


def encode(schema: CategorySchema, envelope: Envelope, events: list[tuple[Branch, Mapping[str, Any]]]) -> bytes:
    """The record's value. Raises SchemaError when something does not fit its type, TooLarge for a long envelope."""
    out = io.BytesIO()
    out.write(schema.prefix)
    try:
        schemaless_writer(out, _ENVELOPE, _envelope_fields(envelope))
    except _UNFIT as error:
        raise SchemaError(f"the envelope does not fit its type: {error}") from error
    if (size := out.tell() - PREFIX.size) > MAX_ENVELOPE:
        raise TooLarge(f"actor, correlation, causation and metadata have {size} bytes; the limit is {MAX_ENVELOPE}")
    out.write(zigzag(len(events)))
    for branch, data in events:
        out.write(zigzag(branch.index))
        try:
            schemaless_writer(out, branch.schema, data)
        except _UNFIT as error:
            raise SchemaError(f"an event does not fit its type {branch.type}: {error}") from error
    out.write(b"\0")
    return out.getvalue()


def _envelope_fields(envelope: Envelope) -> dict[str, Any]:
    return {
        "actor": envelope.actor,
        "time": envelope.time,
        "correlation": envelope.correlation,
        "causation": envelope.causation,
        "metadata": envelope.metadata,
    }


def decode(schema: CategorySchema, value: bytes, count: int) -> Decoded:
    """Reads a record's value; raises Undecodable when it is cut, has other than `count` events, or bytes behind."""
    try:
        return _decode(schema, value, count)
    except Undecodable:
        raise
    except Exception as error:  # fastavro raises whatever the bytes lead it to
        what = f"{type(error).__name__}: {error}"
        raise Undecodable(f"the bytes do not decode with schema {schema.id}: {what}") from error


def _decode(schema: CategorySchema, value: bytes, count: int) -> Decoded:
    source = io.BytesIO(value)
    source.seek(PREFIX.size)
    envelope: Any = schemaless_reader(source, _ENVELOPE, None)
    end = source.tell()
    if end - PREFIX.size > MAX_ENVELOPE:
        raise Undecodable(f"the envelope has {end - PREFIX.size} bytes, more than {MAX_ENVELOPE}")
    events = _slices(schema, source, value, count)
    if len(events) != count:
        raise Undecodable(f"the value holds {len(events)} events, the header says {count}")
    if source.tell() != len(value):
        raise Undecodable(f"{len(value) - source.tell()} bytes stand behind the append")
    return Decoded(envelope["time"], value[PREFIX.size : end], events)


def _slices(schema: CategorySchema, source: io.BytesIO, value: bytes, most: int) -> list[Slice]:
    """The array's blocks from the source's place on, `most` events at most; leaves the source behind them."""
    found: list[Slice] = []
    count, place = _long(value, source.tell())
    while count:
        if count < 0:
            _, place = _long(value, place)  # a negative count is followed by the block's size in bytes
        if len(found) + abs(count) > most:
            raise Undecodable(f"the value holds {len(found) + abs(count)} events, the header says {most}")
        for _ in range(abs(count)):
            found.append(_slice(schema, source, value, place))
            place = source.tell()
        count, place = _long(value, place)
    source.seek(place)
    return found


def _slice(schema: CategorySchema, source: io.BytesIO, value: bytes, start: int) -> Slice:
    number, place = _long(value, start)
    if not 0 <= number < len(schema.branches):
        raise Undecodable(f"schema {schema.id} has no event type number {number}")
    branch = schema.branches[number]
    source.seek(place)
    data: Any = schemaless_reader(source, branch.schema, None)
    return Slice(branch, data, value[start : source.tell()])


def _long(value: bytes, place: int) -> tuple[int, int]:
    """(an Avro long, the place behind it). Raises Undecodable for one of more than the ten bytes of 64 bits."""
    byte = value[place]
    number, shift = byte & 0x7F, 7
    while byte >= 0x80:
        if shift > 63:
            raise Undecodable("a number has more than ten bytes")
        place += 1
        byte = value[place]
        number |= (byte & 0x7F) << shift
        shift += 7
    return (number >> 1) ^ -(number & 1), place + 1


def zigzag(number: int) -> bytes:
    """A non-negative Avro long."""
    number <<= 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_envelope(raw: bytes) -> Envelope:
    """The envelope from its own bytes, as `Decoded.envelope` holds them."""
    fields: Any = schemaless_reader(io.BytesIO(raw), _ENVELOPE, None)
    return Envelope(**fields)


def read_event(schema: CategorySchema, raw: bytes) -> Slice:
    """One event from its own bytes, as `Slice.raw` holds them."""
    return _slice(schema, io.BytesIO(raw), raw, 0)
