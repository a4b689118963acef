"""Kafka's group on a simulated log: who is to have which partition, who has it, and what members are told of that.

Nothing is told and nothing is fetched before the test gives a member its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.errors import ForeignLog, Unavailable
from streams.delivered import Delivered
from streams.source import Batches, Callbacks, Ends, Partition
from tests.simlog import SimLog


@dataclass(frozen=True)
class Turn:
    """One poll: how many records come, and whether the member hears what the group has to tell.

    `deaf` says that nobody tells it where partitions end. The records come from the partitions in the order of a
    rotation by `first`, and so many of them come before the group is heard.
    """

    most: int
    told: bool = True
    deaf: bool = False
    first: int = 0
    before: int = 0


@dataclass
class _Fetching:
    """A partition as a consumer has it, and the offset that comes next."""

    next: int
    paused: bool


class Coordinator:
    """The group. A partition is given to a member once whoever had it has let it go, or was expelled."""

    def __init__(self, log: SimLog, partitions: Sequence[Partition]) -> None:
        self.log = log
        self.target: dict[Partition, GroupSource | None] = dict.fromkeys(partitions)
        self.holder: dict[Partition, GroupSource | None] = dict.fromkeys(partitions)

    def of(self, source: GroupSource) -> list[Partition]:
        """What a member holds, as the group knows it."""
        return [part for part, holder in self.holder.items() if holder is source]

    def free(self, source: GroupSource, partitions: Sequence[Partition]) -> None:
        """A member has let partitions go."""
        for part in partitions:
            if self.holder[part] is source:
                self.holder[part] = None

    def forget(self, source: GroupSource) -> None:
        """A member is gone, or its session has ended: what it had is given away, and it need not know."""
        self.free(source, list(self.holder))
        for part, target in self.target.items():
            if target is source:
                self.target[part] = None


class GroupSource:
    """One member as its processor has it; see streams.source.Source. Leaders of `silent` partitions do not answer."""

    def __init__(self, coordinator: Coordinator, callbacks: Callbacks) -> None:
        self.lost: dict[Partition, ForeignLog] = {}
        self.ended: dict[Partition, int] = {}
        self.waited = 0.0
        self.mine: dict[Partition, None] = {}
        self.silent: set[Partition] = set()
        self.expelled = False
        self.dead = False
        self._coordinator = coordinator
        self._callbacks = callbacks
        self._fetching: dict[Partition, _Fetching] = {}
        self._turn: asyncio.Future[Turn] | None = None
        self._deaf = False
        self._delivered = Delivered()

    @property
    def waits(self) -> bool:
        """Whether its processor stands in a poll."""
        return self._turn is not None and not self._turn.done()

    def give(self, turn: Turn) -> None:
        """Lets the poll go on."""
        assert self._turn is not None
        self._turn.set_result(turn)

    async def poll(self, most: int, timeout: float) -> Batches:
        """See Source. It takes as long as the test wants."""
        self._turn = asyncio.get_running_loop().create_future()
        turn = await self._turn
        self._deaf = turn.deaf
        batches: Batches = {}
        self._fetch(batches, turn.first, min(most, turn.before))
        if turn.told:
            await self._hear()
        self._fetch(batches, turn.first, min(most, turn.most) - sum(map(len, batches.values())))
        return self._delivered.joined(batches)

    def _fetch(self, batches: Batches, first: int, most: int) -> None:
        """From one partition after the other; and where one has ended, that is told."""
        parts = sorted(self._fetching)
        for part in parts[first % max(len(parts), 1) :] + parts[: first % max(len(parts), 1)]:
            fetching = self._fetching[part]
            if fetching.paused or most <= 0:
                continue
            found = self._coordinator.log.read(*part, fetching.next, most)
            if found:
                batches.setdefault(part, []).extend(found)
                fetching.next = found[-1].offset + 1
                most -= len(found)
            if fetching.next == self._coordinator.log.length(*part):
                self.ended[part] = fetching.next

    async def _hear(self) -> None:
        """What the group has to tell, as of now."""
        group = self._coordinator
        if self.expelled:
            await self._take_away(list(self._fetching))
            self.expelled = False
            return
        await self._take_away([part for part in self._fetching if group.target[part] is not self])
        given = [part for part, target in group.target.items() if target is self and group.holder[part] is None]
        if given:
            group.holder |= dict.fromkeys(given, self)
            await self._take(given)

    async def _take(self, given: list[Partition]) -> None:
        self.mine |= dict.fromkeys(given)
        starts = await self._callbacks.assigned(given)
        for part, start in starts.items():
            self._forget(part)
            end = self._coordinator.log.length(*part)
            self._fetching[part] = _Fetching(end if start is None else start, paused=start is None)

    async def _take_away(self, partitions: list[Partition]) -> None:
        if not partitions:
            return
        await self._callbacks.revoked(partitions)
        for part in partitions:
            self.mine.pop(part, None)
            self._fetching.pop(part, None)
        self._coordinator.free(self, partitions)

    async def ends(self, partition: Partition) -> Ends:
        """See Source."""
        if partition in self.silent:
            await asyncio.get_running_loop().create_future()
        if self._deaf:
            raise Unavailable("nobody tells where the partition ends")
        return 0, self._coordinator.log.length(*partition)

    def pause(self, partition: Partition) -> None:
        """See Source."""
        if partition in self._fetching:
            self._fetching[partition].paused = True

    def resume(self, partition: Partition, offset: int) -> None:
        """See Source."""
        if partition in self._fetching:
            self._forget(partition)
            self._fetching[partition] = _Fetching(offset, paused=False)

    def _forget(self, partition: Partition) -> None:
        self._delivered.forget(partition)
        self.ended.pop(partition, None)

    async def close(self) -> None:
        """See Source. One that was killed says nothing any more."""
        if not self.dead:
            await self._take_away(list(self._fetching))
            self._coordinator.forget(self)
