"""The rows of wiped spaces are removed some at a time, by a task that nobody waits for."""

from __future__ import annotations

import asyncio

import structlog

from bridge.errors import LighthouseError
from bridge.store.postgres.link import Link
from bridge.store.postgres.statements import SWEEP

log = structlog.get_logger()

AT_ONCE = 5000
"""Rows that one statement removes."""


class Sweeper:
    """Removes what wiped spaces have left, also those of processes that ended before they had done it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._task: asyncio.Task[None] | None = None
        self._due = False

    def begin(self) -> None:
        """Looks for such rows, from now on until there are none."""
        self._due = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="store sweeper")

    async def _run(self) -> None:
        try:
            while self._due:
                self._due = False
                while await self._sweep():
                    pass
        except LighthouseError as error:
            log.warning("rows of wiped spaces stay for now", error=str(error))

    async def _sweep(self) -> int:
        async with self._link.connection() as connection:
            removed: int = await connection.fetchval(SWEEP, AT_ONCE)
            return removed

    async def close(self) -> None:
        """Ends it; what is left is removed by whoever owns a space next."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
