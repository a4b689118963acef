"""The admitted order of one partition: its events as they were admitted, stream after stream mixed."""

from __future__ import annotations

import msgspec

from bridge.errors import Parked, Unavailable
from bridge.events import RecordedEvent
from bridge.history.events import PAGE_BYTES, decoded, newest
from bridge.log.schemas import Schemas
from bridge.store import keys
from bridge.store.contract import View
from bridge.store.rows import EventRow, unpack_order

CHUNK = 50
"""Rows that are fetched at once: as many may have 4 MiB each."""

Place = tuple[int, int]
"""(offset, index) of an event."""


class Unread(msgspec.Struct, frozen=True):
    """An admitted event whose bytes cannot be decoded yet (P4), in its place in the admitted order."""

    id: str
    stream: str
    version: int
    offset: int
    index: int
    effective: int
    error: str


Item = RecordedEvent | Unread
"""What the admitted order holds."""


class OrderPage(msgspec.Struct):
    """Events in admitted order, and where the rest begins; `ended` says that there was no rest in this view."""

    items: list[Item]
    next: Place
    ended: bool


async def page(view: View, schemas: Schemas, partition: int, start: Place, limit: int) -> OrderPage:
    """At most `limit` events from a place on, fewer where they grow large. Raises Unavailable without a registry."""
    found = await view.scan(b"o", start=keys.order(*start), limit=limit)
    items: list[Item] = []
    size = 0
    for first in range(0, len(found), CHUNK):
        if size > PAGE_BYTES:
            return OrderPage(items, _behind(items[-1]), False)
        names = [unpack_order(value) for _, value in found[first : first + CHUNK]]
        rows = await view.get_many([keys.event(*name) for name in names])
        for (stream, version), raw in zip(names, rows, strict=True):
            assert raw is not None, f"{stream} has no event {version}, which the admitted order names"
            size += len(raw)
            items.append(await _item(schemas, partition, stream, version, EventRow.unpack(raw)))
    return OrderPage(items, _behind(items[-1]) if items else start, len(found) < limit)


def _behind(item: Item) -> Place:
    return item.offset, item.index + 1


async def _item(schemas: Schemas, partition: int, stream: str, version: int, row: EventRow) -> Item:
    try:
        return newest(stream, partition, version, row, await decoded(schemas, stream, version, row))
    except Unavailable as error:
        if not isinstance(error, Parked):
            raise
        why = str(error)
    except Exception as error:  # an upcast is the application's code
        why = f"{type(error).__name__}: {error}"
    name = f"{row.append.hex()}:{row.index}"
    return Unread(name, stream, version, row.offset, row.index, row.effective, why)
