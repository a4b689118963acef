"""The Redis adapter: the spaces of one server or cluster, as one process sees them.

Every commit is one script that compares the mark; nothing comes between its commands. See scripts.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias, cast

from bridge.errors import Fenced, LighthouseError, Unavailable
from bridge.settings import Settings
from bridge.store.contract import UNOWNED, Mark, Writes
from bridge.store.poller import Reached, not_reached
from bridge.store.ranges import sorted_rows
from bridge.store.redis.answers import looked, mark_of
from bridge.store.redis.link import Call, Link
from bridge.store.redis.node import Command, Limits
from bridge.store.redis.place import place_of
from bridge.store.redis.scripts import (
    BEAT,
    COMMIT,
    LOOK,
    OWN,
    UNDO_BYTES,
    UNDO_COMMITS,
    UNDO_MS,
    WIPE,
    Script,
    keys_of,
)
from bridge.store.redis.view import RedisView
from bridge.store.redis.watch import RedisWatch
from bridge.store.watching import FarStore, FarStores

MOST_ROWS = 5000
"""Rows that a commit may have: it is one script, and nobody reads while it runs."""

MOST_BYTES = 64 << 20
"""The same in bytes of keys and values."""

NOBODY = ""
Arguments: TypeAlias = Sequence[bytes | str | int]


class RedisStore(FarStore):
    """One space."""

    def __init__(self, space: str, link: Link, watch: RedisWatch, limits: Limits) -> None:
        super().__init__(space)
        self.keys: Sequence[bytes] = keys_of(space)
        self._link = link
        self._watch = watch
        self._limits = limits
        self._owner = NOBODY

    def view(self) -> RedisView:
        """See the contract. Raises LighthouseError for a closed store."""
        self._check_open()
        return RedisView(self.space, self.keys, self._link)

    async def own(self) -> Mark:
        """See the contract. The owner gets a name of its own, which every commit and beat of this object compares."""
        owner = uuid.uuid4().hex
        numbers = await self._change(OWN, (owner,))
        self._owner = owner
        return mark_of(numbers)

    async def commit(self, mark: Mark, position: int, writes: Writes) -> Mark:
        """See the contract. Raises LighthouseError for a commit that is too large, Unavailable for an unknown outcome.

        The outcome is unknown where the answer is lost, or the replicas do not confirm in time: the mark tells (P5).
        """
        rows, deletes = sorted_rows(writes), sorted(writes.deletes)
        _require_small(self.space, writes)
        flat = (part for row in rows for part in row)
        kept = (UNDO_MS, UNDO_COMMITS, UNDO_BYTES)
        await self._compared(COMMIT, mark, (position, *kept, len(rows), *flat, *deletes))
        return Mark(mark.epoch, mark.commit + 1, position)

    async def wipe(self, mark: Mark) -> Mark:
        """See the contract. A view from before ends."""
        await self._compared(WIPE, mark, ())
        return Mark(mark.epoch, mark.commit + 1, UNOWNED.position)

    async def beat(self, mark: Mark) -> None:
        """See the contract."""
        self._check_open()
        (reply,) = await self._link.run(Call(BEAT, self.keys, (self._owner, mark.epoch)))
        if reply == [0]:
            raise Fenced(f"{self.space} has another owner than that of {mark}")

    async def _compared(self, script: Script, mark: Mark, arguments: Arguments) -> None:
        try:
            expected = (self._owner, mark.epoch, mark.commit, mark.position)
            await self._change(script, (*expected, uuid.uuid4().hex, *arguments))
        except _Refused as error:
            found = f"{self.space} has the mark {mark_of(error.numbers)}, not {mark}"
            raise Fenced(f"{found}; another owner or commit came before") from None

    async def _change(self, script: Script, arguments: Arguments) -> list[bytes | None]:
        """Runs a script that changes the space, once. Raises _Refused, and Unavailable: then nobody knows (P5).

        WAIT counts the replicas that have what was written before on the same connection.
        """
        self._check_open()
        wanted, milliseconds = self._limits.replicas, round(self._limits.confirm * 1000)
        confirming: list[Command] = [("WAIT", wanted, milliseconds)] if wanted else []
        call = Call(script, self.keys, arguments, repeated=False)
        reply, *confirmed = await self._link.run(call, confirming)
        done, *numbers = cast("list[Any]", reply)
        if not done:
            raise _Refused(numbers)
        if confirmed and not (isinstance(confirmed[0], int) and confirmed[0] >= wanted):
            raise Unavailable(f"{self.space}: not confirmed by {wanted} replicas of Redis in time, but {confirmed[0]}")
        return numbers

    def _be_watched(self, hurry: bool) -> None:
        self._watch.add(self, hurry)

    async def _last_look(self, position: int, timeout: float, keys: Sequence[bytes]) -> Reached:
        (reply,) = await self._link.run(Call(LOOK, self.keys, ("", "", *keys)))
        found, values = looked(self.space, reply)
        if found.mark.position < position:
            raise not_reached(self.space, position, found.mark, timeout)
        return found.mark, values


class _Refused(Exception):
    """The mark, or the owner, is not the space's; `numbers` are those of its mark."""

    def __init__(self, numbers: list[bytes | None]) -> None:
        self.numbers = numbers


def _require_small(space: str, writes: Writes) -> None:
    """Nothing of a larger commit is sent: in pieces it would not be one, and as one it would hold up everybody."""
    rows = len(writes.puts) + len(writes.deletes)
    size = sum(len(key) + len(value) for key, value in writes.puts.items())
    if rows > MOST_ROWS or size > MOST_BYTES:
        raise LighthouseError(
            f"a commit of {rows} rows and {size} bytes to {space} is too large for Redis, which takes {MOST_ROWS} rows "
            f"and {MOST_BYTES} bytes at once; commit fewer events at a time"
        )


class RedisStores(FarStores[RedisStore]):
    """The spaces of one Redis or cluster."""

    def __init__(self, url: str, settings: Settings) -> None:
        """`url` is one of `place.py`. Raises LighthouseError for any other."""
        self._limits = Limits.of(settings)
        if place_of(url).cluster:  # a master that was replaced would answer that it has done what is then discarded
            self._limits = replace(self._limits, replicas=max(1, self._limits.replicas))
        self._link = Link(url, self._limits)
        lookout = Link(url, replace(self._limits, connections=1))
        self._watch = RedisWatch(lookout)
        super().__init__(self._watch, lookout, self._link)

    async def confirming(self) -> tuple[int, int] | None:
        """How many replicas must confirm a commit in a cluster, and how many each master has at least; else None."""
        there = await self._link.replicas()
        return None if there is None else (self._limits.replicas, there)

    def _make(self, space: str) -> RedisStore:
        return RedisStore(space, self._link, self._watch, self._limits)
