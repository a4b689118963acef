"""Rows of projections, now or as of a time, merged over the partitions that hold parts of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from heapq import merge
from itertools import groupby
from typing import Any

import msgspec

from bridge import states
from bridge.application import Catalog
from bridge.decisions import Build, Decisions
from bridge.errors import Invalid, LighthouseError, NotFound, NotReached, Rebuilding, Unavailable
from bridge.events import Position, is_stream
from bridge.projection import KEY_BYTES, Projection, stream_of_key
from bridge.query.builds import ProjectionStatus, spaces_of, status
from bridge.spaces import Limits, Space, Spaces
from bridge.store import keys
from bridge.store.contract import View
from bridge.store.rows import Clock, Progress, unpack_old
from bridge.system.follower import Follower
from bridge.ticks import Ticker

POLL = 0.02
"""Seconds between two looks at a build that is behind a position that was asked for."""

Wanted = Mapping[tuple[str, int], int]
"""Positions that an answer must have passed, by category and partition (read your writes)."""

Found = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class When:
    """When rows are asked for: now, or as of an effective time in microseconds; and what must have been seen.

    A row of a hot projection that is asked for now may be a moment old, unless `wanted` says otherwise.
    """

    time: int | None = None
    wanted: Wanted | None = None


NOW = When()


@dataclass(frozen=True, slots=True)
class Span:
    """At most `limit` rows whose keys begin with `prefix`, behind the key `after`, by the keys' order."""

    prefix: str = ""
    after: str = ""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Seen:
    """What an answer was read from: the build, how far it was, and whether the answer can still change (I7).

    `behind` says that the build stands still somewhere, parked or without its code.
    """

    projection: str
    build: Build
    final: bool
    behind: bool
    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row; `value` is what the projection put there, merged."""

    key: str
    value: Any
    seen: Seen


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in the order of their keys, and the key behind which the rest begins, None where this is all of them."""

    rows: list[tuple[str, Any]]
    next: str | None
    seen: Seen


@dataclass(frozen=True)
class _Asked:
    """One question: the code that decodes and merges, the build that answers, when, and until when (loop time)."""

    projection: Projection[Any]
    build: Build
    when: When
    deadline: float

    @property
    def prefix(self) -> bytes:
        """The prefix of the build's rows."""
        return keys.projection(self.projection.name, keys.build(*self.build))


@dataclass(frozen=True, slots=True)
class _Part:
    """What one partition holds of the answer."""

    space: Space
    found: Found
    position: int
    live: bool
    final: bool


class Projections:
    """The read side of projections in one process."""

    def __init__(self, spaces: Spaces, catalog: Catalog, follower: Follower, ticker: Ticker, limits: Limits) -> None:
        self._spaces = spaces
        self._catalog = catalog
        self._follower = follower
        self._ticker = ticker
        self._deadline, self._skew = limits.deadline, limits.clock_skew

    @property
    def names(self) -> list[str]:
        """The projections that are registered."""
        return sorted({projection.name for projection in self._catalog.projections})

    def follow(self) -> Decisions:
        """Begins to follow what is decided, and waits for nothing."""
        return self._follower.start()

    async def decisions(self) -> Decisions:
        """What was decided. Raises Unavailable."""
        return await self._follower.current(self._deadline)

    async def decisions_now(self) -> Decisions:
        """What was decided, with all that the log holds when this is called. Raises Unavailable."""
        return await self._follower.caught_up(self._deadline)

    async def status(self, name: str) -> ProjectionStatus:
        """How a projection stands. Raises NotFound, Unavailable."""
        versions = self._catalog.versions(name)
        return await status(self._spaces, versions, (await self.decisions()).of(name))

    async def row(self, name: str, key: str, when: When = NOW) -> Row:
        """One row. Raises NotFound, Invalid, Unavailable, NotReached."""
        if not key or len(key.encode()) > KEY_BYTES or "\0" in key:
            raise Invalid("key", f"a row's key has 1 to {KEY_BYTES} bytes, none of them zero")
        asked = await self._ask(name, when)
        holding = self._holding(asked.projection, key)
        parts = await self._parts(asked, holding, lambda view: _one(view, asked, key), key)
        values = _values(asked.projection, (raw for part in parts for _, raw in part.found))
        if not values:
            raise _placed(NotFound(f"projection {name} has no row {key[:80]!r}"), parts)
        return Row(key, _merged(asked.projection, values), _seen(asked, parts))

    async def rows(self, name: str, span: Span, when: When = NOW) -> Page:
        """Rows by their keys. Raises NotFound, Invalid, Unavailable, NotReached."""
        asked = await self._ask(name, when)
        spaces = spaces_of(self._spaces, asked.projection)
        parts = await self._parts(asked, spaces, lambda view: _many(view, asked, span))
        found = merge(*(part.found for part in parts), key=lambda row: row[0])
        rows: list[tuple[str, Any]] = []
        for key, same in groupby(found, key=lambda row: row[0]):
            if len(rows) == span.limit:
                return Page(rows, rows[-1][0], _seen(asked, parts))
            rows.append((key, _merged(asked.projection, _values(asked.projection, (raw for _, raw in same)))))
        return Page(rows, None, _seen(asked, parts))

    async def _ask(self, name: str, when: When) -> _Asked:
        versions = self._catalog.versions(name)
        build = (await self.decisions()).of(name).answers(list(versions))
        projection = versions.get(build[0], versions[max(versions)])
        if when.time is not None and not projection.versioned:
            raise Invalid("as_of", f"projection {name} keeps only its rows of now; declare it `versioned`")
        if when.time is not None and when.time > (time.time() + self._skew) * 1e6:
            raise Invalid("as_of", f"the time lies more than {self._skew:.0f} s ahead")
        return _Asked(projection, build, when, asyncio.get_running_loop().time() + self._deadline)

    def _holding(self, projection: Projection[Any], key: str) -> list[Space]:
        """The partitions that may hold a row of this key."""
        if projection.merge is not None:
            return spaces_of(self._spaces, projection)
        stream = stream_of_key(key)
        category = stream.partition("/")[0]
        known = is_stream(stream) and category in self._spaces.categories and projection.reads(category)
        return [self._spaces.of(stream)] if known else []

    async def _parts(self, asked: _Asked, spaces: Sequence[Space], read: Any, key: str = "") -> list[_Part]:
        """What the partitions hold; `key` is that of the only row that is read."""
        return [await _hot_part(asked, space, read, key) or await self._part(asked, space, read) for space in spaces]

    async def _part(self, asked: _Asked, space: Space, read: Any) -> _Part:
        """What one partition holds, once its build has passed the position that was asked for."""
        while True:
            async with space.store.view() as view:
                progress = await _progress(space, view, asked)
                position = view.mark.position if progress.live else progress.offset
                lag = _lag(space, asked, position)
                if not lag:
                    return await self._read(asked, space, view, progress, read)
            if asyncio.get_running_loop().time() > asked.deadline:
                raise NotReached(f"{asked.projection.name} in {space.place.space} is at {position}", lag)
            await asyncio.sleep(POLL)

    async def _read(self, asked: _Asked, space: Space, view: View, progress: Progress, read: Any) -> _Part:
        at = asked.when.time
        effective = Clock.unpack(await view.get(keys.CLOCK)).effective
        passed = progress.live or (progress.parked is not None and at is not None and at < progress.parked.effective)
        final = at is not None and at < effective and passed
        if at is not None and at >= effective:
            self._ticker.tick(space.place)
        position = view.mark.position if progress.live else progress.offset
        return _Part(space, await read(view), position, progress.live, final)


async def _hot_part(asked: _Asked, space: Space, read: Any, key: str) -> _Part | None:
    """The same from the hot space; None where that does not know, and the history's must be asked.

    A single row is read with those by which the space is judged: a far store is asked for a view, and once.
    """
    hot = space.hot
    if hot is None or asked.when.time is not None or not asked.projection.hot:
        return None
    least, progress = _least(space, asked), keys.progress(asked.projection.name, keys.build(*asked.build))
    row = (keys.row(asked.prefix, key),) if key else ()

    async def look(view: View) -> _Part | None:
        told = await hot.rows(view, (keys.rows(asked.prefix),), least, (progress, *row))
        if not told or told[0] is None or not Progress.unpack(told[0]).live:
            return None
        found = [(key, raw) for raw in told[1:] if raw is not None] if key else await read(view)
        return _Part(space, found, view.mark.position, True, False)

    return await hot.ask(space.place.space, look)


async def _progress(space: Space, view: View, asked: _Asked) -> Progress:
    """How far the answering build is here; raises Unavailable where it has never been complete."""
    await space.check_readable(view)
    name, (version, generation) = asked.projection.name, asked.build
    raw = await view.get(keys.progress(name, keys.build(version, generation)))
    progress = Progress.unpack(raw) if raw is not None else None
    if progress is None:
        raise Rebuilding(f"projection {name} {version}.{generation} is not begun yet in {space.place.space}")
    if not (progress.live or progress.complete):
        where = f"{progress.offset} of {max(view.mark.position, 0)}"
        why = f"parked: {progress.parked.error}" if progress.parked else "being built"
        raise Rebuilding(f"projection {name} {version}.{generation} is {why}, at {where} in {space.place.space}")
    return progress


def _least(space: Space, asked: _Asked) -> int:
    """The position that the answer must have passed in this partition."""
    return (asked.when.wanted or {}).get((space.place.category, space.place.partition), 0)


def _lag(space: Space, asked: _Asked, position: int) -> int:
    return max(0, _least(space, asked) - position)


async def _one(view: View, asked: _Asked, key: str) -> Found:
    if asked.when.time is None:
        raw = await view.get(keys.row(asked.prefix, key))
    else:
        raw = await _old(view, asked.prefix, key, asked.when.time)
    return [(key, raw)] if raw is not None else []


async def _old(view: View, prefix: bytes, key: str, at: int) -> bytes | None:
    """What a row was at a time: its last version at or before it."""
    found = await view.scan(
        keys.old_rows(prefix, key), stop=keys.old_row(prefix, key, max(at, 0) + 1), reverse=True, limit=1
    )
    return unpack_old(found[0][1]) if found else None


async def _many(view: View, asked: _Asked, span: Span) -> Found:
    """One row more than the limit, by which the page knows that there is a rest."""
    if asked.when.time is not None:
        return [row async for row in _many_old(view, asked, span)]
    whole = keys.row(asked.prefix, span.prefix)
    start = keys.row(asked.prefix, span.after) + b"\0" if span.after else None
    found = await view.scan(whole, start=start, limit=span.limit + 1)
    cut = len(asked.prefix) + 1
    return [(key[cut:].decode(), raw) for key, raw in found]


async def _many_old(view: View, asked: _Asked, span: Span) -> AsyncIterator[tuple[str, bytes]]:
    """Jumps from key to key, and takes of each what it was at the time."""
    assert asked.when.time is not None
    whole, cut = asked.prefix + b"v" + span.prefix.encode(), len(asked.prefix) + 1
    start = _behind(asked.prefix, span.after) if span.after else None
    left = span.limit + 1
    while left and (found := await view.scan(whole, start=start, limit=1)):
        key = found[0][0][cut:-9].decode()
        raw = await _old(view, asked.prefix, key, asked.when.time)
        if raw is not None:
            yield key, raw
            left -= 1
        start = _behind(asked.prefix, key)


def _behind(prefix: bytes, key: str) -> bytes:
    """The first key behind everything that a row has been."""
    return keys.old_rows(prefix, key)[:-1] + b"\1"


def _values(projection: Projection[Any], raws: Iterator[bytes]) -> list[Any]:
    try:
        return [states.decode(raw, projection.row) for raw in raws]
    except msgspec.ValidationError as error:
        hint = "its rows were written by other code, and the new build does not answer yet"
        raise Unavailable(f"projection {projection.name} cannot be read: {hint} ({error})") from error


def _merged(projection: Projection[Any], values: list[Any]) -> Any:
    if len(values) == 1:
        return values[0]
    assert projection.merge is not None, f"{projection.name} has a row in two partitions, and no merge"
    return reduce(projection.merge, values)


def _seen(asked: _Asked, parts: Sequence[_Part]) -> Seen:
    return Seen(
        projection=asked.projection.name,
        build=asked.build,
        final=asked.when.time is not None and all(part.final for part in parts),
        behind=not all(part.live for part in parts),
        positions=_positions(parts),
    )


def _positions(parts: Sequence[_Part]) -> tuple[Position, ...]:
    return tuple(part.space.place.at(part.position) for part in parts)


def _placed(error: LighthouseError, parts: Sequence[_Part]) -> LighthouseError:
    error.position = _positions(parts)
    return error
