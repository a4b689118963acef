"""Servers that are to run for as long as their parent does: a process of theirs that ends is started again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from bridge.errors import LocalError
from bridge.local.child import Child

LONGEST = 30.0
"""Seconds to which the pause before another start grows; a child that has lived for longer begins with the first."""

EVERY = 0.5
"""Seconds between two looks."""

Say = Callable[[str], None]


class Served(Protocol):
    """What is kept of a server."""

    @property
    def children(self) -> Sequence[Child]:
        """Its processes."""

    def record(self) -> None:
        """Writes down who runs."""


class Kept:
    """One process of a server. The pause before a start is the child's own, and doubles with each that follows soon."""

    def __init__(self, server: Served, child: Child, say: Say) -> None:
        self._server = server
        self._child = child
        self._say = say
        self._pause = child.rest
        self._started = 0.0
        self._due: float | None = None

    def tend(self, now: float) -> None:
        """Starts the process if it has ended and its pause is over; waits for nothing. `now` is in seconds."""
        if self._child.exit_code is None:
            if now - self._started > LONGEST:
                self._pause = self._child.rest
        elif self._due is None:
            self._rest(now, self._child.ending)
        elif now >= self._due:
            self._start(now)

    def _rest(self, now: float, why: str) -> None:
        self._say(f"{why}; it is started again in {self._pause:g} s")
        self._due = now + self._pause
        self._pause = min(2 * self._pause, LONGEST)

    def _start(self, now: float) -> None:
        try:
            self._child.start()
            self._server.record()
        except (LocalError, OSError) as error:
            self._rest(now, str(error))
            return
        self._started, self._due = now, None
        self._say(f"{self._child.name} is started again")


async def keep(servers: Sequence[Served], say: Say) -> None:
    """Tends all processes of the servers until it is cancelled. `say` is told one line for each change."""
    kept = [Kept(server, child, say) for server in servers for child in server.children]
    while True:
        for one in kept:
            one.tend(time.monotonic())
        await asyncio.sleep(EVERY)
