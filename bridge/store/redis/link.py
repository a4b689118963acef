"""Scripts on the node that has their slot: found, found again after a fail-over, and never done twice unknowingly."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from bridge.errors import LighthouseError, Unavailable
from bridge.store.redis.node import Address, Command, Limits, Lost, Node, NotSent, Reply
from bridge.store.redis.place import place_of
from bridge.store.redis.scripts import Script
from bridge.store.redis.slots import Slots

PAUSE = 0.05
"""Seconds between two attempts to find who has a slot now."""

ELSEWHERE = (ClusterDownError, MovedError, ReadOnlyError, TryAgainError)
"""A node says so without having done anything: another one has the slot, or will have it soon."""


@dataclass(frozen=True)
class Call:
    """A script with its keys and arguments. One that may be `repeated` is sent again when no answer came."""

    script: Script
    keys: Sequence[bytes]
    arguments: Sequence[bytes | str | int] = ()
    repeated: bool = True

    @property
    def slot(self) -> int:
        """Where the keys lie in a cluster."""
        return key_slot(self.keys[0])

    @property
    def short(self) -> Command:
        """The command for a server that knows the script."""
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.arguments)

    @property
    def whole(self) -> Command:
        """The command for one that does not, and knows it from then on."""
        return ("EVAL", self.script.text, len(self.keys), *self.keys, *self.arguments)


class Attempt:
    """What is sent next, and what was said last."""

    def __init__(self, call: Call, confirmed: Sequence[Command]) -> None:
        self.error = "no node is known to have it"
        self._call = call
        self._confirmed = confirmed
        self._asked: Address | None = None
        self._whole = False

    def target(self, known: Node | None, slots: Slots) -> Node | None:
        """The node to be asked: the one that has the slot, or once the one that it is being moved to."""
        return slots.at(self._asked) if self._asked else known

    @property
    def commands(self) -> list[Command]:
        """What to send."""
        asking: list[Command] = [("ASKING",)] if self._asked else []
        return [*asking, self._call.whole if self._whole else self._call.short, *self._confirmed]

    def answer(self, replies: list[Reply]) -> list[Reply] | None:
        """The replies, or None where the next attempt must be another one. Raises Unavailable."""
        asked, self._asked = self._asked, None
        answer = replies[1:] if asked else replies
        match answer[0]:
            case NoScriptError():
                self._whole = True
            case MovedError() | ClusterDownError() | ReadOnlyError() | TryAgainError():
                pass  # to be sent to another node
            case AskError() as error:
                self._asked = (error.host, error.port)
            case ResponseError() as error:
                raise Unavailable(f"Redis: {error}")
            case _:
                return answer
        self.error = str(answer[0])
        return None


class Link:
    """The connections of one process to one Redis or cluster, for one event loop."""

    def __init__(self, url: str, limits: Limits) -> None:
        """Raises LighthouseError for a URL that names none."""
        place = place_of(url)
        self._cluster = place.cluster
        self._limits = limits
        self._slots = Slots(place, limits)

    async def run(self, call: Call, confirmed: Sequence[Command] = ()) -> list[Reply]:
        """The reply to the script, and to what is sent after it on the same connection.

        Raises Unavailable. Where the call must not be repeated and its answer was lost, it may have been done.
        """
        attempt = Attempt(call, confirmed)
        try:
            async with asyncio.timeout(self._limits.command):
                return await self._search(call, attempt)
        except TimeoutError as error:
            raise Unavailable(f"Redis: no answer within {self._limits.command:g} s; {attempt.error}") from error

    async def _search(self, call: Call, attempt: Attempt) -> list[Reply]:
        """Tries until a node answers; outside of a cluster there is but one, and nothing to be waited for."""
        while True:
            version = self._slots.version
            node = attempt.target(await self._slots.node(call.slot), self._slots)
            try:
                replies = await self._exchange(node, call, attempt) if node else None
            except (NotSent, Lost) as error:
                if not self._cluster or (isinstance(error, Lost) and not call.repeated):
                    raise Unavailable(f"Redis: {error}") from error
                attempt.error, replies = str(error), None
            answer = attempt.answer(replies) if replies else None
            if answer is not None:
                return answer
            await self._look_again(call, node, version, replies)

    async def _exchange(self, node: Node, call: Call, attempt: Attempt) -> list[Reply]:
        """A read waits for a silent node only so long: another one may have its place by then."""
        if not self._cluster or not call.repeated:
            return await node.exchange(attempt.commands)
        try:
            async with asyncio.timeout(self._limits.connect):
                return await node.exchange(attempt.commands)
        except TimeoutError as error:
            raise Lost(f"{node.address[0]}:{node.address[1]} does not answer") from error

    async def _look_again(self, call: Call, node: Node | None, version: int, replies: list[Reply] | None) -> None:
        """Before the next attempt: where the slot is now, for which a fail-over may need its time."""
        moved = next((reply for reply in replies or () if isinstance(reply, ELSEWHERE)), None)
        if replies and moved is None:
            return
        if not isinstance(moved, MovedError):
            await asyncio.sleep(PAUSE)
        elif not self._cluster:
            raise LighthouseError("Redis: the server is a node of a cluster; its URL begins with redis+cluster:")
        if self._cluster:
            await self._slots.ask_again(version, node.address if node else None)
        if isinstance(moved, MovedError):
            self._slots.move(call.slot, (moved.host or _host(node), moved.port))

    async def each(self, calls: Sequence[Call]) -> list[Reply | Unavailable]:
        """The reply to each script, all that one node has in one pipeline; an error of one is its reply."""
        places: dict[Node | None, list[int]] = defaultdict(list)
        for number, call in enumerate(calls):
            places[await self._slots.node(call.slot)].append(number)
        found: list[Reply] = [None] * len(calls)
        tasks = [self._together(node, [calls[number] for number in mine]) for node, mine in places.items()]
        for mine, replies in zip(places.values(), await asyncio.gather(*tasks), strict=True):
            for number, reply in zip(mine, replies, strict=True):
                found[number] = reply
        return found

    async def _together(self, node: Node | None, calls: Sequence[Call]) -> list[Reply | Unavailable]:
        """What the pipeline does not answer is asked once more by itself."""
        replies: Sequence[Reply] = [None] * len(calls)
        try:
            if node is not None:
                async with asyncio.timeout(min(self._limits.connect, self._limits.command)):
                    replies = await node.exchange([call.short for call in calls])
        except (NotSent, Lost, Unavailable, TimeoutError):
            pass
        return await asyncio.gather(*map(self._settled, calls, replies))

    async def _settled(self, call: Call, reply: Reply) -> Reply | Unavailable:
        if reply is not None and not isinstance(reply, ResponseError):
            return reply
        try:
            return (await self.run(call))[0]
        except Unavailable as error:
            return error

    async def close(self) -> None:
        """Closes every connection."""
        await self._slots.close()


def _host(node: Node | None) -> str:
    return node.address[0] if node else ""
