"""How things stand, partition by partition: position, lag, owner. For status, doctor, metrics and `up`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from bridge.log.readers import Reader
from bridge.spaces import Space, Spaces
from bridge.store import keys
from bridge.store.contract import View
from bridge.store.rows import Clock, Lived, Process, Tenure, unpack_order

MINUTE = 60.0
LAST_EVENTS = 1000
"""Events of a partition among which its busiest stream is looked for."""


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition. `lag` is in records, `beat_age` in seconds; `stopped` is the reason why nobody applies it.

    `recent` counts the records of the last minute, `behind` is the age in seconds of the oldest record that is not
    applied, 0 where none waits.
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
    tenure: Tenure | None = None
    behind: float = 0.0

    @property
    def lag(self) -> int:
        """Records of the log that are not applied yet; the end may have been read before the position."""
        return max(0, self.end - max(self.position, 0))

    @property
    def owner(self) -> str | None:
        """The process that owns it, or owned it last; None where it has let go, or none ever said so."""
        return self.tenure.owner if self.tenure is not None and not self.tenure.left else None

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
    """Every partition of every category. Raises Unavailable when Kafka does not answer."""
    where = {(space.place.topic, space.place.partition): space for space in spaces.all()}
    ends = await reader.ends(list(where))
    found = {part: await _one(space, ends[part]) for part, space in where.items()}
    late = {part: one.effective for part, one in found.items() if one.lag}
    first, now = await reader.first_after(late) if late else {}, time.time()
    return [replace(one, behind=age(one, first.get(part), now)) for part, one in found.items()]


def age(one: PartitionStatus, first: tuple[int, int] | None, now: float) -> float:
    """Seconds since the oldest record came in that is not applied; `first` is the first later than the last applied.

    That is the oldest one, unless others came in the same millisecond as the last one applied: they are as old as that.
    """
    if not one.lag:
        return 0.0
    oldest = first is not None and (first[0] <= one.position or not one.effective)
    since = first[1] if first is not None and oldest else one.effective
    return max(0.0, now - since / 1e6) if since else 0.0


def lives(tenures: Iterable[Tenure]) -> dict[Process, Lived]:
    """What each process has lived and waited, by the partition that told it last."""
    found: dict[Process, Lived] = {}
    for one in tenures:
        found[one.process] = max(found.get(one.process, one.lived), one.lived)
    return found


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


def _a_minute_ago() -> int:
    return max(0, int((time.time() - MINUTE) * 1e6))


async def _recent(view: View) -> int:
    """Records of the last minute, from the row that each second's first record leaves."""
    found = await view.scan(keys.TIMES, start=keys.time(_a_minute_ago()), limit=1)
    return max(0, view.mark.position - int.from_bytes(found[0][1], "big")) if found else 0


async def busiest_stream(space: Space) -> tuple[str, int] | None:
    """The stream with most of the last events of the last minute, and how many; None where there were none."""
    async with space.store.view() as view:
        first = await view.scan(keys.TIMES, start=keys.time(_a_minute_ago()), limit=1)
        if not first:
            return None
        start = keys.order(int.from_bytes(first[0][1], "big"), 0)
        rows = await view.scan(keys.ORDER, start=start, reverse=True, limit=LAST_EVENTS)
    found = Counter(unpack_order(row)[0] for _, row in rows).most_common(1)
    return found[0] if found else None


async def _one(space: Space, end: int) -> PartitionStatus:
    async with space.store.view() as view:
        stopped, raw, tenure = await view.get_many((keys.STOPPED, keys.CLOCK, keys.TENURE))
        clock = Clock.unpack(raw)
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
            Tenure.unpack(tenure) if tenure is not None else None,
        )
