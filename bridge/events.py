"""The nouns. Times are integers: microseconds since 1970-01-01 UTC.

What is made a million times a minute is a Struct of msgspec: frozen like a dataclass, made in a fifth of the time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from bridge.errors import Invalid

MAX_STREAM_BYTES = 255
MAX_EVENTS = 1_000
MAX_BYTES = 4 * 1024 * 1024

_STREAM = re.compile(r"[A-Za-z0-9._~@:+-]+/[A-Za-z0-9._~@:+/-]+")


@dataclass(frozen=True, slots=True)
class StreamId:
    """The name of one entity's stream, `category/id`; at most 255 bytes of `[A-Za-z0-9._~@:+-]` and `/`."""

    category: str
    id: str

    @classmethod
    def parse(cls, text: str) -> StreamId:
        """Raises Invalid, with the path `stream`, for a name outside the format's limits (R1)."""
        if not is_stream(text):
            raise Invalid("stream", f"{text[:80]!r} is not category/id of at most 255 of [A-Za-z0-9._~@:+-/]")
        category, _, key = text.partition("/")
        return cls(category, key)

    def __str__(self) -> str:
        return f"{self.category}/{self.id}"


def is_stream(text: str) -> bool:
    """Whether the text is a stream's name within the format's limits (R1)."""
    return len(text) <= MAX_STREAM_BYTES and _STREAM.fullmatch(text) is not None


class Event(msgspec.Struct, frozen=True):
    """An event to be written: the name of its Avro type and its fields as plain values."""

    type: str
    data: Mapping[str, Any]


class Envelope(msgspec.Struct, frozen=True):
    """What all events of one append share. `time` is the event time, in microseconds, as the writer says."""

    actor: str
    time: int
    correlation: str = ""
    causation: str = ""
    metadata: Mapping[str, str] = {}


class RecordedEvent(msgspec.Struct, frozen=True):
    """An admitted event. `effective` is the partition's effective time, `time` the writer's, both in microseconds.

    `event_time` is the running maximum of `time` in the stream, the second clock of time travel. `schema_version` is
    that of its type when it was written, also where `data` is in the shape of a newer one.
    """

    stream: str
    version: int
    type: str
    data: Mapping[str, Any]
    envelope: Envelope
    append: bytes
    index: int
    partition: int
    offset: int
    effective: int
    event_time: int
    schema_version: int

    @property
    def id(self) -> str:
        """`<append id>:<index>`, the same in every rebuild."""
        return f"{self.append.hex()}:{self.index}"


class Position(msgspec.Struct, frozen=True):
    """The offset that a store will apply next, in one partition of one topic."""

    topic: str
    partition: int
    offset: int


class Appended(msgspec.Struct, frozen=True):
    """The answer to an append: its versions, where it lies, and whether an earlier attempt had written it."""

    stream: str
    first_version: int
    last_version: int
    position: Position
    append: bytes
    duplicate: bool = False
