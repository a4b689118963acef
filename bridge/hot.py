"""The hot store as readers see it: asked first, for a moment, and left alone for a while where it does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from bridge.errors import LighthouseError, Outlived, Unknown
from bridge.store import keys
from bridge.store.contract import UNOWNED, Store, Stores, View
from bridge.store.rows import Hot

log = structlog.get_logger()
T = TypeVar("T")

PATIENCE = 0.25
"""Seconds that a reader waits for the hot store before it asks the history's."""

REST = 1.0
"""Seconds for which a hot store that failed is asked by nobody, and then by one reader first."""

STANDING = (keys.HOT, keys.STOPPED, keys.REBUILD)


class HotRows:
    """The hot spaces of all partitions. `session` is how long an owner may not have beaten, in seconds.

    `answered` and `fell_through` count the questions that it answered, and those that went on to the history.
    """

    def __init__(self, stores: Stores, session: float) -> None:
        self.stores = stores
        self.answered = 0
        self.fell_through = 0
        self._session = session
        self._failed = False
        self._rests_until = 0.0
        self._follow_at: dict[str, float] = {}

    async def ask(self, space: str, read: Callable[[View], Awaitable[T | None]]) -> T | None:
        """What `read` makes of a view of a partition's hot space; None where the history must be asked."""
        found = await self._asked(space, read) if self._may_ask() else None
        if found is None:
            self.fell_through += 1
        else:
            self.answered += 1
        return found

    async def rows(
        self, view: View, prefixes: Sequence[bytes], least: int, wanted: Sequence[bytes]
    ) -> list[bytes | None] | None:
        """W4: the values of these rows, of prefixes that must be complete, at the position `least` or behind it.

        None where the space cannot tell: it is behind, being copied, or nobody feeds it.
        """
        raw, stopped, target, *found = await view.get_many((*STANDING, *wanted))
        if raw is None or stopped is not None or view.beat_age > self._session:
            return None
        hot = Hot.unpack(raw)
        if not hot.following or not hot.complete or not {*prefixes} <= {*hot.complete}:
            return None
        rebuilt = int.from_bytes(target, "big") if target is not None else 0
        return found if view.mark.position >= max(least, rebuilt) else None

    def _may_ask(self) -> bool:
        """After a rest one reader finds out for all whether the store answers again."""
        if not self._failed:
            return True
        now = asyncio.get_running_loop().time()
        if now < self._rests_until:
            return False
        self._rests_until = now + REST
        return True

    async def _asked(self, space: str, read: Callable[[View], Awaitable[T | None]]) -> T | None:
        store = self.stores.open(keys.hot_space(space))
        try:
            async with asyncio.timeout(PATIENCE):
                async with store.view() as view:
                    found = await read(view)
                if found is None:
                    await self._follow(space, store)
        except (Outlived, Unknown):  # a view that did not last; the store answers
            return None
        except (LighthouseError, OSError, TimeoutError) as error:
            if not self._failed:
                log.warning("the hot store is not asked for a while", error=repr(error))
            self._failed, self._rests_until = True, asyncio.get_running_loop().time() + REST
            return None
        if self._failed:
            log.info("the hot store answers again")
        self._failed = False
        return found

    async def _follow(self, space: str, store: Store) -> None:
        """Each second: has the store look whether its space is another by now, as one in files may be."""
        now = asyncio.get_running_loop().time()
        if now >= self._follow_at.get(space, 0.0):
            self._follow_at[space] = now + REST
            await store.wait(UNOWNED.position, PATIENCE)
