"""How things stand, partition by partition: position, lag, owner. For status, doctor, metrics and `up`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from bridge.log.readers import Reader
from bridge.spaces import Space, Spaces
from bridge.store import keys
from bridge.store.contract import View
from bridge.store.rows import Clock

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition. `lag` is in records, `beat_age` in seconds; `stopped` is the reason why nobody applies it.

    `recent` counts the records of the last minute, `behind` the seconds since the last one applied where others wait.
    """

    category: str
    partition: int
    position: int
    end: int
    epoch: int
    beat_age: float
    effective: int
    stopped: str | None
    parked: int
    recent: int = 0

    @property
    def behind(self) -> float:
        """Seconds from the last record that was applied until now, where others wait behind it."""
        return max(0.0, time.time() - self.effective / 1e6) if self.lag and self.effective else 0.0

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


class Order(str, Enum):
    """How partitions are listed."""

    NUMBER = "number"
    HOTTEST = "hottest"
    SLOWEST = "slowest"


def ordered(found: Sequence[PartitionStatus], order: Order) -> list[PartitionStatus]:
    """Hottest: most records in the last minute first. Slowest: most records waiting first."""
    keys_of: dict[Order, Callable[[PartitionStatus], tuple[object, ...]]] = {
        Order.NUMBER: lambda one: (one.category, one.partition),
        Order.HOTTEST: lambda one: (-one.recent, one.category, one.partition),
        Order.SLOWEST: lambda one: (-one.lag, -one.behind, one.category, one.partition),
    }
    return sorted(found, key=keys_of[order])


async def _recent(view: View) -> int:
    """Records of the last minute, from the row that each second's first record leaves."""
    found = await view.scan(keys.TIMES, start=keys.time(max(0, int((time.time() - MINUTE) * 1e6))), limit=1)
    return max(0, view.mark.position - int.from_bytes(found[0][1], "big")) if found else 0


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
            await _recent(view),
        )
