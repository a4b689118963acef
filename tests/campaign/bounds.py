"""What is promised of a fault, as rules that measure a run against it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.campaign.reads import gaps, longest_wait
from tests.campaign.remote import Miss, Read
from tests.campaign.report import Bound
from tests.faults.journal import Attempt


@dataclass(frozen=True)
class Course:
    """The load of a run and its faults, between two monotonic moments."""

    attempts: Sequence[Attempt]
    reads: Sequence[Read]
    misses: Sequence[Miss]
    faults: Sequence[tuple[float, str]]
    since: float
    until: float


Rule = Callable[[Course], list[Bound]]


def appends(limit: float) -> Rule:
    """No partition is longer without an acknowledgement."""

    def rule(course: Course) -> list[Bound]:
        found = gaps(course.attempts, course.since, course.until)
        return [Bound("longest pause of a partition", limit, max(found.values()))]

    return rule


def hot_reads(limit: float) -> Rule:
    """Nobody who asks for a hot row waits longer until somebody who asked for it is answered."""

    def rule(course: Course) -> list[Bound]:
        reads = [one for one in course.reads if one.hot]
        misses = [one for one in course.misses if one.hot]
        return [Bound("longest wait for a hot row", limit, longest_wait(reads, misses, course.since, course.until))]

    return rule


def restarts(killed: str, back: str, more: float) -> Rule:
    """After each kill no partition pauses longer than it took until the return, and so many seconds more.

    `killed` and `back` are how these two are noted.
    """

    def rule(course: Course) -> list[Bound]:
        kills = [at for at, what in course.faults if what == killed]
        returns = [at for at, what in course.faults if what == back]
        found = []
        for kill, there, end in zip(kills, returns, [*kills[1:], course.until], strict=True):
            pause = max(gaps(course.attempts, kill, end).values())
            when = f"killed at {kill - course.since:.1f} s, back {there - kill:.1f} s later"
            found.append(Bound(f"longest pause of a partition, {when}", there - kill + more, pause))
        return found

    return rule
