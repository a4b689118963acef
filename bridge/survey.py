"""How things stand, partition by partition: position, lag, owner. For status, doctor, metrics and `up`."""

from __future__ import annotations

from collections.abc import Sequence
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
        """Records of the log that are not applied yet; the end may have been read before the position."""
        return max(0, self.end - max(self.position, 0))

    def owned(self, session: float) -> bool:
        """Whether an owner has beaten within a session's time."""
        return self.beat_age <= session and self.stopped is None


@dataclass(frozen=True, slots=True)
class CategoryStatus:
    """A category's partitions together. `owned` counts those with a living owner, `parked` streams."""

    category: str
    partitions: int
    records: int
    lag: int
    owned: int
    parked: int
    effective: int


def by_category(found: Sequence[PartitionStatus], session: float) -> list[CategoryStatus]:
    """The categories by name; an owner lives that has beaten within `session` seconds."""
    names = sorted({one.category for one in found})
    return [_category(name, [one for one in found if one.category == name], session) for name in names]


def _category(name: str, found: Sequence[PartitionStatus], session: float) -> CategoryStatus:
    return CategoryStatus(
        category=name,
        partitions=len(found),
        records=sum(one.end for one in found),
        lag=sum(one.lag for one in found),
        owned=sum(one.owned(session) for one in found),
        parked=sum(one.parked for one in found),
        effective=max(one.effective for one in found),
    )


async def survey(spaces: Spaces, reader: Reader) -> list[PartitionStatus]:
    """Every partition of every category. Raises Unavailable when Kafka does not tell the ends."""
    found = list(spaces.all())
    ends = await reader.ends([(space.place.topic, space.place.partition) for space in found])
    return [await _one(space, ends[space.place.topic, space.place.partition]) for space in found]


async def _one(space: Space, end: int) -> PartitionStatus:
    async with space.store.view() as view:
        stopped = await view.get(keys.STOPPED)
        clock = Clock.unpack(await view.get(keys.CLOCK))
        parked = await view.scan(keys.PARKED, limit=1000)
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
