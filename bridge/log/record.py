"""A record is an append (DESIGN 4): its headers, its limits, and R1, which tells a well-formed record from garbage.

Everything here is a pure function of the record's own bytes, its topic's category and the pinned partition count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct

import msgspec
from aiokafka.partitioner import murmur2

from bridge.events import MAX_BYTES, MAX_EVENTS, Position, is_stream

FORMAT = b"1"
H_FORMAT = "lh_format"
H_APPEND = "lh_append"
H_EXPECTED = "lh_expected"
H_COUNT = "lh_count"
H_REQUEST = "lh_request"
H_TICK = "lh_tick"
H_TRACE = "traceparent"
KNOWN = frozenset((H_FORMAT, H_APPEND, H_EXPECTED, H_COUNT, H_REQUEST, H_TICK))

APPEND_BYTES = 16
REQUEST_BYTES = 16
PREFIX = Struct(">BI")
"""Confluent wire format: magic 0 and the writer schema's id, before the Avro body."""

Headers = Sequence[tuple[str, bytes]]

ANY = b"any"
"""Expected version of an append that takes any."""

_USUAL = (H_FORMAT, H_APPEND, H_EXPECTED, H_COUNT, H_REQUEST)
_COUNTS = {b"%d" % count: count for count in range(1, MAX_EVENTS + 1)}
_DIGITS = 18
"""Decimals of the largest number that a header may hold; it fits into eight bytes."""


def topic_of(prefix: str, category: str) -> str:
    """The name of a category's topic."""
    return f"{prefix}.{category}"


@dataclass(frozen=True, slots=True)
class Place:
    """A partition of a category's topic, and the pinned number of partitions that R1 holds keys against."""

    topic: str
    category: str
    partition: int
    partitions: int

    @property
    def space(self) -> str:
        """The name of the partition's space in a store."""
        return f"{self.topic}-{self.partition}"

    def at(self, offset: int) -> Position:
        """A position in it."""
        return Position(self.topic, self.partition, offset)


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record as read from a partition. `time` is LogAppendTime in microseconds."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    time: int
    leader_epoch: int = -1


class AppendRecord(msgspec.Struct, frozen=True, gc=False):
    """A well-formed append, not yet judged and its events not yet decoded. `expected` is None for *any*."""

    stream: str
    append: bytes
    expected: int | None
    count: int
    request: bytes
    schema: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Malformed:
    """A record that R1 voids. `reason` is a sentence for the dead-letter topic."""

    reason: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A record that only moves effective time on."""


Parsed = AppendRecord | Malformed | Tick
TICK = Tick()


@lru_cache(maxsize=32768)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key, as Kafka's default partitioner computes it (murmur2, sign bit cleared)."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


@lru_cache(maxsize=32768)
def _stream_in(key: bytes | None, category: str, partition: int, partitions: int) -> str | None:
    """The stream that a record's key names, or None where R1 voids that key in this partition."""
    return stream_of(key) if key is not None and _wrong_key(key, category, partition, partitions) is None else None


@lru_cache(maxsize=32768)
def _version(expected: bytes | None) -> int | None:
    """The expected version as a header says it: -1 for any, None for what is no version."""
    if expected == ANY:
        return -1
    return int(expected) if expected and _is_number(expected) else None


@lru_cache(maxsize=32768)
def stream_of(key: bytes) -> str | None:
    """The stream that a record's key names, or None when it is not a stream's name."""
    if not key.isascii():
        return None
    text = key.decode("ascii")
    return text if is_stream(text) else None


def parse(record: Record, place: Place) -> Parsed:
    """R1: an append, a tick, or the reason why the record is void."""
    return _usual(record, place) or _parse(record, place)


def _usual(record: Record, place: Place) -> AppendRecord | None:
    """The append in a record with the headers of `headers_of`, or None where every rule has to be asked.

    What `_parse` says of the one layout that nearly all records have, in half the time.
    """
    headers = record.headers or ()
    if len(headers) != len(_USUAL):
        return None
    (format_, known), (append, id_), (expected, version), (count, number), (request, hash_) = headers
    if (format_, append, expected, count, request) != _USUAL or known != FORMAT or not (id_ and hash_):
        return None
    stream = _stream_in(record.key, place.category, place.partition, place.partitions)
    value, events, head = record.value or b"", _COUNTS.get(number), _version(version)
    if stream is None or events is None or head is None or len(id_) != APPEND_BYTES or len(hash_) != REQUEST_BYTES:
        return None
    if not PREFIX.size < len(value) <= MAX_BYTES or value[0] != 0:
        return None
    return AppendRecord(stream, id_, head if head >= 0 else None, events, hash_, PREFIX.unpack_from(value)[1], value)


def _parse(record: Record, place: Place) -> Parsed:
    headers = dict(record.headers or ())
    if len(headers) != len(record.headers or ()) and _repeats(record.headers):
        return Malformed("a header of this format stands twice")
    if H_TICK in headers:
        return _tick(record, headers)
    reason = (
        _wrong_key(record.key, place.category, place.partition, place.partitions)
        or _wrong_headers(headers)
        or _wrong_value(record.value)
    )
    return Malformed(reason) if reason else _append(record, headers)


def _append(record: Record, headers: dict[str, bytes]) -> AppendRecord:
    expected = headers[H_EXPECTED]
    value = record.value or b""
    return AppendRecord(
        stream=stream_of(record.key or b"") or "",
        append=headers[H_APPEND],
        expected=None if expected == ANY else int(expected),
        count=int(headers[H_COUNT]),
        request=headers[H_REQUEST],
        schema=PREFIX.unpack_from(value)[1],
        value=value,
    )


def _tick(record: Record, headers: dict[str, bytes]) -> Parsed:
    if record.key is not None or record.value or KNOWN & headers.keys() != {H_TICK}:
        return Malformed("a tick has no key, no value and no other header of this format")
    return TICK


def _repeats(headers: Headers) -> bool:
    names = [name for name, _ in headers if name in KNOWN]
    return len(names) != len(set(names))


def _wrong_key(key: bytes | None, category: str, partition: int, partitions: int) -> str | None:
    if key is None:
        return "the record has no key"
    stream = stream_of(key)
    if stream is None:
        return f"the key {key[:80]!r} is not a stream's name"
    if not stream.startswith(category + "/"):
        return f"the stream {stream} does not belong to category {category}"
    if (right := partition_of(key, partitions)) != partition:
        return f"{stream} belongs to partition {right} of {partitions}"
    return None


def _wrong_headers(headers: dict[str, bytes]) -> str | None:
    if headers.get(H_FORMAT) != FORMAT:
        return f"header {H_FORMAT} is {headers.get(H_FORMAT)!r}, not {FORMAT!r}"
    if len(headers.get(H_APPEND) or b"") != APPEND_BYTES:
        return f"header {H_APPEND} is not {APPEND_BYTES} bytes"
    if len(headers.get(H_REQUEST) or b"") != REQUEST_BYTES:
        return f"header {H_REQUEST} is not {REQUEST_BYTES} bytes"
    return _wrong_numbers(headers.get(H_EXPECTED) or b"", headers.get(H_COUNT) or b"")


def _wrong_numbers(expected: bytes, count: bytes) -> str | None:
    if expected != ANY and not _is_number(expected):
        return f"header {H_EXPECTED} is {expected[:40]!r}, neither a version nor any"
    if not _is_number(count) or not 1 <= int(count) <= MAX_EVENTS:
        return f"header {H_COUNT} is {count[:40]!r}, not a number from 1 to {MAX_EVENTS}"
    return None


def _is_number(text: bytes) -> bool:
    """ASCII decimals without leading zeros."""
    return text.isdigit() and len(text) <= _DIGITS and (text[0] != 0x30 or len(text) == 1)


def _wrong_value(value: bytes | None) -> str | None:
    if value is None or len(value) <= PREFIX.size:
        return "the value is too short for the Confluent wire format"
    if value[0] != 0:
        return f"the value's magic byte is {value[0]}, not 0"
    if len(value) > MAX_BYTES:
        return f"the value has {len(value)} bytes, more than {MAX_BYTES}"
    return None


def version_text(expected: int | None) -> bytes:
    """An expected version as headers and request hashes say it."""
    return ANY if expected is None else b"%d" % expected


def headers_of(
    append: bytes, expected: int | None, count: int, request: bytes, traceparent: str = ""
) -> list[tuple[str, str | bytes | None]]:
    """The headers of an append's record."""
    headers: list[tuple[str, str | bytes | None]] = [
        (H_FORMAT, FORMAT),
        (H_APPEND, append),
        (H_EXPECTED, version_text(expected)),
        (H_COUNT, b"%d" % count),
        (H_REQUEST, request),
    ]
    return [*headers, (H_TRACE, traceparent.encode())] if traceparent else headers
