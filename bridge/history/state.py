"""The state of a stream at a version: the nearest fold at or below it, and the rest of the events (H2, H3)."""

from __future__ import annotations

from typing import Any

from bridge.errors import Parked
from bridge.history.events import PAGE, Range, decoded, parked_at, rows
from bridge.log.avro import Slice
from bridge.log.schemas import Schemas
from bridge.store import keys
from bridge.store.contract import View
from bridge.store.rows import Head, unpack_state
from bridge.typed import Typed

EVERY = 100
"""A snapshot holds the state after versions 99, 199, … : a read folds at most 99 events behind it."""

LARGE = 64 * 1024
"""Bytes of an encoded snapshot from which on the state is written every 100 versions only.

To write a state of a megabyte with each batch would make one append as slow as a hundred. The rule asks the last
snapshot, which is a function of the events alone, so that a rebuild in other batches comes to the same rows (I4).
"""

Folded = tuple[int, Any]
"""A version and the state after its event; version -1 is the initial state."""


async def state_at(view: View, schemas: Schemas, typed: Typed, stream: str, version: int) -> Any:
    """The state after the event of this version. Raises Parked where the fold cannot get there, Unavailable."""
    nearest = await _nearest(view, typed, stream, version)
    return await refold(view, schemas, typed, stream, nearest, version)


def at_head(typed: Typed, head: bytes | None, state: bytes | None) -> Folded | None:
    """The state at the head from these two rows alone; None where they do not hold it, and it must be folded."""
    if head is None or state is None:
        return None
    (version, encoded), stream = unpack_state(state), Head.unpack(head)
    if stream.parked or version != stream.next - 1:
        return None
    try:
        return version, typed.decode(encoded)
    except Exception:  # whoever folds it tells what is wrong with it
        return None


async def between(view: View, schemas: Schemas, typed: Typed, stream: str, known: Folded, version: int) -> Any:
    """The state after the event of this version, folded on from a known one where that is no longer a way."""
    if 0 <= version - known[0] <= EVERY:
        return await refold(view, schemas, typed, stream, known, version)
    return await state_at(view, schemas, typed, stream, version)


async def latest(view: View, schemas: Schemas, typed: Typed, stream: str, head: Head) -> Any:
    """The state at the head; the initial state for a stream without events. Raises Parked, Unavailable."""
    if head.parked:
        raise await parked(view, stream)
    return await state_at(view, schemas, typed, stream, head.next - 1) if head.next else typed.decider.initial


def last_snapshot(typed: Typed, stream: str, following: int) -> bytes:
    """The key of the last snapshot before the version that comes next, which is at least EVERY."""
    return keys.snapshot(typed.version, stream, following - following % EVERY - 1)


async def stored_size(view: View, typed: Typed, stream: str, head: Head) -> int | None:
    """Bytes of the state stored at the head, or of the last snapshot of a large one; None where there is none."""
    row = keys.state(typed.version, stream)
    if head.large:
        row = last_snapshot(typed, stream, head.next)
    raw = await view.get(row)
    return len(raw) if raw is not None else None


async def parked(view: View, stream: str) -> Parked:
    """The error that says why a stream is parked."""
    row = await parked_at(view, stream)
    assert row is not None, f"the head of {stream} says parked, but there is no reason"
    return Parked(f"{stream} is parked at version {row.version}: {row.error}", row.version)


async def refold(view: View, schemas: Schemas, typed: Typed, stream: str, known: Folded, version: int) -> Any:
    """Folds the events behind `known` up to and with `version`."""
    folded, state = known
    while folded < version:
        page = await rows(view, stream, Range(folded + 1, version + 1, PAGE))
        assert page, f"{stream} has no event {folded + 1} below {version}"
        for number, row in page:
            event = await decoded(schemas, stream, number, row)
            state = _evolve(typed, stream, number, state, event)
        folded = page[-1][0]
    return state


def _evolve(typed: Typed, stream: str, version: int, state: Any, event: Slice) -> Any:
    try:
        return typed.evolve(state, event.branch.type, event.newest)
    except Exception as error:  # upcasts and evolve are the application's: whatever they raise parks the stream (P4)
        raise Parked(f"{stream} cannot be folded beyond version {version - 1}: {error!r}", version) from error


async def _nearest(view: View, typed: Typed, stream: str, version: int) -> Folded:
    raw = await view.get(keys.state(typed.version, stream))
    if raw is not None and int.from_bytes(raw[:8], "big") == version:
        return version, _state(typed, stream, version, unpack_state(raw)[1])
    found = await view.scan(
        keys.snapshots(typed.version, stream),
        stop=keys.snapshot(typed.version, stream, version + 1),
        reverse=True,
        limit=1,
    )
    if not found:
        return -1, typed.decider.initial
    number, encoded = unpack_state(found[0][1])
    return number, _state(typed, stream, number, encoded)


def _state(typed: Typed, stream: str, version: int, encoded: bytes) -> Any:
    try:
        return typed.decode(encoded)
    except Exception as error:  # msgspec's errors, and whatever the application's class raises when it is made
        hint = f"the stored state does not fit decider version {typed.version}, which must be raised: {error!r}"
        raise Parked(f"{stream} cannot be read at version {version}: {hint}", version) from error
