"""A consumer group that shares out partitions and remembers how far each is, and reads no records (reactors).

Members are given partitions as in any group, but keep them paused: what they act on comes from the store. A place in
the admitted order is offset and index; the group commits the offset, with the index as the offset's metadata.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition

from bridge.errors import Unavailable
from bridge.feed.order import Spot
from bridge.log.groups import place_of
from streams.assignment import Assignment
from streams.polled import tell
from streams.source import Partition

TIMEOUT = 10.0
"""Seconds that the group's coordinator has to answer."""

READ_NOTHING = {"fetch.message.max.bytes": 1024, "queued.min.messages": 1}
"""For the moment between assignment and pause."""


@dataclass(frozen=True)
class Shared:
    """What the group tells, in the polling thread: partitions given, and partitions to be taken away after this."""

    assigned: Callable[[Sequence[Partition]], None]
    revoked: Callable[[Sequence[Partition]], None]


class Group:
    """One member. Offsets are asked for and committed from any thread; `poll` and `close` have one of their own."""

    def __init__(self, config: dict[str, object], topics: Sequence[str], shared: Shared) -> None:
        self._consumer = Consumer(config | READ_NOTHING)
        self._shared = shared
        self._assignment = Assignment()
        self._thread = ThreadPoolExecutor(1, str(config["group.id"]))
        self._consumer.subscribe(list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    async def poll(self, timeout: float) -> None:
        """Lets the group tell, for some seconds, what it has to tell."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._poll, timeout)

    def _poll(self, timeout: float) -> None:
        message = self._consumer.poll(timeout)
        if message is not None and (error := message.error()) is not None:
            tell(error)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        paused = [TopicPartition(part.topic, part.partition, 0) for part in partitions]
        self._assignment.take(consumer, paused)
        consumer.pause(paused)
        self._shared.assigned([(part.topic, part.partition) for part in partitions])

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._shared.revoked([(part.topic, part.partition) for part in partitions])
        self._assignment.give_back(consumer, partitions)

    def committed(self, partition: Partition) -> Spot | None:
        """How far the group is in a partition; None where nobody ever said, or where Kafka has forgotten it.

        Raises Unavailable.
        """
        try:
            (found,) = self._consumer.committed([TopicPartition(*partition)], TIMEOUT)
        except KafkaException as error:
            raise Unavailable(f"Kafka does not tell the offset of {partition[0]}-{partition[1]}: {error}") from error
        if found.error is not None:
            raise Unavailable(f"Kafka does not tell the offset of {partition[0]}-{partition[1]}: {found.error}")
        return place_of(found)

    def commit(self, spots: Mapping[Partition, Spot]) -> None:
        """Remembers how far the group is. Raises Unavailable, with some of them perhaps remembered."""
        offsets = [TopicPartition(*part, offset, str(index)) for part, (offset, index) in spots.items()]
        try:
            done = self._consumer.commit(offsets=offsets, asynchronous=False) or []
        except KafkaException as error:
            raise Unavailable(f"offsets not committed: {error}") from error
        if wrong := [part.error for part in done if part.error is not None]:
            raise Unavailable(f"offsets not committed: {wrong[0]}")

    async def close(self) -> None:
        """Leaves the group at once; the callbacks are called for what was assigned."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._consumer.close)
        self._thread.shutdown(wait=False)
