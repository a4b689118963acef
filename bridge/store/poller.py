"""Waiting for a position: a heap of waiters a space, and one poller a process for all spaces with waiters (P6)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush
from itertools import count
from typing import NamedTuple, Protocol

from bridge.errors import LighthouseError, NotReached
from bridge.store.contract import Mark

PERIOD = 0.001  # seconds between two looks; the event loop's timers make at most 2 ms of it
SLACK = 64

Reached = tuple[Mark, list[bytes | None]]
"""The mark that reached a position, and the rows that the waiter asked for, in one view."""

Read = Callable[[Sequence[bytes]], list[bytes | None]]
"""Reads rows in the view in which the mark was seen."""


class Waiter(NamedTuple):
    """One who waits for a position, and wants to read these rows in the view that has it."""

    position: int
    number: int
    keys: Sequence[bytes]
    future: asyncio.Future[Reached | None]

    def give(self, mark: Mark, read: Read) -> None:
        """Wakes it with the mark and its rows."""
        if not self.future.done():
            self.future.set_result((mark, read(self.keys) if self.keys else []))

    def fail(self, error: Exception) -> None:
        """Wakes it with an error."""
        if not self.future.done():
            self.future.set_exception(error)


class Waiters:
    """The waiters of one space, lowest position first. They belong to one event loop."""

    def __init__(self) -> None:
        self.live = 0
        self._heap: list[Waiter] = []
        self._number = count()

    async def until(self, position: int, timeout: float, keys: Sequence[bytes] = ()) -> Reached | None:
        """What reached the position, or None after `timeout` seconds."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reached | None] = loop.create_future()
        timer = loop.call_later(timeout, _expire, future)
        heappush(self._heap, Waiter(position, next(self._number), keys, future))
        self.live += 1
        try:
            return await future
        finally:
            timer.cancel()
            self.live -= 1
            self._tidy()

    def reached(self, mark: Mark, read: Read) -> None:
        """Wakes everybody whose position this mark has reached, with the rows as `read` finds them."""
        for waiter in self.due(mark.position):
            waiter.give(mark, read)

    def due(self, position: int) -> list[Waiter]:
        """Those who wait for no more than this position; they are the caller's now, to be given what they want."""
        heap, found = self._heap, []
        while heap and heap[0].position <= position:
            waiter = heappop(heap)
            if not waiter.future.done():
                found.append(waiter)
        return found

    def put_back(self, waiters: Iterable[Waiter]) -> None:
        """Those who must wait on."""
        for waiter in waiters:
            heappush(self._heap, waiter)

    def fail(self, error: Exception) -> None:
        """Wakes everybody with an error."""
        for waiter in self._heap:
            waiter.fail(error)
        self._heap.clear()

    def _tidy(self) -> None:
        """Waiters that have left stay in the heap until they outnumber the others."""
        if len(self._heap) > 2 * self.live + SLACK:
            self._heap = [entry for entry in self._heap if not entry.future.done()]
            heapify(self._heap)


def _expire(future: asyncio.Future[Reached | None]) -> None:
    if not future.done():
        future.set_result(None)


def not_reached(space: str, position: int, mark: Mark, timeout: float) -> NotReached:
    """The error of a wait that took too long."""
    lag = position - mark.position
    return NotReached(f"{space} is at {mark.position} and did not reach {position} within {timeout:g} s", lag)


class Watched(Protocol):
    """A space as the poller sees it."""

    waiters: Waiters

    async def look(self) -> None:
        """Wakes the waiters whose positions are reached by the mark as it is now, whichever process wrote it."""


class Poller:
    """Looks at the marks of the spaces that have waiters; without waiters it does not run at all."""

    def __init__(self) -> None:
        self._watched: set[Watched] = set()
        self._task: asyncio.Task[None] | None = None

    def watch(self, space: Watched) -> None:
        """Looks at the space from now on, until its last waiter has left."""
        self._watched.add(space)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="store poller")

    async def _run(self) -> None:
        while self._watched:
            await asyncio.sleep(PERIOD)
            for space in tuple(self._watched):
                await self._look(space)

    async def _look(self, space: Watched) -> None:
        if not space.waiters.live:
            self._watched.discard(space)
            return
        try:
            await space.look()
        except (LighthouseError, OSError) as error:
            space.waiters.fail(error)
