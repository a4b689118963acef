"""Scripts on the node that has their slot: found, found again after a fail-over, and never done twice unknowingly."""

from __future__ import annotations

import asyncio
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
from bridge.store.redis.node import Command, Limits, Lost, Node, NotSent, Reply
from bridge.store.redis.place import place_of
from bridge.store.redis.scripts import Script
from bridge.store.redis.slots import Slots

PAUSE = 0.05
"""Seconds between two attempts to find who has a slot now."""

ELSEWHERE = (AskError, ClusterDownError, MovedError, ReadOnlyError, TryAgainError)
"""A node says so without having done anything: another one has the slot, or will have it soon.

While a slot is moved, half of a space may be here and half there; it is waited for until it is whole again.
"""


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
        self._whole = False

    @property
    def commands(self) -> list[Command]:
        """What to send."""
        return [self._call.whole if self._whole else self._call.short, *self._confirmed]

    def answered(self, reply: Reply) -> bool:
        """Whether that is an answer, or must be sent again. Raises Unavailable for an error of another kind."""
        if not isinstance(reply, ResponseError):
            return True
        if not isinstance(reply, (NoScriptError, *ELSEWHERE)):
            raise Unavailable(f"Redis: {reply}") from reply
        self._whole = self._whole or isinstance(reply, NoScriptError)
        self.error = str(reply)
        return False


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
            version, node = self._slots.version, await self._slots.node(call.slot)
            try:
                replies: list[Reply] = await self._exchange(node, call, attempt) if node else [None]
            except (NotSent, Lost) as error:
                if not self._cluster or (isinstance(error, Lost) and not call.repeated):
                    raise Unavailable(f"Redis: {error}") from error
                attempt.error, replies = str(error), [None]
            if replies[0] is not None and attempt.answered(replies[0]):
                return replies
            await self._look_again(call, node, version, replies[0])

    async def _exchange(self, node: Node, call: Call, attempt: Attempt) -> list[Reply]:
        """A read waits for a silent node only so long: another one may have its place by then."""
        if not self._cluster or not call.repeated:
            return await node.exchange(attempt.commands)
        try:
            async with asyncio.timeout(self._limits.connect):
                return await node.exchange(attempt.commands)
        except TimeoutError as error:
            raise Lost(f"{node.address[0]}:{node.address[1]} does not answer") from error

    async def _look_again(self, call: Call, node: Node | None, version: int, reply: Reply) -> None:
        """Before the next attempt: where the slot is now, for which a fail-over may need its time."""
        if isinstance(reply, NoScriptError):
            return
        if not self._cluster and isinstance(reply, MovedError):
            raise LighthouseError("Redis: the server is a node of a cluster; its URL begins with redis+cluster:")
        if not isinstance(reply, MovedError):
            await asyncio.sleep(PAUSE)
        if self._cluster:
            await self._slots.ask_again(version, node.address if node else None)
        if isinstance(reply, MovedError) and node:
            self._slots.move(call.slot, (reply.host or node.address[0], reply.port))

    async def replicas(self) -> int | None:
        """How many replicas each master has at least; None outside of a cluster. Raises Unavailable."""
        return await self._slots.replicas() if self._cluster else None

    async def where(self, keys: Sequence[bytes]) -> Node | None:
        """The node that has these keys, as far as is known."""
        return await self._slots.node(key_slot(keys[0]))

    async def together(self, node: Node | None, calls: Sequence[Call]) -> list[Reply | Unavailable]:
        """The reply to each script, all in one pipeline; an error of one is its reply.

        What the pipeline does not answer is asked once more by itself, wherever it may be by then.
        """
        replies: Sequence[Reply] = [None] * len(calls)
        try:
            if node is not None and calls:
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
