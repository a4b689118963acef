"""The log as a processor is given it: what one member of the processors' group can do, and what it is told.

Kafka's is in `streams.consumer`; the simulation has one of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bridge.errors import ForeignLog
from bridge.log.record import Record

Partition = tuple[str, int]
"""A topic and a partition's number."""

Ends = tuple[int, int]
"""The offsets of a partition's first record, and of the next to come."""

Batches = dict[Partition, list[Record]]


@dataclass(frozen=True)
class Callbacks:
    """What the group tells: partitions given, answered with where to start in each, and partitions taken away.

    The group waits until they have answered. They are awaited while the processor is in `poll` or `close`, and so
    between two batches. A partition that is answered with None stays assigned and paused.
    """

    assigned: Callable[[Sequence[Partition]], Coroutine[Any, Any, dict[Partition, int | None]]]
    revoked: Callable[[Sequence[Partition]], Coroutine[Any, Any, None]]


class Source(Protocol):
    """One member of the processors' group.

    `lost` are the partitions whose log does not hold the offset to go on from, `ended` tells where a partition ended.
    Both are for the processor to empty. `waited` are the seconds in which `poll` had nothing to do but to wait for a
    first record.
    """

    lost: dict[Partition, ForeignLog]
    ended: dict[Partition, int]
    waited: float

    async def poll(self, most: int, timeout: float) -> Batches:
        """At most `most` records, by partition, in offset order; waits up to `timeout` seconds for the first.

        A batch begins with the last record of the one before, which proves that nothing lies between: offsets alone
        do not, for the control records of somebody's transaction occupy some.
        """
        ...

    async def ends(self, partition: Partition) -> Ends:
        """Where a partition begins and ends now; also within callbacks, and beside a poll. Raises Unavailable."""
        ...

    def pause(self, partition: Partition) -> None:
        """Stops fetching a partition."""
        ...

    def resume(self, partition: Partition, offset: int) -> None:
        """Goes on fetching from an offset. Raises Unavailable, with the partition paused as it was."""
        ...

    async def close(self) -> None:
        """Leaves the group at once; `revoked` is called for what was assigned."""
        ...


Join = Callable[[Callbacks], Source]
"""Makes a new member of the group."""
