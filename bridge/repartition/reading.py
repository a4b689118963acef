"""Partitions of a topic read to ends that are known, with bounded memory. It blocks: use it in a thread."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from bridge.errors import LighthouseError, Unavailable
from bridge.log.kafka import common
from bridge.log.readers import record_of
from bridge.log.record import Record
from bridge.settings import Settings

AT_ONCE = 2000
ROOM = 64 * 1024 * 1024
"""Bytes that partitions may be read ahead of others, all together."""

RECORD = 1500
"""Bytes that a record has in memory beside its value."""

PAUSE = 0.1

PATIENCE = 30.0
"""Seconds for which Kafka may send nothing."""


class Partitions:
    """The records below the ends, by partition. Raises Unavailable, and LighthouseError for records that are gone."""

    def __init__(self, settings: Settings, topic: str, ends: Mapping[int, int], starts: Mapping[int, int]) -> None:
        """A partition that `starts` does not name is read from 0 on."""
        self._topic = topic
        self._ends = {number: end for number, end in ends.items() if end > starts.get(number, 0)}
        self._next = {number: starts.get(number, 0) for number in self._ends}
        self._ahead: dict[int, deque[Record]] = {number: deque() for number in self._ends}
        self._bytes = dict.fromkeys(self._ends, 0)
        self._paused: set[int] = set()
        self._rest = set(self._ends)
        self._waited = 0.0
        self._consumer = Consumer(_config(settings))
        self._consumer.assign([TopicPartition(topic, number, start) for number, start in self._next.items()])

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        """All of them, each partition's in offset order, partitions as they come."""
        while self._rest or any(self._ahead.values()):
            for number, ahead in self._ahead.items():
                while ahead:
                    yield number, self._taken(number)
            if self._rest:
                self._poll()

    def merged(self) -> Iterator[tuple[int, Record]]:
        """All of them in the order of (effective time, partition, offset)."""
        heap: list[tuple[int, int, Record]] = []
        for number in self._ends:
            self._push(heap, number, 0)
        while heap:
            effective, number, record = heapq.heappop(heap)
            yield number, record
            self._push(heap, number, effective)

    def _push(self, heap: list[tuple[int, int, Record]], number: int, effective: int) -> None:
        while number in self._rest and not self._ahead[number]:
            self._poll()
        if self._ahead[number]:
            record = self._taken(number)
            heapq.heappush(heap, (max(effective, record.time), number, record))

    def _taken(self, number: int) -> Record:
        record = self._ahead[number].popleft()
        self._bytes[number] -= _size(record)
        if number in self._paused and not self._ahead[number]:
            self._paused.discard(number)
            if number in self._rest:
                self._consumer.resume([TopicPartition(self._topic, number)])
        return record

    def _poll(self) -> None:
        """Takes what comes within a second, and pauses the partitions that are far ahead."""
        began = time.monotonic()
        first = self._consumer.poll(1.0)
        if first is not None and sum(map(self._take, (first, *self._consumer.consume(AT_ONCE, 0)))):
            self._waited = 0.0
        else:
            self._waited += time.monotonic() - began
        if self._waited > PATIENCE:
            raise Unavailable(f"Kafka sent nothing of {self._topic} for {PATIENCE:g} s")
        full = {number for number in self._rest if self._bytes[number] > ROOM // len(self._ends)}
        if fresh := full - self._paused:
            self._paused |= fresh
            self._consumer.pause([TopicPartition(self._topic, number) for number in fresh])

    def _take(self, message: Message) -> bool:
        """Whether it takes the partition on."""
        number, error = message.partition() or 0, message.error()
        if error is not None:
            return self._fault(number, error, message.offset() or 0)
        record = record_of(message)
        if number not in self._rest or record.offset < self._next[number]:
            return False  # behind the end, or delivered once more after a pause
        self._next[number] = record.offset + 1
        if record.offset < self._ends[number]:
            self._ahead[number].append(record)
            self._bytes[number] += _size(record)
        if self._next[number] >= self._ends[number]:
            self._done(number)
        return True

    def _fault(self, number: int, error: KafkaError, offset: int) -> bool:
        """The end of a partition is none, though control records lie right before it. Others pass, or last too long."""
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise LighthouseError(f"{self._topic}-{number} does not hold the records from {self._next[number]} on")
        ended = error.code() == KafkaError._PARTITION_EOF and number in self._rest and offset >= self._ends[number]
        if ended:
            self._done(number)
        return ended

    def _done(self, number: int) -> None:
        self._rest.discard(number)
        self._consumer.pause([TopicPartition(self._topic, number)])

    def close(self) -> None:
        """Closes the connections."""
        self._consumer.close()


@contextmanager
def reading(
    settings: Settings, topic: str, ends: Mapping[int, int], starts: Mapping[int, int] | None = None
) -> Iterator[Partitions]:
    """The records of some partitions, with the connections closed in the end."""
    found = Partitions(settings, topic, ends, starts or {})
    try:
        yield found
    finally:
        found.close()


def ends(settings: Settings, topic: str, partitions: int) -> list[int]:
    """Where the first so many partitions end. Raises Unavailable, and LighthouseError where a beginning is gone."""
    consumer = Consumer(_config(settings))
    try:
        found = [_bounds(consumer, TopicPartition(topic, number)) for number in range(partitions)]
    except KafkaException as error:
        raise Unavailable(f"Kafka does not tell where {topic} ends: {error.args[0].str()}") from error
    finally:
        consumer.close()
    if gone := [number for number, (low, _) in enumerate(found) if low > 0]:
        raise LighthouseError(f"{topic} does not begin at 0 any more in partition {gone[0]}: older records are gone")
    return [high for _, high in found]


def _bounds(consumer: Consumer, where: TopicPartition) -> tuple[int, int]:
    """As soon as a leader tells: a partition that was made just now has none for a moment."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            low, high = consumer.get_watermark_offsets(where, timeout=PATIENCE)
        except KafkaException:
            if time.monotonic() > until:
                raise
            time.sleep(PAUSE)
        else:
            return int(low), int(high)


def _size(record: Record) -> int:
    return RECORD + len(record.value or b"")


def _config(settings: Settings) -> dict[str, object]:
    return common(settings, "lighthouse-repartition") | {
        "group.id": "lighthouse-repartition",  # demanded, and never joined: partitions are assigned by hand
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "check.crcs": True,
        "isolation.level": "read_uncommitted",
        "fetch.message.max.bytes": 1024 * 1024,  # compressed; a larger record comes alone
        "queued.max.messages.kbytes": 16_384,
        "queued.min.messages": 5_000,  # of each partition: a short record takes several times its size
    }
