"""The builds of projections in one partition: fed with each batch when live, from the history until then (B1-B4).

All of it happens in the owner's commits, so that rows, progress and history always agree.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import structlog
from msgspec.structs import replace

from bridge.cache import Cache
from bridge.decisions import Decided, Decisions
from bridge.feed.order import Found, Page, Spot
from bridge.projection import Projection
from bridge.store import keys
from bridge.store.contract import View, Writes
from bridge.store.rows import Progress
from streams.project import Build, Fold, decoded

log = structlog.get_logger()

DROPPED_AT_ONCE = 2_000
"""Rows of a dropped build that are removed in one commit."""

RowCache = Cache[tuple[int, str], Any]
"""Rows by the number of who keeps them and their keys."""

Read = Callable[[View, Spot, int], Awaitable[Page]]
"""A page of the partition's admitted order, with at most so many events."""

_numbers = count()


@dataclass(frozen=True)
class Projecting:
    """What a category's partitions are projected with."""

    projections: Sequence[Projection[Any]]
    decisions: Decisions
    rows: RowCache


NOTHING = Projecting((), Decisions(), Cache(0, 0))
"""No projections."""


@dataclass
class _Standing:
    """One build in this partition. `number` is its own in the row cache, for no owner may trust what another read."""

    build: Build
    progress: Progress
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def building(self) -> bool:
        """Whether it is to be fed from the history."""
        return not self.progress.live and self.progress.parked is None

    @property
    def place(self) -> Spot:
        """Where it goes on in the admitted order."""
        return self.progress.offset, self.progress.index


class Builds:
    """The builds of one partition under one owner."""

    def __init__(self, projecting: Projecting, space: str) -> None:
        self._projecting = projecting
        self._space = space
        self._decided = -1
        self._found: dict[bytes, Progress] = {}
        self._standing: dict[bytes, _Standing] = {}
        self._doomed: set[bytes] = set()

    async def open(self, view: View, writes: Writes) -> None:
        """P1: what is there, and what is to be fed. A live build without its code stands still from here on."""
        found = await view.scan(keys.PROGRESS, limit=10_000)
        self._found = {key: Progress.unpack(raw) for key, raw in found}
        self.consider(writes, view.mark.position)

    def consider(self, writes: Writes, position: int) -> None:
        """Heeds what was decided since the last time: builds begun, retired and dropped, retries and skips."""
        if self._decided == self._projecting.decisions.number:
            return
        if not self._projecting.decisions.complete:
            self._go_on(writes, position)
            return
        self._decided = self._projecting.decisions.number
        wanted = {build.progress: build for build in self._wanted()}
        for key, build in wanted.items():
            if key not in self._standing:
                self._standing[key] = _Standing(build, self._found.get(key, Progress()))
                self._note(writes, self._standing[key], self._standing[key].progress)
        for key in self._found.keys() - wanted.keys():
            self._retire(writes, key, position)
        for standing in self._standing.values():
            self._free(writes, standing)

    def _go_on(self, writes: Writes, position: int) -> None:
        """While it is not known yet what was decided: live builds whose code is here are fed, all else waits."""
        code = {(one.name, one.version): one for one in self._projecting.projections}
        for key, progress in self._found.items():
            name, number = keys.unpack_progress(key)
            version, generation = keys.unpack_build(number)
            if not progress.live:
                continue
            if (projection := code.get((name, version))) is None:
                self._retire(writes, key, position)
            else:
                self._standing.setdefault(key, _Standing(Build(projection, generation), progress))

    def _wanted(self) -> list[Build]:
        by_name: dict[str, dict[int, Projection[Any]]] = {}
        for projection in self._projecting.projections:
            by_name.setdefault(projection.name, {})[projection.version] = projection
        return [
            Build(versions[version], generation)
            for name, versions in by_name.items()
            for version, generation in self._projecting.decisions.of(name).builds(versions)
        ]

    def _retire(self, writes: Writes, key: bytes, position: int) -> None:
        """A build that nobody wants, or whose code this process has not, is not fed; a dropped one is removed."""
        progress = self._found[key]
        self._standing.pop(key, None)
        if progress.live:
            self._found[key] = replace(progress, live=False, offset=max(position, 0), index=0)
            writes.put(key, self._found[key].pack())
        name, number = keys.unpack_progress(key)
        if keys.unpack_build(number) in self._projecting.decisions.of(name).dropped:
            self._doomed.add(key)

    def _free(self, writes: Writes, standing: _Standing) -> None:
        """A retry that was asked for since it parked, or a skip of its event, lets a build go on."""
        why, decided = standing.progress.parked, self._of(standing)
        version = standing.build.projection.version
        if why is None:
            return
        if decided.retries.count(version) > why.retries or (version, why.event) in decided.skips:
            self._note(writes, standing, replace(standing.progress, parked=None))

    def try_unread(self) -> None:
        """Lets the builds go on that wait for an event which could not be decoded."""
        for standing in self._standing.values():
            if standing.progress.parked is not None and standing.progress.parked.unread:
                standing.progress = replace(standing.progress, parked=None)

    def _of(self, standing: _Standing) -> Decided:
        return self._projecting.decisions.of(standing.build.projection.name)

    def _note(self, writes: Writes, standing: _Standing, progress: Progress) -> None:
        standing.progress = progress
        self._found[standing.build.progress] = progress
        writes.put(standing.build.progress, progress.pack())

    @property
    def wants_events(self) -> bool:
        """Whether any build is live."""
        return any(standing.progress.live for standing in self._standing.values())

    @property
    def busy(self) -> bool:
        """Whether there is anything to do between batches."""
        decisions = self._projecting.decisions
        if not decisions.complete:
            return False
        behind = self._decided != decisions.number
        return behind or bool(self._doomed) or any(standing.building for standing in self._standing.values())

    # Live

    async def feed(self, view: View, items: Sequence[Found], writes: Writes) -> None:
        """P4: adds to a batch's writes what its admitted events change in the rows of every live build."""
        if not items:
            return
        for standing in self._standing.values():
            if standing.progress.live:
                fold = await self._fold(view, standing, items, writes)
                if fold.parked is not None:
                    self._park(writes, standing, fold, items)

    async def _fold(self, view: View, standing: _Standing, items: Sequence[Found], writes: Writes) -> Fold:
        """Folds the items as far as they go, and adds the rows to the writes."""
        known: dict[str, Any] = {}
        cached, number = self._projecting.rows.get, standing.number

        def look(key: str) -> Any:
            found = known.get(key)
            return found if found is not None else cached((number, key))

        fold = Fold(standing.build, look, self._of(standing).skips)
        while not fold.run(items):
            await self._fetch(view, standing, sorted(fold.missing), known)
        fold.write(writes)
        for key, row, size in fold.kept:
            self._projecting.rows.put((number, key), row, size)
        return fold

    async def _fetch(self, view: View, standing: _Standing, missing: list[str], known: dict[str, Any]) -> None:
        build = standing.build
        raws = await view.get_many([keys.row(build.prefix, key) for key in missing])
        for key, raw in zip(missing, raws, strict=True):
            known[key] = decoded(build, key, raw)
            self._projecting.rows.put((standing.number, key), known[key], len(raw or b""))

    def _park(self, writes: Writes, standing: _Standing, fold: Fold, items: Sequence[Found]) -> None:
        assert fold.parked is not None
        item = items[fold.done]
        parked = replace(fold.parked, retries=self._of(standing).retries.count(standing.build.projection.version))
        now = replace(standing.progress, live=False, offset=item.offset, index=item.index, parked=parked)
        self._note(writes, standing, now)
        said = {"build": str(standing.build), "space": self._space, "at": parked.event, "error": parked.error}
        log.warning("projection parked", **said)

    # From the history

    async def slice(self, view: View, read: Read, limit: int) -> Writes:
        """B2: feeds the builds that are furthest behind with the next events, or removes rows of a dropped build.

        A build that has come to the end is live from this commit on. The view must be the last commit's.
        """
        writes = Writes()
        self.consider(writes, view.mark.position)
        if self._doomed:
            await self._remove(view, writes, min(self._doomed))
            return writes
        building = [standing for standing in self._standing.values() if standing.building]
        if not building:
            return writes
        start = min(standing.place for standing in building)
        found = await read(view, start, limit)
        for standing in building:
            if standing.place == start:
                await self._advance(view, writes, standing, found)
        return writes

    async def _advance(self, view: View, writes: Writes, standing: _Standing, found: Page) -> None:
        fold = await self._fold(view, standing, found.events, writes)
        now = time.time_ns() // 1000
        before = standing.progress
        began, start = (before.began, before.start) if before.fed else (now, before.offset)
        counted = replace(before, fed=before.fed + fold.done, began=began, start=start, until=now)
        if fold.parked is not None:
            standing.progress = counted
            self._park(writes, standing, fold, found.events)
            return
        offset, index = found.next
        if not found.more:
            counted = replace(counted, live=True, complete=True)
            log.info("projection is live", build=str(standing.build), space=self._space, events=counted.fed)
        self._note(writes, standing, replace(counted, offset=offset, index=index))

    async def _remove(self, view: View, writes: Writes, key: bytes) -> None:
        """B4: removes a dropped build, some rows at a time, its progress last."""
        prefix = keys.projection(*keys.unpack_progress(key))
        found = await view.scan(prefix, limit=DROPPED_AT_ONCE)
        for row, _ in found:
            writes.delete(row)
        if len(found) < DROPPED_AT_ONCE:
            writes.delete(key)
            self._doomed.discard(key)
            self._found.pop(key, None)
