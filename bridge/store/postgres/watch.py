"""Who waits for a position, and the one task that looks for all of them (P6): a statement for all marks at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from bridge.errors import LighthouseError
from bridge.store.contract import UNOWNED, Mark
from bridge.store.poller import Waiter, Waiters
from bridge.store.postgres.answers import NOWHERE, mark_of, unpack
from bridge.store.postgres.link import Connection, Link
from bridge.store.postgres.statements import MARK_AND_ROWS, MARKS

PERIOD = 0.005
"""Seconds between two looks while somebody waits."""

SOON = 0.001
"""The same where somebody may wait for what is there already."""


class Watched(Protocol):
    """A space that somebody waits on."""

    space: str
    waiters: Waiters


class Watch:
    """Looks at the marks of the spaces that somebody waits on. While nobody waits, it does not run at all."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._watched: set[Watched] = set()
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def add(self, space: Watched, hurry: bool) -> None:
        """Looks at the space from now on, at once if there is a hurry, until its last waiter has left."""
        self._watched.add(space)
        if hurry:
            self._hurry.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="store watch")

    async def close(self) -> None:
        """Ends the looking; those who still wait must have been told."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await self._pause()
            self._watched = {space for space in self._watched if space.waiters.live}
            if not self._watched:
                return
            spaces = tuple(self._watched)
            try:
                await self._look(spaces)
            except (LighthouseError, OSError) as error:
                for space in spaces:
                    space.waiters.fail(error)

    async def _pause(self) -> None:
        await asyncio.sleep(SOON)
        try:
            async with asyncio.timeout(PERIOD - SOON):
                await self._hurry.wait()
        except TimeoutError:
            return
        self._hurry.clear()

    async def _look(self, spaces: Sequence[Watched]) -> None:
        waiting = {space.space: space.waiters for space in spaces}
        async with self._link.connection() as connection:
            owned = {row["space"]: row for row in await connection.fetch(MARKS, list(waiting))}
            for name, waiters in waiting.items():
                row = owned.get(name)
                mark = UNOWNED if row is None else mark_of(row)
                if due := waiters.due(mark.position):
                    await _serve(connection, waiters, due, NOWHERE if row is None else row["id"], mark)


async def _serve(connection: Connection, waiters: Waiters, due: Sequence[Waiter], space: int, mark: Mark) -> None:
    """Gives each what it wants, as one statement finds it. Whoever begins to wait meanwhile is not among them."""
    keys = sorted({key for waiter in due for key in waiter.keys})
    rows: Mapping[bytes, bytes] = {}
    try:
        if keys and space != NOWHERE:
            reached, rows = unpack(await connection.fetch(MARK_AND_ROWS, space, keys))
            if reached.position < mark.position:  # wiped in between
                waiters.put_back(due)
                return
            mark = reached
    except BaseException:
        waiters.put_back(due)  # to be told with all others
        raise
    for waiter in due:
        waiter.give(mark, lambda keys: [rows.get(key) for key in keys])
