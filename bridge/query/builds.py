"""How the builds of a projection stand, partition by partition and all together."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bridge.decisions import Build, Decided
from bridge.projection import Projection
from bridge.spaces import Space, Spaces
from bridge.store import keys
from bridge.store.contract import View
from bridge.store.rows import Progress, times


class Standing(str, Enum):
    """What a build is doing in one partition; in all of them together, the first of these that holds in any."""

    PARKED = "parked"
    BUILDING = "building"
    STALE = "stale"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class InPartition:
    """One build in one partition: the offset it has come to, and the history's.

    `seconds` is the age of the oldest event that it has not seen, 0 where it has seen all.
    """

    category: str
    partition: int
    standing: Standing
    progress: Progress
    position: int
    end: int
    seconds: float


@dataclass(frozen=True, slots=True)
class BuildStatus:
    """One build in all partitions. `begun` is false while some owner has not seen it yet."""

    build: Build
    answering: bool
    registered: bool
    begun: bool
    partitions: tuple[InPartition, ...]

    @property
    def standing(self) -> Standing:
        """See Standing; a build that not every owner has seen is being built."""
        found = {one.standing for one in self.partitions} | (set() if self.begun else {Standing.BUILDING})
        return next((each for each in Standing if each in found), Standing.LIVE)

    @property
    def live(self) -> bool:
        """Whether it is fed with every commit, everywhere (B3)."""
        return self.begun and all(one.progress.live for one in self.partitions)

    @property
    def lag(self) -> int:
        """Records of the history that it has not seen, all partitions together."""
        return sum(one.end - one.position for one in self.partitions)

    @property
    def seconds(self) -> float:
        """The age of the oldest event that it has not seen, in seconds."""
        return max((one.seconds for one in self.partitions), default=0.0)

    @property
    def done(self) -> float:
        """What it has seen of the history, from 0 to 1."""
        end = sum(one.end for one in self.partitions)
        return sum(one.position for one in self.partitions) / end if end else 1.0

    @property
    def eta(self) -> float | None:
        """Seconds until it is done, as fast as it went so far; None where that is not known."""
        moving = [one for one in self.partitions if one.progress.until > one.progress.began]
        if not moving or self.standing is not Standing.BUILDING:
            return None
        took = max(one.progress.until for one in moving) - min(one.progress.began for one in moving)
        went = sum(one.position - one.progress.start for one in moving)
        return self.lag * took / 1e6 / went if went > 0 else None


@dataclass(frozen=True, slots=True)
class ProjectionStatus:
    """A projection with its builds, oldest first."""

    projection: Projection[Any]
    answering: Build
    builds: tuple[BuildStatus, ...]


def spaces_of(spaces: Spaces, projection: Projection[Any]) -> list[Space]:
    """The partitions that a projection reads."""
    return [space for space in spaces.all() if projection.reads(space.place.category)]


async def status(spaces: Spaces, versions: dict[int, Projection[Any]], decided: Decided) -> ProjectionStatus:
    """How a projection stands; `versions` are those whose code is registered."""
    newest = versions[max(versions)]
    fed, answering = set(decided.builds(versions)), decided.answers(list(versions))
    reading = spaces_of(spaces, newest)
    found: dict[Build, list[InPartition]] = {build: [] for build in fed}
    for space in reading:
        async with space.store.view() as view:
            for build, one in await _all(space, view, newest.name, fed):
                found.setdefault(build, []).append(one)
    builds = [
        BuildStatus(build, build == answering, build in fed, len(ones) == len(reading), tuple(ones))
        for build, ones in sorted(found.items())
    ]
    return ProjectionStatus(newest, answering, tuple(builds))


async def _all(space: Space, view: View, name: str, fed: Iterable[Build]) -> Sequence[tuple[Build, InPartition]]:
    found = await view.scan(keys.PROGRESS + keys.name(name), limit=1000)
    told = []
    for key, raw in found:
        build = keys.unpack_build(keys.unpack_progress(key)[1])
        told.append((build, await _one(space, view, Progress.unpack(raw), build in fed)))
    return told


async def _one(space: Space, view: View, progress: Progress, fed: bool) -> InPartition:
    end = max(view.mark.position, 0)
    position = end if progress.live else min(progress.offset, end)
    behind = 0.0 if progress.live else await age(view, progress.offset, progress.index)
    place = space.place
    return InPartition(place.category, place.partition, standing_of(progress, fed), progress, position, end, behind)


async def age(view: View, offset: int, index: int) -> float:
    """Seconds since the first event from a place on came in; 0 where there is none."""
    found = await view.scan(keys.ORDER, start=keys.order(offset, index), limit=1)
    row = await view.get(keys.event_in_order(found[0][1])) if found else None
    return max(0.0, time.time() - times(row)[0] / 1e6) if row is not None else 0.0


def standing_of(progress: Progress, fed: bool) -> Standing:
    """What a build is doing; `fed` says whether its code is registered."""
    if progress.live:
        return Standing.LIVE
    if not fed:
        return Standing.STALE
    return Standing.BUILDING if progress.parked is None else Standing.PARKED
