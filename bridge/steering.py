"""What people decide of projections (rebuild, retry, skip, answer, drop) and of reactors (retry, skip, place).

Each is a command of category `system`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bridge.application import Catalog
from bridge.decisions import Answer, Begin, Build, Drop, Retry, Skip, stream_of, stream_of_reactor
from bridge.errors import Invalid, NotFound
from bridge.events import Appended
from bridge.handle import Commands, Context
from bridge.query.builds import BuildStatus, ProjectionStatus
from bridge.query.reactors import Reactors
from bridge.query.reader import Projections
from bridge.reactions import PlaceReactor, RetryReactor, SkipReactor
from bridge.reactor import Start
from bridge.store.rows import ParkedEvent

End = Callable[[str, int], Awaitable[int]]
"""Where a partition of a topic ends now."""


class Steering:
    """The commands of one process. All raise NotFound, Refused, KeyReused, Contended, Unavailable, Unknown."""

    def __init__(self, catalog: Catalog, commands: Commands, projections: Projections) -> None:
        self._catalog = catalog
        self._commands = commands
        self._projections = projections

    async def rebuild(self, name: str, version: int | None, context: Context) -> Appended:
        """Begins a version's rows once more, beside those that answer (B1); the newest version if none is named."""
        return await self._commands.execute(stream_of(name), Begin(self._version(name, version)), context)

    async def retry(self, name: str, version: int | None, context: Context) -> Appended:
        """Tries the events again at which a version stands still."""
        return await self._commands.execute(stream_of(name), Retry(self._version(name, version)), context)

    async def skip(self, name: str, event: str | None, context: Context) -> Appended:
        """Lets the projection go on without an event that it stands at; which one need not be said if it is alone.

        Raises NotFound where nothing stands at that event, Invalid where several do and none is named.
        """
        build, parked = _parked(await self._projections.status(name), event)
        skip = Skip(build.build[0], parked.event, parked.stream, parked.version, parked.error)
        return await self._commands.execute(stream_of(name), skip, context)

    async def answer(self, name: str, build: Build, context: Context) -> Appended:
        """Lets a build answer (B3), also an older one; raises Invalid while it is not complete everywhere."""
        found = await self._build(name, build)
        if not all(one.progress.complete for one in found.partitions) or not found.begun:
            raise Invalid("version", f"build {build[0]}.{build[1]} of {name} is not complete yet")
        return await self._commands.execute(stream_of(name), Answer(*build), context)

    async def drop(self, name: str, build: Build, context: Context) -> Appended:
        """Removes a build's rows (B4). One that was dropped before may be gone already."""
        if build not in (await self._projections.decisions()).of(name).dropped:
            await self._build(name, build)
        return await self._commands.execute(stream_of(name), Drop(*build), context)

    async def _build(self, name: str, build: Build) -> BuildStatus:
        found = {one.build: one for one in (await self._projections.status(name)).builds}
        if build not in found:
            known = ", ".join(f"{version}.{generation}" for version, generation in found)
            raise NotFound(f"projection {name} has no build {build[0]}.{build[1]}; there are: {known}")
        return found[build]

    def _version(self, name: str, version: int | None) -> int:
        versions = self._catalog.versions(name)
        if version is not None and version not in versions:
            known = ", ".join(map(str, sorted(versions)))
            raise NotFound(f"the code of {name} version {version} is not registered; there are: {known}")
        return max(versions) if version is None else version


def _parked(status: ProjectionStatus, event: str | None) -> tuple[BuildStatus, ParkedEvent]:
    name = status.projection.name
    standing = [
        (build, one.progress.parked)
        for build in status.builds
        for one in build.partitions
        if build.registered and one.progress.parked is not None
    ]
    found = [(build, parked) for build, parked in standing if event in (None, parked.event)]
    if not found:
        where = f"event {event[:80]!r}" if event is not None else "any event"
        raise NotFound(f"projection {name} does not stand still at {where}")
    if len({(build.build[0], parked.event) for build, parked in found}) > 1:
        raise Invalid("event", f"{name} stands still at several events; name one: {found[0][1].event} or another")
    return found[0]


class ReactorSteering:
    """What people decide of reactors. All raise NotFound, Refused, KeyReused, Contended, Unavailable, Unknown."""

    def __init__(self, commands: Commands, reactors: Reactors, end: End) -> None:
        self._commands = commands
        self._reactors = reactors
        self._end = end

    async def retry(self, name: str, context: Context) -> Appended:
        """Gives a reactor the events again at which it stands still, wherever it does."""
        self._reactors.known(name)
        return await self._commands.execute(stream_of_reactor(name), RetryReactor(), context)

    async def skip(self, name: str, event: str | None, context: Context) -> Appended:
        """Lets a reactor go on without an event that it stands at; which one need not be said if it is alone.

        Raises NotFound where it stands at none such, Invalid where it does at several and none is named.
        """
        found = [(one, one.parked) for one in (await self._reactors.status(name)).partitions if one.parked is not None]
        chosen = [(one, parked) for one, parked in found if event in (None, parked.event)]
        if not chosen:
            where = f"event {event[:80]!r}" if event is not None else "any event"
            raise NotFound(f"reactor {name} does not stand still at {where}")
        if len(chosen) > 1:
            raise Invalid("event", f"{name} stands still at several events; name one: {chosen[0][1].event} or another")
        one, parked = chosen[0]
        skip = SkipReactor(one.category, one.partition, parked.event)
        return await self._commands.execute(stream_of_reactor(name), skip, context)

    async def place(self, name: str, where: tuple[str, int], at: Start | int, context: Context) -> Appended:
        """Says where a reactor goes on in a partition whose offset it has lost.

        Raises Invalid for an offset that is not there, and where the reactor knows its place.
        """
        category, partition = where
        end = await self._end(self._reactors.topic(name, category, partition), partition)
        offset = {"beginning": 0, "end": end}[at] if isinstance(at, str) else at
        if not 0 <= offset <= end:
            raise Invalid("at", f"{category}-{partition} has offsets 0 to {end}, and not {offset}")
        if not await self._reactors.lost(name, where):
            raise Invalid("partition", f"reactor {name} knows where to go on in {category}-{partition}")
        return await self._commands.execute(stream_of_reactor(name), PlaceReactor(category, partition, offset), context)
