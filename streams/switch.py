"""B3: the owner of the system partition lets a new build answer once it is live in every partition."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from bridge.application import Catalog
from bridge.decisions import Advance, Decided, stream_of
from bridge.errors import KeyReused, LighthouseError
from bridge.handle import Context, Handler
from bridge.query.builds import BuildStatus, ProjectionStatus
from bridge.query.reader import Projections

log = structlog.get_logger()

EVERY = 0.25
"""Seconds between two looks whether a build that does not answer yet has become live."""

ACTOR = "lighthouse"


def due(status: ProjectionStatus, decided: Decided) -> BuildStatus | None:
    """The build that is to answer next: the newest of the registered ones, once it is live everywhere.

    It never goes back to an older one by itself: two versions of the code may be running.
    """
    ready = [build for build in status.builds if build.registered and build.live]
    newest = max(ready, key=lambda build: build.build, default=None)
    wanted = max((build.build for build in status.builds if build.registered), default=None)
    if newest is None or newest.build != wanted:
        return None
    return newest if decided.answering is None or newest.build > decided.answering else None


class Switch:
    """Looks at the builds while this process owns the system partition, and decides."""

    def __init__(
        self,
        catalog: Catalog,
        projections: Projections,
        handler: Handler,
        owns: Callable[[], bool],
        step: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`step` is told when a build is about to be let answer."""
        self._catalog = catalog
        self._projections = projections
        self._handler = handler
        self._owns = owns
        self._step = step

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Looks again and again while the context is open."""
        task = asyncio.create_task(self._run(), name="switch")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            if self._owns():
                try:
                    await self._look()
                except LighthouseError as error:
                    log.info("builds not looked at", error=str(error))

    async def _look(self) -> None:
        decisions = await self._projections.decisions()
        for name in self._projections.names:
            decided = decisions.of(name)
            versions = self._catalog.versions(name)
            if decided.answering is not None and decided.answering >= decided.newest(max(versions)):
                continue
            build = due(await self._projections.status(name), decided)
            if build is not None:
                self._step("B3")
                await self._decide(name, Advance(*build.build))

    async def _decide(self, name: str, answer: Advance) -> None:
        """Under one key, so that two owners decide it once."""
        context = Context(ACTOR, key=f"answer {answer.version}.{answer.generation}")
        try:
            done = await self._handler.execute(stream_of(name), answer, context)
        except KeyReused:  # decided once by code from before there was Advance, and taken back by somebody since
            return
        if done.last_version >= done.first_version and not done.duplicate:
            log.info("build answers", projection=name, version=answer.version, generation=answer.generation)
