"""The admitted order of one partition, page by page: what merged reads, replays and rebuilds are fed from.

A page is fetched in a view, which is left soon, and decoded afterwards. An event that cannot be decoded is in the page
all the same, as Unreadable: its stream is parked, and whoever reads many streams must be told, not miss it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from bridge.errors import SchemaError, Unavailable
from bridge.events import RecordedEvent
from bridge.feed.filters import EVERYTHING, Wanted
from bridge.log.avro import read_envelope, read_event, type_of
from bridge.log.registry import RegistryAway
from bridge.log.schemas import Schemas
from bridge.store import keys
from bridge.store.contract import Row, View
from bridge.store.rows import EventRow, times, unpack_order

Spot = tuple[int, int]
"""Offset and index of an event: its place in its partition's admitted order."""

START: Spot = (0, 0)
CHUNK = 256
"""Event rows that are asked for at once, at most."""


class Unreadable(msgspec.Struct, frozen=True):
    """An admitted event whose bytes nobody can decode yet (P4): what is known of it, and why it is not more."""

    stream: str
    version: int
    append: bytes
    index: int
    partition: int
    offset: int
    effective: int
    error: str

    @property
    def id(self) -> str:
        """As RecordedEvent.id: it will be the same event once it can be read."""
        return f"{self.append.hex()}:{self.index}"


Found = RecordedEvent | Unreadable


@dataclass(frozen=True, slots=True)
class Most:
    """How much one page reads: rows of the order, and bytes of events."""

    rows: int = 1000
    bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fetched:
    """Rows of one page, undecoded: of the wanted streams only. `next` is where the page after it begins.

    `last` is the effective time and place of the last row that was looked at, wanted or not, `looked` their number;
    `more` says whether the view holds rows behind it.
    """

    rows: list[tuple[bytes, bytes]]
    next: Spot
    last: tuple[int, Spot] | None
    more: bool
    looked: int


@dataclass(frozen=True, slots=True)
class Page:
    """The events of one page that pass the filter, in order; the rest as `Fetched` has it."""

    events: list[Found]
    next: Spot
    last: tuple[int, Spot] | None
    more: bool


async def fetch(view: View, start: Spot, most: Most, wanted: Wanted = EVERYTHING) -> Fetched:
    """The rows of one page from a place on, of the streams that the filter takes: a scan.

    An index may stand in for it: it answers fewer rows, and says the same of `next`, `last` and `more`.
    """
    streams = wanted.keys
    order = await view.scan(keys.ORDER, start=keys.order(*start), limit=most.rows)
    named = [row for row in order if row[1][8:] in streams] if streams is not None else order
    found = await event_rows(view, named, most.bytes)
    cut = len(found) < len(named)
    last = named[len(found) - 1] if cut else order[-1] if order else None
    if last is None:
        return Fetched([], start, None, False, 0)
    offset, index = keys.spot(last[0])
    rows = [(name[1], row) for name, row in zip(named, found, strict=False)]
    effective = await effective_of(view, last, rows)
    return Fetched(rows, (offset, index + 1), (effective, (offset, index)), cut or len(order) == most.rows, len(order))


async def event_rows(view: View, order: Sequence[Row], most_bytes: int) -> list[bytes]:
    """The events' rows, as many as the bytes let; asked for in chunks that shrink where rows are large."""
    found: list[bytes] = []
    largest, left = most_bytes // 16, most_bytes
    while len(found) < len(order) and left > 0:
        chunk = order[len(found) : len(found) + max(1, min(CHUNK, left // max(largest, 1)))]
        rows = await view.get_many([keys.event_in_order(value) for _, value in chunk])
        for row in rows:
            assert row is not None, "the order names an event that is not there"
            found.append(row)
        sizes = [len(row) for row in rows if row is not None]
        largest, left = max(sizes), left - sum(sizes)
    return found


async def effective_of(view: View, last: Row, rows: Sequence[tuple[bytes, bytes]]) -> int:
    """The effective time of a row of the order, which mostly is the last one that was fetched."""
    if rows and rows[-1][0] is last[1]:
        return times(rows[-1][1])[0]
    row = await view.get(keys.event_in_order(last[1]))
    assert row is not None, "the order names an event that is not there"
    return times(row)[0]


async def decode(
    schemas: Schemas,
    partition: int,
    rows: Iterable[tuple[bytes, bytes]],
    wanted: Wanted = EVERYTHING,
    newest: bool = False,
) -> list[Found]:
    """The events in fetched rows that pass the filter. What cannot be read passes it: nobody knows better.

    With `newest` their fields are in the newest shape, which projections are given; else as they were written.
    Raises Unavailable where a schema is not known here and the registry is away.
    """
    unpacked = [(order, EventRow.unpack(row)) for order, row in rows]
    unknown = await fetch_schemas(schemas, {row.schema for _, row in unpacked if not row.raw})
    decoder = _Decoder(schemas, partition, wanted, unknown, newest)
    return [event for order, row in unpacked if (event := decoder.event(order, row)) is not None]


async def fetch_schemas(schemas: Schemas, ids: Iterable[int]) -> dict[int, SchemaError]:
    """Schemas.fetch for readers: raises Unavailable where the registry is away."""
    try:
        return await schemas.fetch(ids)
    except RegistryAway as error:
        raise Unavailable(str(error)) from error


class _Decoder:
    """Decodes rows one after the other; the events of an append share one envelope."""

    def __init__(
        self, schemas: Schemas, partition: int, wanted: Wanted, unknown: dict[int, SchemaError], newest: bool
    ) -> None:
        self._schemas = schemas
        self._newest = newest
        self._partition = partition
        self._wanted = wanted if wanted.inside else None
        self._unknown = unknown
        self._offset = -1

    def event(self, order: bytes, row: EventRow) -> Found | None:
        """The event, or None where the filter does not want it."""
        stream, version = unpack_order(order)
        schema = self._schemas.known(row.schema)
        if row.raw or schema is None:
            return self._unreadable(stream, version, row, str(self._unknown.get(row.schema, "its stream is parked")))
        try:
            if row.offset != self._offset:
                self._envelope, self._offset = read_envelope(row.envelope), row.offset
            if self._wanted is not None and not self._wanted.takes(type_of(schema, row.event), self._envelope):
                return None
            event = read_event(schema, row.event)
            data = event.newest if self._newest else event.data
        except Exception as error:  # fastavro raises whatever the bytes lead it to, an upcast whatever it likes
            return self._unreadable(stream, version, row, f"{type(error).__name__}: {error}")
        return RecordedEvent(
            stream,
            version,
            event.branch.type,
            data,
            self._envelope,
            row.append,
            row.index,
            self._partition,
            row.offset,
            row.effective,
            row.event_time,
            event.branch.version,
        )

    def _unreadable(self, stream: str, version: int, row: EventRow, why: str) -> Unreadable:
        error = f"event {version} of {stream} cannot be decoded yet: {why}"
        return Unreadable(stream, version, row.append, row.index, self._partition, row.offset, row.effective, error)


async def page(
    view: View,
    schemas: Schemas,
    partition: int,
    start: Spot = START,
    wanted: Wanted = EVERYTHING,
    most: Most = Most(),
) -> Page:
    """One page of a partition's admitted order from a place on, decoded. Raises Unavailable."""
    found = await fetch(view, start, most, wanted)
    events = await decode(schemas, partition, found.rows, wanted)
    return Page(events, found.next, found.last, found.more)


async def spot_at(view: View, effective: int) -> Spot:
    """The first place whose effective time is at or behind this one; the position where there is none yet.

    A binary search over the offsets, since effective time never falls with them.
    """
    low, high = 0, max(view.mark.position, 0)
    while low < high:
        middle = (low + high) // 2
        found = await view.scan(keys.ORDER, start=keys.order(middle, 0), limit=1)
        if not found or await effective_of(view, found[0], ()) >= effective:
            high = middle
        else:
            low = keys.spot(found[0][0])[0] + 1
    return low, 0
