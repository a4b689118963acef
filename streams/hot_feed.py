"""The history's stores as owners have them where there is a hot store: each commit is told to the space's follower."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from bridge.store import keys
from bridge.store.contract import Mark, Store, Stores, View, Writes
from streams.hot import Kept, change_of, told
from streams.hot_follower import Follower, Sides

MOST_COMMITS = 4_000
MOST_KEYS = 200_000
"""What the history keeps of changes that the hot space does not have: a minute of an owner at work. An outage that
outlasts it is followed by a fresh copy."""

SPARE = 100
"""Commits that are kept although the hot space has them: its store, too, may lose its last ones in a fail-over."""

FORGOTTEN_AT_ONCE = 500

TURNS = 2
"""Followers of a process that read the history at once."""

PARTING = 1.0
"""Seconds in which a follower tells what is left when its process ends."""


class FedStore:
    """One space of the history, as its owner has it."""

    def __init__(self, sides: Sides) -> None:
        self.follower = Follower(sides)
        self._store = sides.history
        self._kept = sides.kept
        self._name = b""
        self._oldest = 0
        self._named: deque[tuple[int, int]] = deque()
        self._keys = 0

    def view(self) -> AbstractAsyncContextManager[View]:
        """See the contract."""
        return self._store.view()

    async def own(self) -> Mark:
        """See the contract."""
        mark = await self._store.own()
        self._name = os.urandom(8)
        async with self._store.view() as view:
            found = await view.scan(keys.CHANGES, limit=1)
        self._oldest = int.from_bytes(found[0][0][1:], "big") if found else mark.commit + 1
        return mark

    async def commit(self, mark: Mark, position: int, writes: Writes) -> Mark:
        """W1; see the contract. Says in a row of its own which hot rows change, until the hot space has them."""
        number = mark.commit + 1
        change = change_of(self._kept, self._name, (number, position), writes)
        named = told(self._kept, change)
        forgotten, oldest = self._outlived(number)
        puts = {**writes.puts, keys.change(number): named.pack()}
        after = await self._store.commit(mark, position, Writes(puts, writes.deletes | forgotten))
        self._oldest = oldest
        self._count(number, len(named.keys))
        self.follower.follow(after, change)
        return after

    def _outlived(self, number: int) -> tuple[set[bytes], int]:
        """The rows of changes that go with this commit, and the oldest that stays."""
        oldest = max(self._oldest, min(self.follower.copied - SPARE, number), number - MOST_COMMITS + 1)
        if self._keys > MOST_KEYS and self._named:
            oldest = max(oldest, self._named[0][0] + 1)
        oldest = min(oldest, self._oldest + FORGOTTEN_AT_ONCE)
        return {keys.change(old) for old in range(self._oldest, oldest)}, oldest

    def _count(self, number: int, named: int) -> None:
        self._named.append((number, named))
        self._keys += named
        while self._named and self._named[0][0] < self._oldest:
            self._keys -= self._named.popleft()[1]

    async def beat(self, mark: Mark) -> None:
        """See the contract."""
        await self._store.beat(mark)
        self.follower.beat(mark)

    async def wait(self, position: int, timeout: float) -> Mark:
        """See the contract."""
        return await self._store.wait(position, timeout)

    async def read_at(self, position: int, timeout: float, keys: Sequence[bytes]) -> list[bytes | None]:
        """See the contract."""
        return await self._store.read_at(position, timeout, keys)

    async def wipe(self, mark: Mark) -> Mark:
        """See the contract. The chain of changes ends here, so that the hot space is copied afresh."""
        after = await self._store.wipe(mark)
        self._oldest = after.commit + 1
        self._named.clear()
        self._keys = 0
        return after

    async def close(self) -> None:
        """See the contract."""
        await self._store.close()


class FedStores:
    """The history's stores with a hot store beside them. `kept` says what is hot in a space."""

    def __init__(self, history: Stores, hot: Stores, kept: Callable[[str], Kept], session: float) -> None:
        self._history = history
        self._hot = hot
        self._kept = kept
        self._session = session
        self._turns = asyncio.Semaphore(TURNS)
        self._fed: dict[str, FedStore] = {}
        self._parting: set[Follower] = set()

    def open(self, space: str) -> Store:
        """See the contract; a new object for each new owner, whose predecessor here has left."""
        self.let_go(space)
        hot = self._hot.open(keys.hot_space(space))
        sides = Sides(space, self._history.open(space), hot, self._kept(space), self._session, self._turns)
        self._fed[space] = FedStore(sides)
        return self._fed[space]

    def let_go(self, space: str) -> None:
        """The space is not this process's any more: its follower tells what is left, and ends."""
        if (fed := self._fed.pop(space, None)) is not None:
            fed.follower.leave()
            self._parting = {one for one in self._parting if one.running} | {fed.follower}

    async def close(self) -> None:
        """See the contract: the followers end. The stores themselves belong to whoever opened them."""
        for space in list(self._fed):
            self.let_go(space)
        await asyncio.gather(*(follower.close(PARTING) for follower in self._parting))
        self._parting.clear()
