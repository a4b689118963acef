"""Who waits for a position, and the one task that looks for all of them (P6): a pipeline a node for all marks."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from bridge.errors import LighthouseError
from bridge.store.poller import Waiter, Waiters
from bridge.store.redis.answers import Seen, looked
from bridge.store.redis.link import Call, Link
from bridge.store.redis.node import Node
from bridge.store.redis.scripts import LOOK

PERIOD = 0.005
"""Seconds between two looks while somebody waits."""

SOON = 0.001
"""The same where somebody may wait for what is there already."""


Found: TypeAlias = tuple[Seen, list[bytes | None]]


class Watched(Protocol):
    """A space that somebody waits on."""

    space: str
    keys: Sequence[bytes]
    waiters: Waiters


Wanted: TypeAlias = tuple[Watched, Sequence[bytes]]
"""A space, and what is to be read there."""


class Watch:
    """Looks at the marks of the spaces that somebody waits on. While nobody waits, it does not run at all."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._watched: set[Watched] = set()
        self._task: asyncio.Task[None] | None = None
        self._looks: dict[Node | None, asyncio.Task[None]] = {}
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
        tasks = [task for task in (self._task, *self._looks.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._pause()
            self._watched = {space for space in self._watched if space.waiters.live}
            if not self._watched:
                return
            await self._begin_looks(tuple(self._watched))

    async def _begin_looks(self, spaces: Sequence[Watched]) -> None:
        """One look a node. A node that has not answered the last one holds up nobody but those who wait on it."""
        lanes: dict[Node | None, list[Watched]] = defaultdict(list)
        for space in spaces:
            with telling([space]):
                lanes[await self._link.where(space.keys)].append(space)
        for node in lanes.keys() - self._looks.keys():
            look = asyncio.get_running_loop().create_task(self._look(node, lanes[node]), name="store look")
            look.add_done_callback(lambda _, node=node: self._looks.pop(node))  # type: ignore[misc]
            self._looks[node] = look

    async def _pause(self) -> None:
        await asyncio.sleep(SOON)
        try:
            async with asyncio.timeout(PERIOD - SOON):
                await self._hurry.wait()
        except TimeoutError:
            return
        self._hurry.clear()

    async def _look(self, node: Node | None, spaces: Sequence[Watched]) -> None:
        with telling(spaces):
            await self._serve(node, spaces)

    async def _serve(self, node: Node | None, spaces: Sequence[Watched]) -> None:
        """First the marks; then, of the spaces that have come far enough, the rows with the mark in one view."""
        marks = await self._seen(node, [(space, ()) for space in spaces])
        due = [Due(space, found, space.waiters.due(found.mark.position)) for space, (found, _) in marks.items()]
        try:
            read = await self._seen(node, [(one.space, one.keys) for one in due if one.keys])
        except BaseException:
            for one in due:
                one.space.waiters.put_back(one.waiters)  # to be told with all others
            raise
        for one in due:
            one.serve(read.get(one.space))

    async def _seen(self, node: Node | None, wanted: Sequence[Wanted]) -> dict[Watched, Found]:
        """What each space says; those who wait on one that cannot say are told why."""
        replies = await self._link.together(node, [Call(LOOK, space.keys, ("", "", *keys)) for space, keys in wanted])
        found = {}
        for (space, _), reply in zip(wanted, replies, strict=True):
            if isinstance(reply, LighthouseError):
                space.waiters.fail(reply)
            else:
                found[space] = looked(space.space, reply)
        return found


@contextmanager
def telling(spaces: Sequence[Watched]) -> Iterator[None]:
    """Tells those who wait on the spaces what went wrong inside."""
    try:
        yield
    except (LighthouseError, OSError) as error:
        for space in spaces:
            space.waiters.fail(error)


@dataclass
class Due:
    """Those who waited for what a space has reached. Whoever begins to wait meanwhile is not among them."""

    space: Watched
    found: Seen
    waiters: Sequence[Waiter]

    def __post_init__(self) -> None:
        self.keys = sorted({key for waiter in self.waiters for key in waiter.keys})

    def serve(self, read: Found | None) -> None:
        """Gives each what it wants, or lets it wait on: the space was wiped in between, or did not answer."""
        found, values = read or (self.found, [])
        if (self.keys and read is None) or found.mark.position < self.found.mark.position:
            self.space.waiters.put_back(self.waiters)
            return
        rows = dict(zip(self.keys, values, strict=True))
        for waiter in self.waiters:
            waiter.give(found.mark, lambda wanted: [rows[key] for key in wanted])
