"""How projections did in the last minutes: their lag behind the log and how fast they go, looked at once a second.

Nothing is looked at while nobody looks at the page: the course begins with the first visit, and ends some time after
the last one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from bridge.errors import LighthouseError
from bridge.query.builds import BuildStatus, InPartition
from bridge.survey import PartitionStatus, survey
from bridge.wiring import Platform

EVERY = 1.0
KEPT = 900
"""Samples: a quarter of an hour."""
PATIENCE = 900.0
"""Seconds after the last visit for which it goes on."""

log = structlog.get_logger()

Ends = Mapping[tuple[str, int], PartitionStatus]


@dataclass(frozen=True, slots=True)
class Figures:
    """A projection at one moment: records and seconds behind the log, and how many records it has seen in all."""

    records: int
    seconds: float
    seen: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One look; `at` is in seconds since 1970."""

    at: float
    figures: dict[str, Figures]


class Course:
    """The last samples, and the task that takes them."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self._visited = 0.0
        self._task: asyncio.Task[None] | None = None

    def visit(self) -> None:
        """Says that somebody looks."""
        self._visited = time.monotonic()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Ends the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def since(self, after: float) -> dict[str, Any]:
        """What came after a moment, as arrays for the plots; None where a projection was not there."""
        found = [sample for sample in self._samples if sample.at > after]
        names = sorted({name for sample in found for name in sample.figures})
        return {"at": [sample.at for sample in found], "projections": {name: _arrays(found, name) for name in names}}

    async def _run(self) -> None:
        while time.monotonic() - self._visited < PATIENCE:
            try:
                self._samples.append(await look(self._platform))
            except LighthouseError as error:  # a gap in the plots; the page says the rest
                log.info("projections cannot be looked at", reason=str(error))
            await asyncio.sleep(EVERY)


def _arrays(samples: Sequence[Sample], name: str) -> dict[str, list[Any]]:
    figures = [sample.figures.get(name) for sample in samples]
    return {
        "records": [one.records if one else None for one in figures],
        "seconds": [one.seconds if one else None for one in figures],
        "seen": [one.seen if one else None for one in figures],
    }


async def look(platform: Platform) -> Sample:
    """One sample: each projection's answering build, or the one that is built in its place. Raises Unavailable."""
    ends = {(one.category, one.partition): one for one in await survey(platform.spaces, platform.reader)}
    figures = {}
    for name in platform.projections.names:
        builds = (await platform.projections.status(name)).builds
        if builds:
            figures[name] = figures_of(max(builds, key=lambda build: build.build), ends)
    return Sample(time.time(), figures)


def figures_of(build: BuildStatus, ends: Ends) -> Figures:
    """A build behind the log: what its owners have not applied yet counts too."""
    records = sum(_missing(one, ends) for one in build.partitions)
    seconds = max((_seconds(one, ends) for one in build.partitions), default=0.0)
    return Figures(records, round(seconds, 3), sum(one.position for one in build.partitions))


def _missing(one: InPartition, ends: Ends) -> int:
    known = ends.get((one.category, one.partition))
    return max(0, known.end - one.position) if known is not None else one.end - one.position


def _seconds(one: InPartition, ends: Ends) -> float:
    """The age of the oldest event that the build has not seen, or else of the oldest record that is not applied."""
    known = ends.get((one.category, one.partition))
    return max(one.seconds, known.behind if known is not None else 0.0)
