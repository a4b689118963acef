"""A stream without what its events say: when each happened and of which type; and events found by their bytes."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from bridge.errors import SchemaError
from bridge.events import RecordedEvent
from bridge.history.events import PAGE, Range, decoded, newest, rows
from bridge.log.envelope import read_long
from bridge.log.registry import RegistryAway
from bridge.log.schemas import Schemas
from bridge.store.contract import View
from bridge.store.rows import EventRow

UNKNOWN = "?"
"""The type of an event whose schema nobody knows yet (P4)."""


@dataclass
class Outline:
    """Events from version `first` on. Times are microseconds on the two clocks, types are places in `names`."""

    first: int
    names: list[str] = field(default_factory=list)
    types: array[int] = field(default_factory=lambda: array("H"))
    effective: array[int] = field(default_factory=lambda: array("q"))
    event: array[int] = field(default_factory=lambda: array("q"))

    @property
    def stop(self) -> int:
        """The version behind the last one."""
        return self.first + len(self.types)

    def add(self, name: str, effective: int, event: int) -> None:
        """The next event."""
        if name not in self.names:
            self.names.append(name)
        self.types.append(self.names.index(name))
        self.effective.append(effective)
        self.event.append(event)


async def outline(view: View, schemas: Schemas, stream: str, start: int, stop: int) -> Outline:
    """The events in [start, stop); no event is decoded, so this is quick and parked streams have one too."""
    found = Outline(start)
    while found.stop < stop:
        page = await rows(view, stream, Range(found.stop, stop, PAGE))
        assert page, f"{stream} has no event {found.stop} below {stop}"
        for _, row in page:
            found.add(await _type(schemas, row), row.effective, row.event_time)
    return found


async def _type(schemas: Schemas, row: EventRow) -> str:
    if row.raw:
        return UNKNOWN
    try:
        schema = schemas.known(row.schema) or await schemas.reader(row.schema)
    except (RegistryAway, SchemaError):
        return UNKNOWN
    return schema.branches[read_long(row.event, 0)[0]].type


async def holding(
    view: View, schemas: Schemas, place: tuple[str, int], text: bytes, version: int
) -> AsyncIterator[RecordedEvent]:
    """The events up to a version whose bytes hold the text, the last first, in the newest shape of their types.

    `place` is stream and partition. Only those events are decoded: a million are looked through in a second or two.
    Raises Parked, Unavailable, and what an upcast raises.
    """
    stream, partition = place
    stop = version + 1
    while stop > 0:
        page = await rows(view, stream, Range(0, stop, PAGE, backward=True))
        for number, row in page:
            if text in row.event and not row.raw:
                yield newest(stream, partition, number, row, await decoded(schemas, stream, number, row))
        stop = page[-1][0]
