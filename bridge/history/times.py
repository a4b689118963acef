"""From a time to a version, on either of the two clocks, and whether the answer can still change."""

from __future__ import annotations

from enum import Enum

from bridge.errors import NotFound
from bridge.store import keys
from bridge.store.contract import View
from bridge.store.rows import Clock, Head
from bridge.store.rows import times as row_times


class ClockName(str, Enum):
    """`effective`: the log's own time; `event`: the running maximum of what the stream's writers said."""

    EFFECTIVE = "effective"
    EVENT = "event"


async def version_at(view: View, stream: str, head: Head, at: int, clock: ClockName) -> int:
    """H1: the last version whose time is at or before `at`, by binary search; raises NotFound before the first."""
    which = 0 if clock is ClockName.EFFECTIVE else 1
    low, high = 0, head.next
    while low < high:
        middle = (low + high) // 2
        row = await view.get(keys.event(stream, middle))
        assert row is not None, f"{stream} has no event {middle} below its head {head.next}"
        if row_times(row)[which] <= at:
            low = middle + 1
        else:
            high = middle
    if low == 0:
        raise NotFound(f"{stream} did not exist yet at that time")
    return low - 1


async def is_final(view: View, head: Head, at: int, clock: ClockName) -> bool:
    """Whether nothing that is still to come can change the answer for `at` (I7).

    The event times of a parked stream may be unknown, so nothing is final on that clock until it unparks.
    """
    if clock is ClockName.EVENT:
        return not head.parked and at < head.event_time
    return at < Clock.unpack(await view.get(keys.CLOCK)).effective
