"""How all spaces that somebody waits on are looked at: a pipeline a node for all marks (P6)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from bridge.errors import LighthouseError
from bridge.store.poller import Waiter
from bridge.store.redis.answers import Seen, looked
from bridge.store.redis.link import Call, Link
from bridge.store.redis.node import Node
from bridge.store.redis.scripts import LOOK
from bridge.store.watching import Watch, Watched, telling

Found: TypeAlias = tuple[Seen, list[bytes | None]]


class Kept(Watched, Protocol):
    """A space that somebody waits on, and its keys."""

    keys: Sequence[bytes]


Wanted: TypeAlias = tuple[Kept, Sequence[bytes]]
"""A space, and what is to be read there."""


class RedisWatch(Watch[Kept]):
    """See Watch. A node that has not answered the last look holds up nobody but those who wait on it."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
        self._looks: dict[Node | None, asyncio.Task[None]] = {}

    def _looks_under_way(self) -> Iterable[asyncio.Task[None]]:
        return self._looks.values()

    async def _look(self, spaces: Sequence[Kept]) -> None:
        """Begins one look a node."""
        lanes: dict[Node | None, list[Kept]] = defaultdict(list)
        for space in spaces:
            with telling([space]):
                lanes[await self._link.where(space.keys)].append(space)
        for node in lanes.keys() - self._looks.keys():
            look = asyncio.get_running_loop().create_task(self._look_at(node, lanes[node]), name="store look")
            look.add_done_callback(lambda _, node=node: self._looks.pop(node))  # type: ignore[misc]
            self._looks[node] = look

    async def _look_at(self, node: Node | None, spaces: Sequence[Kept]) -> None:
        with telling(spaces):
            await self._serve(node, spaces)

    async def _serve(self, node: Node | None, spaces: Sequence[Kept]) -> None:
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

    async def _seen(self, node: Node | None, wanted: Sequence[Wanted]) -> dict[Kept, Found]:
        """What each space says; those who wait on one that cannot say are told why."""
        replies = await self._link.together(node, [Call(LOOK, space.keys, ("", "", *keys)) for space, keys in wanted])
        found = {}
        for (space, _), reply in zip(wanted, replies, strict=True):
            if isinstance(reply, LighthouseError):
                space.waiters.fail(reply)
            else:
                found[space] = looked(space.space, reply)
        return found


@dataclass
class Due:
    """Those who waited for what a space has reached. Whoever begins to wait meanwhile is not among them."""

    space: Kept
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
