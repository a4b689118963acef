"""What stores on other machines share: their waiters, the one task that looks for all of them (P6), their factory."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from bridge.errors import LighthouseError, Unavailable
from bridge.store.contract import Mark
from bridge.store.poller import Reached, Waiters

PERIOD = 0.005
"""Seconds between two looks while somebody waits."""

SOON = 0.001
"""The same where somebody may wait for what is there already."""

LAST = 1.0
"""Seconds for a last look after a wait that was in vain."""


class Watched(Protocol):
    """A space that somebody waits on."""

    space: str
    waiters: Waiters


W = TypeVar("W", bound=Watched)


class Watch(ABC, Generic[W]):
    """Looks at the marks of the spaces that somebody waits on. While nobody waits, it does not run at all."""

    def __init__(self) -> None:
        self._watched: set[W] = set()
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def add(self, space: W, hurry: bool) -> None:
        """Looks at the space from now on, at once if there is a hurry, until its last waiter has left."""
        self._watched.add(space)
        if hurry:
            self._hurry.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="store watch")

    async def close(self) -> None:
        """Ends the looking; those who still wait must have been told."""
        tasks = [task for task in (self._task, *self._looks_under_way()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _looks_under_way(self) -> Iterable[asyncio.Task[None]]:
        """Looks that go on beside the task."""
        return ()

    async def _run(self) -> None:
        while True:
            await self._pause()
            self._watched = {space for space in self._watched if space.waiters.live}
            if not self._watched:
                return
            spaces = tuple(self._watched)
            with telling(spaces):
                await self._look(spaces)

    async def _pause(self) -> None:
        await asyncio.sleep(SOON)
        try:
            async with asyncio.timeout(PERIOD - SOON):
                await self._hurry.wait()
        except TimeoutError:
            return
        self._hurry.clear()

    @abstractmethod
    async def _look(self, spaces: Sequence[W]) -> None:
        """Gives those who wait on these spaces what they want, where it is there."""


@contextmanager
def telling(spaces: Iterable[Watched]) -> Iterator[None]:
    """Tells those who wait on the spaces what went wrong inside."""
    try:
        yield
    except (LighthouseError, OSError) as error:
        for space in spaces:
            space.waiters.fail(error)


class FarStore(ABC):
    """One space: how it is waited for, and its end."""

    def __init__(self, space: str) -> None:
        self.space = space
        self.waiters = Waiters()
        self.closed = False

    async def wait(self, position: int, timeout: float) -> Mark:
        """See the contract."""
        return (await self._reached(position, timeout, (), hurry=True))[0]

    async def read_at(self, position: int, timeout: float, keys: Sequence[bytes]) -> list[bytes | None]:
        """See the contract."""
        return (await self._reached(position, timeout, keys, hurry=False))[1]

    async def _reached(self, position: int, timeout: float, keys: Sequence[bytes], hurry: bool) -> Reached:
        self._check_open()
        self._be_watched(hurry)
        if found := await self.waiters.until(position, timeout, keys):
            return found
        try:
            async with asyncio.timeout(LAST):
                return await self._last_look(position, timeout, keys)
        except TimeoutError:
            raise Unavailable(f"{self.space} did not tell within {LAST:g} s how far it is") from None

    @abstractmethod
    def _be_watched(self, hurry: bool) -> None:
        """Adds the space to those that are looked at."""

    @abstractmethod
    async def _last_look(self, position: int, timeout: float, keys: Sequence[bytes]) -> Reached:
        """The time is over, and may have been shorter than a look takes. Raises NotReached."""

    async def close(self) -> None:
        """See the contract."""
        self.closed = True
        self.waiters.fail(LighthouseError(f"the store {self.space} was closed while somebody waited on it"))

    def _check_open(self) -> None:
        if self.closed:
            raise LighthouseError(f"the store {self.space} is closed; open it again")


S = TypeVar("S", bound=FarStore)


class Closing(Protocol):
    """Something that ends."""

    async def close(self) -> None:
        """Ends it."""


class FarStores(ABC, Generic[S]):
    """The spaces of one place, for one event loop. `closing` is what ends with them, in this order."""

    def __init__(self, *closing: Closing) -> None:
        self._closing = closing
        self._stores: dict[str, S] = {}

    def open(self, space: str) -> S:
        """See the contract."""
        store = self._stores.get(space)
        if store is None or store.closed:
            store = self._stores[space] = self._make(space)
        return store

    @abstractmethod
    def _make(self, space: str) -> S:
        """A new object for a space."""

    async def close(self) -> None:
        """Closes every open store, and the connections."""
        for store in self._stores.values():
            await store.close()
        self._stores.clear()
        for one in self._closing:
            await one.close()
