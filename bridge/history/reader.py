"""The read side of one process: events, states and differences of a stream, at a version or at a time (H1-H3)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import jsonpatch

from bridge import states
from bridge.errors import Invalid, LighthouseError, NotFound, Parked
from bridge.events import Position, RecordedEvent, StreamId
from bridge.history.events import Range, decoded, existing, parked_at, read, rows
from bridge.history.outline import Outline, holding, outline
from bridge.history.state import at_head, between, parked, state_at
from bridge.history.times import ClockName, is_final, version_at
from bridge.log.avro import Slice
from bridge.log.schemas import Schemas
from bridge.spaces import Space, Spaces
from bridge.store import keys
from bridge.store.contract import View
from bridge.store.rows import Head, ParkedRow
from bridge.ticks import Ticker
from bridge.typed import Typed


@dataclass(frozen=True, slots=True)
class At:
    """A point of a stream: a version, or a time in microseconds on one of two clocks; neither stands for now."""

    version: int | None = None
    time: int | None = None
    clock: ClockName = ClockName.EFFECTIVE


NOW = At()


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What is known of a stream without folding it."""

    stream: str
    head: Head
    parked: ParkedRow | None
    position: Position


@dataclass(frozen=True, slots=True)
class Located:
    """The version that a point of a stream stands for, and whether that can still change."""

    version: int
    final: bool
    info: StreamInfo


@dataclass(frozen=True, slots=True)
class StateAt:
    """A state after the event of `version`; `final` says that nothing can change this answer any more (I7)."""

    stream: str
    version: int
    final: bool
    state: Any
    position: Position


@dataclass(frozen=True, slots=True)
class Change:
    """The states at two versions; `before` is -1 for the state that every stream begins with."""

    stream: str
    before: int
    after: int
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Page:
    """Events of a stream, and whether the time they were asked as of has become final.

    `next` is the version at which the rest of the range begins, None where this is all of it.
    """

    events: list[RecordedEvent]
    head: int
    next: int | None
    final: bool
    position: Position


@dataclass(frozen=True, slots=True)
class Diff:
    """From one state to another: a JSON Patch (RFC 6902), and the events between, oldest first."""

    stream: str
    before: int
    after: int
    patch: list[dict[str, Any]]
    events: list[RecordedEvent]
    position: Position


class History:
    """Reads what the processors have applied; never older than a position that was waited for."""

    def __init__(
        self, schemas: Schemas, spaces: Spaces, deciders: Mapping[str, Typed], ticker: Ticker, clock_skew: float
    ) -> None:
        self._schemas = schemas
        self._spaces = spaces
        self._deciders = deciders
        self._ticker = ticker
        self._skew = clock_skew

    async def info(self, stream: str) -> StreamInfo:
        """The stream's head and whether it is parked. Raises NotFound, Invalid, Unavailable."""
        async with self._view(stream) as (space, view):
            return StreamInfo(stream, await existing(view, stream), await parked_at(view, stream), _where(space, view))

    async def locate(self, stream: str, at: At = NOW) -> Located:
        """Where a point lies, without folding. Raises NotFound, Invalid, Unavailable."""
        async with self._view(stream) as (space, view):
            version, final = await self._resolve(space, view, stream, at)
            head, why = await existing(view, stream), await parked_at(view, stream)
            return Located(version, final, StreamInfo(stream, head, why, _where(space, view)))

    async def state(self, stream: str, at: At = NOW, least: int | None = None) -> StateAt:
        """The state at a point. Raises NotFound, Invalid, Parked, Unavailable.

        Whoever says the `least` position that the state of now must have seen may be given it from the hot store, a
        moment old.
        """
        typed = self._typed(stream)
        found = await self._hot_state(typed, stream, least) if (at.version, at.time) == (None, None) else None
        if found is not None:
            return found
        async with self._view(stream) as (space, view):
            version, final = await self._resolve(space, view, stream, at)
            state = await self._state(view, typed, stream, version)
            return StateAt(stream, version, final, state, _where(space, view))

    async def events(self, stream: str, span: Range, at: At = NOW) -> Page:
        """The events of a range, none later than the point: as many as its limit and 16 MiB of memory let.

        Raises NotFound, Invalid, Parked, Unavailable.
        """
        async with self._view(stream) as (space, view):
            head = await existing(view, stream)
            version, final = await self._resolve(space, view, stream, at)
            wanted = Range(span.start, min(span.stop, version + 1), span.limit, span.backward)
            found = await read(view, self._schemas, stream, space.place.partition, wanted)
            return Page(found, head.next, _following(found, wanted), final, _where(space, view))

    async def diff(self, stream: str, before: At, after: At, limit: int = 1000) -> Diff:
        """What changed between two points, and at most `limit` of the events between. Raises as `state` does."""
        typed = self._typed(stream)
        async with self._view(stream) as (space, view):
            first, _ = await self._resolve(space, view, stream, before)
            last, _ = await self._resolve(space, view, stream, after)
            old = states.plain(await self._state(view, typed, stream, first))
            new = states.plain(await self._state(view, typed, stream, last))
            between = Range(min(first, last) + 1, max(first, last) + 1, limit)
            events = await read(view, self._schemas, stream, space.place.partition, between)
            patch = list(jsonpatch.make_patch(old, new))
            return Diff(stream, first, last, patch, events, _where(space, view))

    async def change(self, stream: str, before: int, after: int) -> Change:
        """The states at two versions in one view, the later folded on from the earlier one where that is near.

        So what did not change is the same object in both. `before` may be -1. Raises as `state` does.
        """
        typed = self._typed(stream)
        async with self._view(stream) as (space, view):
            await self._resolve(space, view, stream, At(after))
            old = typed.decider.initial if before < 0 else await self._state(view, typed, stream, before)
            await self._check_folded(view, stream, after)
            new = await between(view, self._schemas, typed, stream, (before, old), after)
            return Change(stream, before, after, old, new)

    async def outline(self, stream: str, start: int, stop: int) -> Outline:
        """The times and types of the events in [start, stop), undecoded: about 2 µs an event. Raises NotFound."""
        async with self._view(stream) as (_, view):
            head = await existing(view, stream)
            return await outline(view, self._schemas, stream, start, min(stop, head.next))

    async def holding(self, stream: str, text: str, version: int) -> AsyncIterator[RecordedEvent]:
        """The events up to a version whose bytes hold a text, newest first. Raises as `events` does."""
        async with self._view(stream) as (space, view):
            async for event in holding(view, self._schemas, (stream, space.place.partition), text.encode(), version):
                yield event

    async def find(self, stream: str, type_: str, field: str, value: str) -> int:
        """The last version whose event of this type has a field, in its newest shape, that begins with `value`.

        Raises NotFound, Parked, Unavailable.
        """
        async with self._view(stream) as (_, view):
            stop = (await existing(view, stream)).next
            while stop > 0:
                page = await rows(view, stream, Range(0, stop, backward=True))
                for version, row in page:
                    event = await decoded(self._schemas, stream, version, row)
                    if event.branch.type == type_ and _field(stream, version, event, field).startswith(value):
                        return version
                stop = page[-1][0]
        raise NotFound(f"{stream} has no {type_} whose {field} begins with {value!r}")

    @asynccontextmanager
    async def _view(self, stream: str) -> AsyncIterator[tuple[Space, View]]:
        StreamId.parse(stream)
        space = self._spaces.of(stream)
        async with space.store.view() as view:
            try:
                await space.check_readable(view)
                yield space, view
            except LighthouseError as error:
                error.position = _where(space, view)
                raise

    async def _resolve(self, space: Space, view: View, stream: str, at: At) -> tuple[int, bool]:
        """(version, final) of a point. A time that is not final yet asks for a tick, so that it soon will be."""
        head = await existing(view, stream)
        if at.version is not None:
            if not 0 <= at.version < head.next:
                raise NotFound(f"{stream} has no version {at.version}: its last is {head.next - 1}")
            return at.version, True
        if at.time is None:
            return head.next - 1, False
        if at.time > (time.time() + self._skew) * 1e6:
            raise Invalid("as_of", f"the time lies more than {self._skew:.0f} s ahead")
        final = await is_final(view, head, at.time, at.clock)
        if not final and at.clock is ClockName.EFFECTIVE:
            self._ticker.tick(space.place)
        return await version_at(view, stream, head, at.time, at.clock), final

    async def _hot_state(self, typed: Typed, stream: str, least: int | None) -> StateAt | None:
        """The latest state from the hot space; None where that has none, as for a large state or a parked stream."""
        space = self._spaces.of(stream)
        hot = space.hot
        if hot is None or least is None:
            return None
        head, state = keys.head(stream), keys.state(typed.version, stream)
        prefixes, position = (keys.HEADS, keys.states(typed.version)), least

        async def look(view: View) -> StateAt | None:
            told = await hot.rows(view, prefixes, position, (head, state))
            folded = at_head(typed, *told) if told is not None else None
            return StateAt(stream, folded[0], False, folded[1], _where(space, view)) if folded is not None else None

        return await hot.ask(space.place.space, look)

    async def _state(self, view: View, typed: Typed, stream: str, version: int) -> Any:
        await self._check_folded(view, stream, version)
        return await state_at(view, self._schemas, typed, stream, version)

    async def _check_folded(self, view: View, stream: str, version: int) -> None:
        why = await parked_at(view, stream)
        if why is not None and version >= why.version:
            raise await parked(view, stream)

    def _typed(self, stream: str) -> Typed:
        category = StreamId.parse(stream).category
        if category not in self._deciders:
            self._spaces.of(stream)
            raise NotFound(f"category {category} has no decider, so its streams have events but no state")
        return self._deciders[category]


def _where(space: Space, view: View) -> Position:
    return space.place.at(view.mark.position)


def _field(stream: str, version: int, event: Slice, field: str) -> str:
    try:
        return str(event.newest.get(field, ""))
    except Exception as error:  # an upcast is the application's code
        raise Parked(f"{stream}: its event {version} cannot be read as today's: {error!r}", version) from error


def _following(found: Sequence[RecordedEvent], span: Range) -> int | None:
    """Where the rest of a range begins, None where there is no rest."""
    if not found:
        return None
    last = found[-1].version
    if span.backward:
        return last - 1 if last > span.start else None
    return last + 1 if last + 1 < span.stop else None
