"""The log as the processor reads it: a thin edge around confluent-kafka's consumer (P1's assignment and P2).

All methods run in the one thread that polls; the callbacks, too, since the client calls them from within `poll`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from bridge.errors import ForeignLog
from bridge.log.readers import record_of
from bridge.log.record import Record

log = structlog.get_logger()

Partition = tuple[str, int]
"""A topic and a partition's number."""


@dataclass(frozen=True)
class Callbacks:
    """What the group tells: partitions given, answered with where to start in each, and partitions taken away.

    A partition answered with None stays assigned and paused.
    """

    assigned: Callable[[Sequence[Partition]], dict[Partition, int | None]]
    revoked: Callable[[Sequence[Partition]], None]


Batches = dict[Partition, list[Record]]


class Source:
    """One member of the processors' group."""

    def __init__(self, config: dict[str, object], topics: Sequence[str], callbacks: Callbacks) -> None:
        self._consumer = Consumer(config | {"enable.partition.eof": True})
        self._callbacks = callbacks
        self._last: dict[Partition, Record] = {}
        self.lost: dict[Partition, ForeignLog] = {}
        self.ended: dict[Partition, int] = {}
        self._consumer.subscribe(list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    def poll(self, most: int, timeout: float) -> Batches:
        """At most `most` records, by partition, in offset order; waits up to `timeout` seconds for the first.

        A batch begins with the last record of the one before, which proves that nothing lies between: offsets alone
        do not, for the control records of somebody's transaction occupy some. `ended` tells where a partition ended.
        """
        first = self._consumer.poll(timeout)
        if first is None:
            return {}
        batches: Batches = {}
        for message in (first, *self._consumer.consume(most - 1, 0)) if most > 1 else (first,):
            if (error := message.error()) is not None:
                self._fault(message, error)
            else:
                batches.setdefault((message.topic() or "", message.partition() or 0), []).append(record_of(message))
        return {where: self._behind_last(where, records) for where, records in batches.items()}

    def _behind_last(self, where: Partition, records: list[Record]) -> list[Record]:
        before = self._last.get(where)
        self._last[where] = records[-1]
        return [before, *records] if before is not None else records

    def _fault(self, message: Message, error: KafkaError) -> None:
        """A broker that is away is tried again by the client; an offset that is gone means another log (P1)."""
        where = (message.topic() or "", message.partition() or 0)
        if error.code() == KafkaError._PARTITION_EOF:
            self.ended[where] = message.offset() or 0
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            self.lost[where] = ForeignLog(f"{where[0]}-{where[1]} does not hold the offset to go on from: {error}")
        else:
            log.warning("kafka", error=str(error))

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        starts = self._callbacks.assigned([(part.topic, part.partition) for part in partitions])
        self._forget(starts)
        offsets = {where: OFFSET_END if start is None else start for where, start in starts.items()}
        consumer.incremental_assign([TopicPartition(*where, offset) for where, offset in offsets.items()])
        for where, start in starts.items():
            if start is None:
                self.pause(where)
            else:  # the client remembers a pause from before the partition was last taken away
                self._quietly(self._consumer.resume, [TopicPartition(*where)])

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._callbacks.revoked([(part.topic, part.partition) for part in partitions])
        mine = {(part.topic, part.partition) for part in consumer.assignment()}
        consumer.incremental_unassign([part for part in partitions if (part.topic, part.partition) in mine])

    def _forget(self, partitions: Iterable[Partition]) -> None:
        """What was delivered before no longer stands right before what will be."""
        for where in partitions:
            self._last.pop(where, None)
            self.ended.pop(where, None)

    def pause(self, partition: Partition) -> None:
        """Stops fetching a partition whose batch is held."""
        self._quietly(self._consumer.pause, [TopicPartition(*partition)])

    def resume(self, partition: Partition, offset: int) -> None:
        """Goes on fetching from an offset."""
        self._forget([partition])
        self._quietly(self._consumer.seek, TopicPartition(*partition, offset))
        self._quietly(self._consumer.resume, [TopicPartition(*partition)])

    def _quietly(self, call: Callable[..., object], argument: object) -> None:
        """A partition may have been revoked meanwhile; then there is nothing to pause or to resume."""
        try:
            call(argument)
        except KafkaException as error:
            log.info("partition not assigned any more", error=str(error))

    def ends(self, partition: Partition, timeout: float) -> tuple[int, int]:
        """The offsets of the partition's first record and of the next to come, as the broker says now."""
        low, high = self._consumer.get_watermark_offsets(TopicPartition(*partition), timeout=timeout)
        return low, high

    def close(self) -> None:
        """Leaves the group at once; the callbacks are called for what was assigned."""
        self._consumer.close()
