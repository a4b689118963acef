"""What is appended: accounts of examples/bank where it is installed, else commits of the platform's own projects."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from fastavro import parse_schema, schemaless_writer

from benchmarks.figure import NotMeasured
from bridge.application import registered
from bridge.events import Envelope, Event
from bridge.log import ids
from bridge.log.avro import CategorySchema, encode
from bridge.log.record import headers_of, partition_of

ACTOR = "benchmark"
KNOWN = {
    "account": (Event("AccountOpened", {"owner": "Ada"}), Event("MoneyDeposited", {"amount": 10})),
    "project": (Event("CommitRecorded", {"sha": "a" * 40, "message": "a"}),) * 2,
}


@dataclass(frozen=True)
class Sample:
    """A category with the event that begins its streams, and the one that goes on."""

    category: str
    first: Event
    next: Event

    def event(self, version: int) -> Event:
        """The event of a version."""
        return self.next if version else self.first

    def events(self, version: int, count: int) -> list[Event]:
        """The events of an append."""
        return [self.event(version + index) for index in range(count)]

    def streams(self, name: str, count: int) -> list[str]:
        """That many streams' names."""
        return [f"{self.category}/{name}-{number}" for number in range(count)]


@cache
def sample() -> Sample:
    """The first known category that is registered."""
    there = registered().categories
    for category, events in KNOWN.items():
        if category in there:
            return Sample(category, *events)
    raise NotMeasured(f"none of the categories {', '.join(KNOWN)} is registered")


@dataclass(frozen=True, slots=True)
class Ready:
    """A record ready to be sent."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: list[tuple[str, str | bytes | None]]


@dataclass(frozen=True)
class Writer:
    """Makes records of the sample's category without the platform's write side: what a bare producer would send."""

    schema: CategorySchema
    topic: str
    partitions: int

    @cached_property
    def parsed(self) -> Any:
        """The category's schema as fastavro wants it."""
        return parse_schema(self.schema.schema)

    def value(self, events: Sequence[Event], time: int) -> bytes:
        """The Avro bytes of an append; `time` is in microseconds."""
        branches = [(self.schema.by_type[event.type], event.data) for event in events]
        return encode(self.schema, Envelope(ACTOR, time), branches)

    def bare_value(self, events: Sequence[Event], time: int) -> bytes:
        """The same bytes as any fastavro user would make them, from one dictionary and the category's schema."""
        out = io.BytesIO()
        out.write(self.schema.prefix)
        union = [(f"lighthouse.{sample().category}.{event.type}", event.data) for event in events]
        fields = {"actor": ACTOR, "time": time, "correlation": "", "causation": "", "metadata": {}, "events": union}
        schemaless_writer(out, self.parsed, fields)
        return out.getvalue()

    def record(self, stream: str, value: bytes, expected: int, count: int) -> Ready:
        """A guarded append; its id is a hash of stream and version, as with an Idempotency-Key."""
        key = stream.encode()
        append = ids.append_id(stream, ACTOR, str(expected))
        headers = headers_of(append, expected, count, ids.NO_REQUEST)
        return Ready(self.topic, partition_of(key, self.partitions), key, value, headers)

    def singles(self, streams: Sequence[str], each: int, time: int) -> Iterator[Ready]:
        """Appends of one event, in turn to each stream; all with the same two values, encoded once."""
        values = [self.value(sample().events(version, 1), time) for version in (0, 1)]
        for version in range(each):
            for stream in streams:
                yield self.record(stream, values[min(version, 1)], version, 1)

    def batches(self, streams: Sequence[str], each: int, count: int, time: int) -> Iterator[Ready]:
        """Appends of `count` events, in turn to each stream."""
        values = [self.value(sample().events(version, count), time) for version in (0, 1)]
        for number in range(each):
            for stream in streams:
                yield self.record(stream, values[min(number, 1)], number * count, count)
