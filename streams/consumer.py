"""A processor's source in Kafka: a thin edge around confluent-kafka's consumer (P1's assignment and P2).

The consumer polls in a thread. The client calls from within `poll` and `close`; the callbacks run on the event loop
meanwhile, and the thread waits for them. Until it goes on, the client answers no other thread: where partitions end is
asked of another client, at any time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from bridge.errors import ForeignLog, Unavailable
from bridge.log.readers import record_of
from streams.assignment import Assignment
from streams.delivered import Delivered
from streams.polled import tell
from streams.source import Batches, Callbacks, Ends, Partition

log = structlog.get_logger()
T = TypeVar("T")

AskEnds = Callable[[str, int], Coroutine[Any, Any, Ends]]
"""Where a topic's partition begins and ends, asked beside the consumer. Raises Unavailable."""


class KafkaSource:
    """See Source. It is made on the event loop that the callbacks are to run on. `config` is the consumer's."""

    def __init__(
        self, config: dict[str, object], topics: Sequence[str], ask_ends: AskEnds, callbacks: Callbacks
    ) -> None:
        self._consumer = Consumer(config | {"enable.partition.eof": True})
        self._ask_ends = ask_ends
        self._callbacks = callbacks
        self._loop = asyncio.get_running_loop()
        self._delivered = Delivered()
        self._assignment = Assignment()
        self.lost: dict[Partition, ForeignLog] = {}
        self.ended: dict[Partition, int] = {}
        self.waited = 0.0
        self._called = 0.0
        self._consumer.subscribe(list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    async def poll(self, most: int, timeout: float) -> Batches:
        """See Source."""
        return await asyncio.to_thread(self._poll, most, timeout)

    def _poll(self, most: int, timeout: float) -> Batches:
        began, called = time.monotonic(), self._called
        first = self._consumer.poll(timeout)
        self.waited += time.monotonic() - began - (self._called - called)
        if first is None:
            return {}
        batches: Batches = {}
        for message in (first, *self._consumer.consume(most - 1, 0)) if most > 1 else (first,):
            if (error := message.error()) is not None:
                self._fault(message, error)
            else:
                batches.setdefault((message.topic() or "", message.partition() or 0), []).append(record_of(message))
        return self._delivered.joined(batches)

    def _fault(self, message: Message, error: KafkaError) -> None:
        """A broker that is away is tried again by the client; an offset that is gone means another log (P1)."""
        where = (message.topic() or "", message.partition() or 0)
        if error.code() == KafkaError._PARTITION_EOF:
            self.ended[where] = message.offset() or 0
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            self.lost[where] = ForeignLog(f"{where[0]}-{where[1]} does not hold the offset to go on from: {error}")
        else:
            tell(error)

    # In the polling thread.

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        starts = self._await(self._callbacks.assigned([(part.topic, part.partition) for part in partitions]))
        self._forget(starts)
        self._assignment.take(
            consumer, [TopicPartition(*where, start) for where, start in starts.items() if start is not None]
        )

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._await(self._callbacks.revoked([(part.topic, part.partition) for part in partitions]))
        self._assignment.give_back(consumer, partitions)

    def _await(self, callback: Coroutine[Any, Any, T]) -> T:
        """What a callback answers; it sets itself a time, and the loop runs as long as anybody polls or closes."""
        began = time.monotonic()
        try:
            return asyncio.run_coroutine_threadsafe(callback, self._loop).result()
        finally:
            self._called += time.monotonic() - began

    def _forget(self, partitions: Iterable[Partition]) -> None:
        """What was delivered before no longer stands right before what will be."""
        for where in partitions:
            self._delivered.forget(where)
            self.ended.pop(where, None)

    # Between polls.

    def pause(self, partition: Partition) -> None:
        """See Source."""
        if partition in self._assignment:
            self._assignment.give_back(self._consumer, [TopicPartition(*partition)])
            self._forget([partition])

    def resume(self, partition: Partition, offset: int) -> None:
        """See Source. The client is given the partition anew: where one is only paused, a late answer may move it."""
        self.pause(partition)
        try:
            self._assignment.take(self._consumer, [TopicPartition(*partition, offset)])
        except KafkaException as error:
            raise Unavailable(f"{partition[0]}-{partition[1]} cannot be fetched from {offset}: {error}") from error

    async def ends(self, partition: Partition) -> Ends:
        """See Source."""
        return await self._ask_ends(*partition)

    async def close(self) -> None:
        """See Source."""
        await asyncio.to_thread(self._consumer.close)
