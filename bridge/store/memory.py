"""The memory adapter, for tests and trials: the contract in the fewest words. A space lives as long as its factory."""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Self

from immutables import Map
from msgspec.structs import replace

from bridge.errors import Fenced, LighthouseError
from bridge.store.contract import UNOWNED, Mark, Row, Writes
from bridge.store.poller import Reached, Waiters, not_reached
from bridge.store.ranges import bounds, sorted_rows, within

Clock = Callable[[], float]


@dataclass(frozen=True)
class _State:
    """A space as one commit left it; `rows` is persistent, so that an old state costs next to nothing.

    A test goes back to one, as a fail-over does; two owners may then have the same epoch, and `owner` tells them apart.
    """

    rows: Map[bytes, bytes] = field(default_factory=Map)
    mark: Mark = UNOWNED
    owner: object = None

    @cached_property
    def keys(self) -> list[bytes]:
        """The keys in order."""
        return sorted(self.rows)


@dataclass
class _Space:
    """What all have in common who opened a space."""

    state: _State = field(default_factory=_State)
    beat: float = -math.inf
    waiters: Waiters = field(default_factory=Waiters)


class MemoryView:
    """One state of a space."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def __aenter__(self) -> Self:
        self._state = self._store.state
        self.beat_age = self._store.beat_age()
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    @property
    def mark(self) -> Mark:
        """See the contract."""
        return self._state.mark

    async def get(self, key: bytes) -> bytes | None:
        """See the contract."""
        return self._state.rows.get(key)

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See the contract."""
        return [self._state.rows.get(key) for key in keys]

    async def scan(
        self,
        prefix: bytes,
        start: bytes | None = None,
        stop: bytes | None = None,
        reverse: bool = False,
        limit: int = 1000,
        most_bytes: int | None = None,
    ) -> list[Row]:
        """See the contract."""
        keys, rows = self._state.keys, self._state.rows
        low, high = bounds(prefix, start, stop)
        found = keys[bisect_left(keys, low) : len(keys) if high is None else bisect_left(keys, high)]
        ordered = islice(reversed(found) if reverse else found, max(limit, 0))
        return within(((key, rows[key]) for key in ordered), most_bytes)


class MemoryStore:
    """One space, as one process has it."""

    def __init__(self, space: str, clock: Clock) -> None:
        self.closed = False
        self._space = space
        self._clock = clock
        self._shared = _Space()
        self._owner: object = None

    def beside(self) -> MemoryStore:
        """The same space, as another process has it."""
        other = MemoryStore(self._space, self._clock)
        other._shared = self._shared
        return other

    @property
    def state(self) -> _State:
        """As the last commit left it."""
        return self._shared.state

    @state.setter
    def state(self, state: _State) -> None:
        """Puts the space back to what it was, as a fail-over does."""
        self._shared.state = state

    def beat_age(self) -> float:
        """Seconds since the last beat."""
        return self._clock() - self._shared.beat

    def view(self) -> MemoryView:
        """See the contract."""
        if self.closed:
            raise LighthouseError(f"the store {self._space} is closed; open it again")
        return MemoryView(self)

    async def own(self) -> Mark:
        """See the contract."""
        mark, self._owner = self.state.mark, object()
        return self._become(self.state.rows, replace(mark, epoch=mark.epoch + 1))

    async def commit(self, mark: Mark, position: int, writes: Writes) -> Mark:
        """See the contract."""
        puts = sorted_rows(writes)
        self._compare(mark, self.state.mark)
        rows = self.state.rows.mutate()
        rows.update(puts)
        for key in writes.deletes:
            rows.pop(key, None)
        return self._become(rows.finish(), Mark(mark.epoch, mark.commit + 1, position))

    async def beat(self, mark: Mark) -> None:
        """See the contract."""
        self._compare(replace(self.state.mark, epoch=mark.epoch), self.state.mark)
        self._shared.beat = self._clock()

    async def wait(self, position: int, timeout: float) -> Mark:
        """See the contract."""
        return (await self._reached(position, timeout, ()))[0]

    async def read_at(self, position: int, timeout: float, keys: Sequence[bytes]) -> list[bytes | None]:
        """See the contract."""
        return (await self._reached(position, timeout, keys))[1]

    async def _reached(self, position: int, timeout: float, keys: Sequence[bytes]) -> Reached:
        if self.state.mark.position < position and (found := await self._shared.waiters.until(position, timeout, keys)):
            return found
        if self.state.mark.position < position:
            raise not_reached(self._space, position, self.state.mark, timeout)
        return self.state.mark, self._read(keys)

    def _read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.state.rows.get(key) for key in keys]

    async def wipe(self, mark: Mark) -> Mark:
        """See the contract."""
        self._compare(mark, self.state.mark)
        return self._become(Map(), Mark(mark.epoch, mark.commit + 1, UNOWNED.position))

    async def close(self) -> None:
        """See the contract."""
        self.closed = True
        self._shared.waiters.fail(LighthouseError(f"the store {self._space} was closed while somebody waited on it"))

    def _become(self, rows: Map[bytes, bytes], mark: Mark) -> Mark:
        before = self.state.mark
        assert (mark.epoch, mark.commit) > (before.epoch, before.commit), "I6: a mark must never come back"
        self.state = _State(rows, mark, self._owner)
        if mark.epoch == before.epoch:
            self._shared.beat = self._clock()
        self._shared.waiters.reached(mark, self._read)
        return mark

    def _compare(self, mark: Mark, found: Mark) -> None:
        if mark != found:
            raise Fenced(f"{self._space} has the mark {found}, not {mark}; another owner or commit came before")
        if self._owner is not self.state.owner:
            raise Fenced(f"{self._space} has another owner than that of {mark}")


class MemoryStores:
    """Spaces in the memory of this process. A closed space keeps its rows for whoever opens it again here."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        """`clock` counts seconds."""
        self._clock = clock
        self._stores: dict[str, MemoryStore] = {}

    def open(self, space: str) -> MemoryStore:
        """See the contract."""
        store = self._stores.setdefault(space, MemoryStore(space, self._clock))
        store.closed = False
        return store

    async def close(self) -> None:
        """See the contract."""
        for store in self._stores.values():
            await store.close()
