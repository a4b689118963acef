"""How things stand, partition by partition: position, lag, owner. For status, doctor and the live line of `up`."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.log.readers import Reader
from bridge.spaces import Space, Spaces
from bridge.store import keys
from bridge.store.rows import Clock


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition. `lag` is in records, `beat_age` in seconds; `stopped` is the reason why nobody applies it."""

    category: str
    partition: int
    position: int
    end: int
    epoch: int
    beat_age: float
    effective: int
    stopped: str | None
    parked: int

    @property
    def lag(self) -> int:
        """Records of the log that are not applied yet."""
        return self.end - max(self.position, 0)

    def owned(self, session: float) -> bool:
        """Whether an owner has beaten within a session's time."""
        return self.beat_age <= session and self.stopped is None


async def survey(spaces: Spaces, reader: Reader) -> list[PartitionStatus]:
    """Every partition of every category. Raises Unavailable when Kafka does not tell the ends."""
    found = list(spaces.all())
    ends = await reader.ends([(space.place.topic, space.place.partition) for space in found])
    return [await _one(space, ends[space.place.topic, space.place.partition]) for space in found]


async def _one(space: Space, end: int) -> PartitionStatus:
    async with space.store.view() as view:
        stopped = await view.get(keys.STOPPED)
        clock = Clock.unpack(await view.get(keys.CLOCK))
        parked = await view.scan(b"k", limit=1000)
        return PartitionStatus(
            space.place.category,
            space.place.partition,
            view.mark.position,
            end,
            view.mark.epoch,
            view.beat_age,
            clock.effective,
            stopped.decode() if stopped is not None else None,
            len(parked),
        )
