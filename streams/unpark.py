"""Unparking a stream (P4): its raw rows are decoded again and its state is folded on, in slices of bounded size.

What a slice writes is what a clean rebuild would have written, so I4 holds again as soon as the stream is free.
"""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from bridge.errors import Parked, SchemaError, Undecodable
from bridge.history.events import Range, head_of, parked_at, rows
from bridge.history.state import EVERY, LARGE, last_snapshot, state_at
from bridge.log.avro import Slice, decode, read_envelope, read_event
from bridge.log.schemas import Schemas
from bridge.store import keys
from bridge.store.contract import View, Writes
from bridge.store.rows import EventRow, Head, ParkedRow, pack_state, times, unpack_state
from bridge.typed import Typed

SLICE = 2_000
SLICE_BYTES = 128 * 1024 * 1024
"""More than any one append takes: a thousand envelopes of 64 KiB, and its 4 MiB."""

Ready = tuple[int, EventRow, Slice]
"""A version, its row as it should be, and its event."""


@dataclass(slots=True)
class _Fold:
    """What a slice has reached: event time so far, state, and the row of the error that stops it.

    `large` is whether the last snapshot is, as in the stream's head.
    """

    event_time: int
    state: Any
    version: int
    large: bool = False
    stopped: ParkedRow | None = None


async def unpark(view: View, schemas: Schemas, typed: Typed | None, stream: str) -> Writes | None:
    """The writes that take a parked stream on by one slice, or None when nothing has changed for it.

    Raises RegistryAway. A stream whose last slice this is loses its parked row; others keep one that says where.
    """
    why = await parked_at(view, stream)
    if why is None:
        return None
    head = await head_of(view, stream)
    try:
        fold = await _base(view, schemas, typed, stream, why.version)
    except Parked as error:
        return _stays(stream, why, ParkedRow(error.version, str(error)))
    writes = Writes()
    async for group in _groups(view, schemas, stream, fold, Range(why.version, head.next, SLICE)):
        for ready in group:
            _take(writes, typed, stream, fold, ready)
        if fold.stopped:
            break
    if fold.version < why.version and fold.stopped and fold.stopped.error == why.error:
        return None
    try:
        state = typed.encode(fold.state) if typed is not None and not fold.large else b""
    except Exception as error:  # the application's state, which msgspec does not know
        return _stays(stream, why, ParkedRow(why.version, f"{type(error).__name__}: {error}", traceback.format_exc()))
    if typed is not None and fold.large:
        writes.delete(keys.state(typed.version, stream))
    elif typed is not None and fold.version >= 0:
        writes.put(keys.state(typed.version, stream), pack_state(fold.version, state))
    return _finish(writes, stream, head, fold)


def _stays(stream: str, why: ParkedRow, now: ParkedRow) -> Writes | None:
    """A stream that gets no further, perhaps for another reason than before."""
    if (now.version, now.error) == (why.version, why.error):
        return None
    return Writes({keys.parked(stream): now.pack()})


async def _base(view: View, schemas: Schemas, typed: Typed | None, stream: str, version: int) -> _Fold:
    """The fold right before the version at which the stream is parked."""
    before = await view.get(keys.event(stream, version - 1)) if version else None
    event_time = times(before)[1] if before is not None else 0
    if typed is None:
        return _Fold(event_time, None, version - 1)
    state = await state_at(view, schemas, typed, stream, version - 1) if version else typed.decider.initial
    last = await view.get(last_snapshot(typed, stream, version)) if version >= EVERY else None
    return _Fold(event_time, state, version - 1, last is not None and len(unpack_state(last)[1]) > LARGE)


async def _groups(view: View, schemas: Schemas, stream: str, fold: _Fold, span: Range) -> AsyncIterator[list[Ready]]:
    """The appends of a range, decoded; ends, with `fold.stopped` set, at one that still cannot be."""
    found = _whole(await rows(view, stream, span, SLICE_BYTES), span)
    place = 0
    while place < len(found):
        version, _ = found[place]
        count = _append_size(found, place)
        try:
            group = await _decoded(schemas, [row for _, row in found[place : place + count]])
        except (SchemaError, Undecodable) as error:
            fold.stopped = ParkedRow(version, str(error))
            return
        yield [(version + index, row, event) for index, (row, event) in enumerate(group)]
        place += count


def _whole(found: list[tuple[int, EventRow]], span: Range) -> list[tuple[int, EventRow]]:
    """The rows without the last append where a limit may have cut it; an append is shorter than a slice."""
    if not found or found[-1][0] + 1 == span.stop:
        return found
    last = found[-1][1].offset
    return [(version, row) for version, row in found if row.offset != last]


def _append_size(found: list[tuple[int, EventRow]], place: int) -> int:
    """How many of the rows from `place` on belong to the same append."""
    offset = found[place][1].offset
    end = place
    while end < len(found) and found[end][1].offset == offset:
        end += 1
    return end - place


async def _decoded(schemas: Schemas, group: list[EventRow]) -> list[tuple[EventRow, Slice]]:
    """The rows of one append, decoded; raises SchemaError, Undecodable, RegistryAway."""
    schema = await schemas.reader(group[0].schema)
    if not group[0].raw:
        return [(row, read_event(schema, row.event)) for row in group]
    value = decode(schema, group[0].event, len(group))
    ready = [replace(row, raw=False, envelope=value.envelope) for row in group]
    return [(replace(row, event=event.raw), event) for row, event in zip(ready, value.events, strict=True)]


def _take(writes: Writes, typed: Typed | None, stream: str, fold: _Fold, ready: Ready) -> None:
    version, row, event = ready
    said = read_envelope(row.envelope).time
    fold.event_time = max(fold.event_time, said) if version else said
    writes.put(keys.event(stream, version), replace(row, event_time=fold.event_time).pack())
    if typed is not None and fold.stopped is None:
        _evolve(writes, typed, stream, fold, (version, event))
    if fold.stopped is None:
        fold.version = version


def _evolve(writes: Writes, typed: Typed, stream: str, fold: _Fold, ready: tuple[int, Slice]) -> None:
    version, event = ready
    try:
        state = typed.evolve(fold.state, event.branch.type, event.newest)
        if (version + 1) % EVERY == 0:
            encoded = typed.encode(state)
            writes.put(keys.snapshot(typed.version, stream, version), pack_state(version, encoded))
            fold.large = len(encoded) > LARGE
    except Exception as error:  # the application's code: whatever it raises keeps the stream parked
        fold.stopped = ParkedRow(version, f"{type(error).__name__}: {error}", traceback.format_exc())
        return
    fold.state = state


def _finish(writes: Writes, stream: str, head: Head, fold: _Fold) -> Writes:
    free = fold.stopped is None and fold.version == head.next - 1
    if free:
        writes.delete(keys.parked(stream))
        free_head = replace(head, parked=False, event_time=fold.event_time, large=fold.large)
        writes.put(keys.head(stream), free_head.pack())
    else:
        why = fold.stopped or ParkedRow(fold.version + 1, "being folded again")
        writes.put(keys.parked(stream), why.pack())
    return writes
