"""The projections that the platform keeps of every category: activity, streams, and an index of events.

They are written as any other projection is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from struct import Struct

import msgspec

from bridge import states
from bridge.events import RecordedEvent
from bridge.projection import Projection, Rows
from bridge.times import rfc3339

MINUTE = 60_000_000

BLOCK_BITS = 10
"""An index row holds the offsets of one block of 1,024, two bytes an append: never more than 2 KiB."""

_IN_BLOCK = (1 << BLOCK_BITS) - 1
_OFFSET = Struct(">H")
LONGEST = 200
"""Bytes of an actor or a correlation id that stand in a key as they are; of a longer or odd one stands its hash."""


class StreamRow(msgspec.Struct, frozen=True):
    """A stream: the version its next event gets, and the effective times of its first and last, in microseconds."""

    head: int
    first: int
    last: int


@lru_cache(maxsize=64)
def minute(effective: int) -> str:
    """The minute that an effective time lies in, as `2026-11-24T14:29Z`."""
    return rfc3339(effective - effective % MINUTE)[:16] + "Z"


@lru_cache(maxsize=4096)
def _activity_key(number: int, category: str, type_: str) -> str:
    return f"{minute(number * MINUTE)}/{category}/{type_}"


def project_activity(event: RecordedEvent, rows: Rows[int]) -> None:
    """Events a minute, by category and type: `2026-11-24T14:29Z/project/FileCreated`."""
    key = _activity_key(event.effective // MINUTE, category_of(event.stream), event.type)
    rows.put(key, (rows.get(key) or 0) + 1)


def project_activities(events: Sequence[RecordedEvent], rows: Rows[int]) -> None:
    """The same for many."""
    counts = Counter([(event.effective // MINUTE, category_of(event.stream), event.type) for event in events])
    more = {_activity_key(*key): count for key, count in counts.items()}
    before = rows.get_many(more)
    for key, count in more.items():
        rows.put(key, before.get(key, 0) + count)


def project_streams(event: RecordedEvent, rows: Rows[StreamRow]) -> None:
    """A row a stream."""
    before = rows.get(event.stream)
    first = event.effective if before is None else before.first
    rows.put(event.stream, StreamRow(event.version + 1, first, event.effective))


def project_many_streams(events: Sequence[RecordedEvent], rows: Rows[StreamRow]) -> None:
    """The same for many: the last event of each stream says all, and the first one where the stream is new."""
    last = {event.stream: event for event in events}
    before = rows.get_many(last)
    first = {event.stream: event.effective for event in reversed(events)} if len(before) < len(last) else {}
    for stream, event in last.items():
        begun = before[stream].first if stream in before else first[stream]
        rows.put(stream, StreamRow(event.version + 1, begun, event.effective))


def project_index(event: RecordedEvent, rows: Rows[bytes]) -> None:
    """The appends that hold an event of a type, by an actor, of a correlation id: offsets, block by block.

    A row is of one partition alone, which its key names.
    """
    category, block = category_of(event.stream), event.offset >> BLOCK_BITS
    place = _OFFSET.pack(event.offset & _IN_BLOCK)
    _note(rows, index_key("type", event.type, category, event.partition, block), place)
    if event.index:
        return
    _note(rows, index_key("actor", event.envelope.actor, category, event.partition, block), place)
    if event.envelope.correlation:
        _note(rows, index_key("correlation", event.envelope.correlation, category, event.partition, block), place)


def project_indexes(events: Sequence[RecordedEvent], rows: Rows[bytes]) -> None:
    """The same for many: the places of each key together, without those that its row ends with."""
    places: dict[tuple[str, str, str, int, int], list[bytes]] = defaultdict(list)
    for event in events:
        category, partition = category_of(event.stream), event.partition
        block, place = event.offset >> BLOCK_BITS, _OFFSET.pack(event.offset & _IN_BLOCK)
        places["type", event.type, category, partition, block].append(place)
        if not event.index:
            places["actor", event.envelope.actor, category, partition, block].append(place)
            if event.envelope.correlation:
                places["correlation", event.envelope.correlation, category, partition, block].append(place)
    more = {index_key(*what): found for what, found in places.items()}
    before = rows.get_many(more)
    for key, found in more.items():
        known = before.get(key, b"")
        new = dict.fromkeys(found)
        new.pop(known[-2:], None)
        if new:
            rows.put(key, known + b"".join(new))


def _note(rows: Rows[bytes], key: str, place: bytes) -> None:
    before = rows.get(key) or b""
    if before[-2:] != place:
        rows.put(key, before + place)


@lru_cache(maxsize=8192)
def index_key(kind: str, value: str, category: str, partition: int, block: int) -> str:
    """The key of one block of what the index knows of a value in a partition."""
    return f"{index_prefix(kind, value, category, partition)}{block:012x}"


def index_prefix(kind: str, value: str, category: str, partition: int) -> str:
    """What the keys of all its blocks begin with. `kind` is type, actor or correlation."""
    plain = len(value.encode()) <= LONGEST and "#" not in value and "\0" not in value
    shown = value if plain else f"~{blake2b(value.encode(), digest_size=16).hexdigest()}"
    return f"{kind}:{shown}#{category}-{partition}/"


def offsets_in(key: str, raw: bytes) -> list[int]:
    """The offsets that a row of the index holds, ascending; `raw` is the row as it is stored."""
    block = int(key[-12:], 16) << BLOCK_BITS
    return [block + place for (place,) in _OFFSET.iter_unpack(states.decode(raw, bytes))]


@lru_cache(maxsize=32_768)
def category_of(stream: str) -> str:
    """The category of a stream."""
    return stream.partition("/")[0]


def only(one: bytes, other: bytes) -> bytes:
    """The merge of rows that no two partitions share."""
    raise AssertionError(f"two partitions have written one row: {one!r} and {other!r}")


ACTIVITY = Projection(
    "activity", 1, project_activity, int, merge=int.__add__, project_many=project_activities, hot=True
)
STREAMS = Projection("streams", 1, project_streams, StreamRow, project_many=project_many_streams, hot=True)
INDEX = Projection("index", 1, project_index, bytes, merge=only, project_many=project_indexes)
BUILT_IN = (ACTIVITY, STREAMS, INDEX)
