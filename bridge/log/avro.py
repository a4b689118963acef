"""Appends as Avro bytes. The array of events is framed here, so that each event's own bytes can be kept as they are.

The bytes are exactly those of the `Append` record of the category's schema: any Avro library reads and writes them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import msgspec
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from bridge.errors import Invalid, SchemaError, TooLarge, Undecodable
from bridge.events import Envelope
from bridge.log.compose import ENVELOPE, Schema, event_types
from bridge.log.envelope import read as envelope_at
from bridge.log.envelope import read_long, zigzag
from bridge.log.envelope import write as write_envelope
from bridge.log.record import PREFIX

MAX_ENVELOPE = 65_535
"""Bytes of an encoded envelope: the history keeps it with each event of its append."""

_UNFIT = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""What fastavro raises for a value that does not fit its schema."""


Upgrade = Callable[[bytes], dict[str, Any]]
"""From an event's own bytes to its fields in the newest shape; new ones with every call."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One event type of a category's union: its short name, its upcasting version, its parsed schema.

    `upgrade` leads to the shape that today's code knows (`bridge.log.newest`); None where this is that shape.
    """

    type: str
    version: int
    schema: Any
    index: int
    upgrade: Upgrade | None = None


def _as_it_is(_: Branch) -> None:
    """No upgrade."""


class CategorySchema:
    """A category's `Append` schema under its id in the registry, ready to read and write."""

    def __init__(
        self, schema_id: int, schema: Schema, upgrade_of: Callable[[Branch], Upgrade | None] = _as_it_is
    ) -> None:
        self.id = schema_id
        self.schema = schema
        self.branches = tuple(replace(branch, upgrade=upgrade_of(branch)) for branch in _branches(schema))
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
        for index, event in enumerate(event_types(schema))
    )


class Slice(msgspec.Struct, frozen=True, gc=False):
    """One event of an append: its branch, its fields as written, and its own Avro bytes (branch number and body)."""

    branch: Branch
    data: dict[str, Any]
    raw: bytes

    @property
    def newest(self) -> dict[str, Any]:
        """The fields as today's code has them: what every fold is given. Raises whatever an upcast raises."""
        upgrade = self.branch.upgrade
        return self.data if upgrade is None else upgrade(self.raw)


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """An append: what it says of itself, the same as its own bytes, and its events."""

    said: Envelope
    envelope: bytes
    events: list[Slice]


def encode(schema: CategorySchema, envelope: Envelope, events: list[tuple[Branch, Mapping[str, Any]]]) -> bytes:
    """The record's value. Raises SchemaError when something does not fit its type, TooLarge for a long envelope."""
    out = io.BytesIO()
    out.write(schema.prefix)
    try:
        size = out.write(write_envelope(envelope))
    except _UNFIT as error:
        raise SchemaError(f"the envelope does not fit its type: {error}") from error
    if size > MAX_ENVELOPE:
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
    said, end = envelope_at(value, PREFIX.size)
    if end - PREFIX.size > MAX_ENVELOPE:
        raise Undecodable(f"the envelope has {end - PREFIX.size} bytes, more than {MAX_ENVELOPE}")
    events, place = _slices(schema, value, end, count)
    if len(events) != count:
        raise Undecodable(f"the value holds {len(events)} events, the header says {count}")
    if place != len(value):
        raise Undecodable(f"{len(value) - place} bytes stand behind the append")
    return Decoded(said, value[PREFIX.size : end], events)


def _slices(schema: CategorySchema, value: bytes, place: int, most: int) -> tuple[list[Slice], int]:
    """(the events of the array's blocks that begin at the place, `most` at most; the place behind them)."""
    found: list[Slice] = []
    source = io.BytesIO(value)
    count, place = read_long(value, place)
    while count:
        if count < 0:
            _, place = read_long(value, place)  # a negative count is followed by the block's size in bytes
        if len(found) + abs(count) > most:
            raise Undecodable(f"the value holds {len(found) + abs(count)} events, the header says {most}")
        for _ in range(abs(count)):
            event = _slice(schema, source, value, place)
            place += len(event.raw)
            found.append(event)
        count, place = read_long(value, place)
    return found, place


def _slice(schema: CategorySchema, source: io.BytesIO, value: bytes, start: int) -> Slice:
    """The event that begins at the place."""
    number, place = read_long(value, start)
    if not 0 <= number < len(schema.branches):
        raise Undecodable(f"schema {schema.id} has no event type number {number}")
    branch = schema.branches[number]
    source.seek(place)
    data: Any = schemaless_reader(source, branch.schema, None)
    return Slice(branch, data, value[start : source.tell()])


def read_envelope(raw: bytes) -> Envelope:
    """The envelope from its own bytes, as `Decoded.envelope` holds them."""
    return envelope_at(raw, 0)[0]


def read_event(schema: CategorySchema, raw: bytes) -> Slice:
    """One event from its own bytes, as `Slice.raw` holds them."""
    return _slice(schema, io.BytesIO(raw), raw, 0)


def type_of(schema: CategorySchema, raw: bytes) -> str:
    """The type of one event by its branch number, its fields left undecoded. Raises IndexError, Undecodable."""
    return schema.branches[read_long(raw, 0)[0]].type
