"""How reactors are shown, by HTTP and by the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from bridge.query.reactors import InPartition, ReactorStatus
from bridge.reactions import ParkedAt

State = Literal["lost", "parked", "new", "running"]


class ReactorParkedAnswer(msgspec.Struct):
    """The event that a reactor stands at, and why; `unread` where it is tried again without being asked for."""

    event: str
    stream: str
    version: int
    error: str
    traceback: str
    unread: bool


class ReactorPartitionAnswer(msgspec.Struct):
    """A reactor in one partition. `offset` is that of the next record, null before it began; `lost` says why it waits.

    `lag_records` counts the records of the history that it has not passed, `lag_seconds` is the age of the event that
    it goes on at.
    """

    category: str
    partition: int
    state: State
    offset: int | None
    lag_records: int
    lag_seconds: float
    lost: str | None
    parked: ReactorParkedAnswer | None


class ReactorAnswer(msgspec.Struct):
    """A reactor; `state` is that of the partition that is worst off, `categories` null for all."""

    name: str
    categories: list[str] | None
    start: Literal["end", "beginning"]
    state: State
    lag_records: int
    lag_seconds: float
    partitions: list[ReactorPartitionAnswer]


class ReactorsAnswer(msgspec.Struct):
    """All reactors, by name."""

    reactors: list[ReactorAnswer]


def of_reactors(found: Iterable[ReactorStatus]) -> ReactorsAnswer:
    """All reactors."""
    return ReactorsAnswer(list(map(of_reactor, found)))


def of_reactor(found: ReactorStatus) -> ReactorAnswer:
    """How a reactor stands."""
    reactor = found.reactor
    categories = None if reactor.categories is None else list(reactor.categories)
    lag = found.lag, round(found.seconds, 6)
    partitions = list(map(_of_partition, found.partitions))
    return ReactorAnswer(reactor.name, categories, reactor.start, found.condition.value, *lag, partitions)


def _of_partition(one: InPartition) -> ReactorPartitionAnswer:
    return ReactorPartitionAnswer(
        category=one.category,
        partition=one.partition,
        state=one.condition.value,
        offset=None if one.place is None else one.place[0],
        lag_records=one.lag,
        lag_seconds=round(one.seconds, 6),
        lost=one.lost or None,
        parked=None if one.parked is None else _of_parked(one.parked),
    )


def _of_parked(why: ParkedAt) -> ReactorParkedAnswer:
    return ReactorParkedAnswer(why.event, why.stream, why.stream_version, why.error, why.traceback, why.unread)
