"""How processors keep up, from two looks at the partitions: who has what, rates, and when what waits is done. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

from bridge.store.rows import Lived, Spent
from bridge.store.rows import Process as Identity
from bridge.survey import PartitionStatus, lives

EVEN = 0.02
"""Of what comes in: a lag that changes by less than this part is neither draining nor worsening."""


class Course(str, Enum):
    """What becomes of the lag: nothing waits, it shrinks, it stays, it grows, or nobody applies anything."""

    NONE = "none"
    DRAINING = "draining"
    STEADY = "steady"
    WORSENING = "worsening"
    STANDING = "standing"


@dataclass(frozen=True, slots=True)
class Load:
    """Partitions together. `lag` in records, `behind` in seconds (the most), rates in records a second.

    `owned` counts those with a living owner.
    """

    name: str
    partitions: int
    owned: int
    lag: int
    behind: float
    arriving: float
    applied: float

    @property
    def course(self) -> Course:
        """What becomes of the lag at these rates."""
        if not self.lag:
            return Course.NONE
        if not self.applied:
            return Course.STANDING
        gain = self.applied - self.arriving
        if abs(gain) <= EVEN * max(self.arriving, self.applied):
            return Course.STEADY
        return Course.DRAINING if gain > 0 else Course.WORSENING

    @property
    def drained_in(self) -> float | None:
        """Seconds until nothing waits any more at these rates; None where that never comes."""
        draining = self.course is Course.DRAINING
        return self.lag / (self.applied - self.arriving) if draining else 0.0 if not self.lag else None


@dataclass(frozen=True, slots=True)
class Process:
    """A processor by its name, `host:pid`, and its partitions.

    `waited` and `spent` are its seconds by step between the two looks, as far as it has told them.
    """

    name: str
    partitions: tuple[str, ...]
    load: Load
    waited: float
    spent: Spent


@dataclass(frozen=True, slots=True)
class Workload:
    """Everything together, by category, by process; `hottest` has the highest rate, None where nothing comes in."""

    total: Load
    categories: list[Load]
    processes: list[Process]
    hottest: PartitionStatus | None


@dataclass(frozen=True, slots=True)
class _Pair:
    """One partition in both looks."""

    before: PartitionStatus
    after: PartitionStatus

    @property
    def name(self) -> str:
        """As people write it."""
        return f"{self.after.category}-{self.after.partition}"


def workload(
    before: Sequence[PartitionStatus], after: Sequence[PartitionStatus], seconds: float, session: float
) -> Workload:
    """What happened between two looks that lie so many seconds apart; an owner lives that beat within a session."""
    known = {(one.category, one.partition): one for one in before}
    pairs = [_Pair(known.get((one.category, one.partition), one), one) for one in after]
    by_category = [
        _load(name, list(some), seconds, session) for name, some in groupby(pairs, key=lambda pair: pair.after.category)
    ]
    owned = sorted((pair for pair in pairs if pair.after.owned(session) and pair.after.owner), key=_owner)
    then = lives(one.tenure for one in before if one.tenure)
    by_owner = [(name, list(some)) for name, some in groupby(owned, key=_owner)]
    processes = [_process(some, _load(name, some, seconds, session), then) for name, some in by_owner]
    hottest = max(pairs, key=lambda pair: (_arrived(pair), pair.after.recent), default=None)
    return Workload(
        _load("all", pairs, seconds, session),
        by_category,
        processes,
        hottest.after if hottest is not None and (_arrived(hottest) or hottest.after.recent) else None,
    )


def _owner(pair: _Pair) -> str:
    return pair.after.owner or ""


def _load(name: str, pairs: Sequence[_Pair], seconds: float, session: float) -> Load:
    after = [pair.after for pair in pairs]
    return Load(
        name,
        len(after),
        sum(one.owned(session) for one in after),
        sum(one.lag for one in after),
        max((one.behind for one in after), default=0.0),
        sum(map(_arrived, pairs)) / seconds,
        sum(map(_applied, pairs)) / seconds,
    )


def _arrived(pair: _Pair) -> int:
    return max(0, pair.after.end - pair.before.end)


def _applied(pair: _Pair) -> int:
    """Records; a history that was begun anew counts from its beginning."""
    begun = 0 if pair.after.position < pair.before.position else max(pair.before.position, 0)
    return max(0, max(pair.after.position, 0) - begun)


def _process(pairs: Sequence[_Pair], load: Load, then: Mapping[Identity, Lived]) -> Process:
    """`then` is what each process had lived at the first look."""
    spent = [_spent(pair) for pair in pairs]
    steps = Spent(*(sum(getattr(one, step) for one in spent) for step in ("p3", "p4", "p5")))
    return Process(load.name, tuple(pair.name for pair in pairs), load, _waited(pairs, then), steps)


def _waited(pairs: Sequence[_Pair], then: Mapping[Identity, Lived]) -> float:
    """Seconds between the two looks; of a new process, all that it has told."""
    now = lives(pair.after.tenure for pair in pairs if pair.after.tenure)
    process = max(now, key=lambda one: one[1])
    return max(0.0, now[process].waited - then.get(process, Lived()).waited)


def _spent(pair: _Pair) -> Spent:
    """Seconds between the two looks; of a new owner, all that it has told."""
    before, after = pair.before.tenure, pair.after.tenure
    assert after is not None
    if before is None or (before.owner, before.since) != (after.owner, after.since):
        return after.spent
    then, now = before.spent, after.spent
    return Spent(now.p3 - then.p3, now.p4 - then.p4, now.p5 - then.p5)


def names(found: Iterable[str]) -> str:
    """Partitions as people are told them: `account-0..7, project-3`."""
    told = []
    for category, some in groupby((one.rpartition("-") for one in found), key=lambda parts: parts[0]):
        numbers = sorted(int(parts[2]) for parts in some)
        told.append(f"{category}-{_runs(numbers)}")
    return ", ".join(told)


def _runs(numbers: Sequence[int]) -> str:
    runs = []
    for _, some in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        run = [number for _, number in some]
        runs.append(str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}")
    return ",".join(runs)
