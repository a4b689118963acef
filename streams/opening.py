"""P1 beside the round: a task for each partition that is being opened, so that one that cannot be holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from bridge.errors import Unavailable
from bridge.store.rows import Identity
from streams.owner import Owner
from streams.source import Partition

IDENTITY = 5.0
"""Seconds in which Kafka must say who the log is: of several brokers, the one that was asked may be the silent one."""

LAST = 0.5
"""Seconds that what was cancelled has to end."""

Identities = Mapping[str, Identity]
"""Who the log is, by topic."""

Open = Callable[[Partition, Awaitable[Identities]], Coroutine[Any, Any, Owner | None]]
"""Opens a partition; None where it cannot be. It sets itself a time."""


class Openings:
    """At most one a partition; none goes on once its partition was taken away."""

    def __init__(self, identify: Callable[[Sequence[str]], Coroutine[Any, Any, Identities]], open_: Open) -> None:
        self._identify = identify
        self._open = open_
        self._tasks: dict[Partition, asyncio.Task[Owner | None]] = {}
        self._asking: set[asyncio.Task[Identities]] = set()

    def begin(self, partitions: Sequence[Partition]) -> None:
        """Begins to open them, none of which is being opened; the log is asked once who it is."""
        self._asking.add(asked := asyncio.create_task(self._ask(sorted({topic for topic, _ in partitions}))))
        asked.add_done_callback(self._answered)
        for part in partitions:
            self._tasks[part] = asyncio.create_task(self._open(part, asyncio.shield(asked)))

    async def _ask(self, topics: Sequence[str]) -> Identities:
        try:
            async with asyncio.timeout(IDENTITY):
                return await self._identify(topics)
        except TimeoutError:
            raise Unavailable(f"Kafka did not say within {IDENTITY:g} s who the log is") from None

    def _answered(self, asked: asyncio.Task[Identities]) -> None:
        """Of its error nobody may be left to hear."""
        self._asking.discard(asked)
        if not asked.cancelled():
            asked.exception()

    async def wait(self, partitions: Iterable[Partition], seconds: float) -> None:
        """Returns once they are opened, or cannot be, or so much time has passed."""
        if tasks := [self._tasks[part] for part in partitions]:
            await asyncio.wait(tasks, timeout=seconds)

    def ready(self, partitions: Iterable[Partition] | None = None) -> dict[Partition, Owner]:
        """The owners of those that were opened, each given once; of all, or of these."""
        among = self._tasks if partitions is None else partitions
        done = [part for part in among if self._tasks[part].done()]
        found = {part: self._tasks.pop(part).result() for part in done}
        return {part: owner for part, owner in found.items() if owner is not None}

    async def end(self, partitions: Iterable[Partition]) -> list[Owner]:
        """None of them is opened any more; answers the owners that were ready, and that nobody was given."""
        tasks = [self._tasks.pop(part) for part in partitions if part in self._tasks]
        if not tasks:
            return []
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=LAST)
        ended = [task for task in tasks if task.done() and not task.cancelled()]
        return [owner for task in ended if (owner := task.result()) is not None]

    async def close(self) -> None:
        """Ends all."""
        for asked in self._asking:
            asked.cancel()
        await self.end(list(self._tasks))
