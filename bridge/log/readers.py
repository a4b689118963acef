"""Readers of the log outside of any group: where partitions end, and the records from an offset on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError as ReaderError
from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as TopicOffset

from bridge.errors import Unavailable
from bridge.log.kafka import common
from bridge.log.record import Record
from bridge.settings import Settings

MOMENT = 0.1
"""Seconds that a follower waits for a record before it looks around."""

AT_ONCE = 500


class Reader:
    """A reader outside of any group. Raises Unavailable when Kafka does not answer in `timeout` seconds."""

    def __init__(self, settings: Settings, timeout: float) -> None:
        self._settings = settings
        self._timeout = timeout
        self._kafka = self._consumer()
        self._started: asyncio.Task[None] | None = None

    def _consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka_bootstrap,
            client_id="lighthouse-reader",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            request_timeout_ms=int(self._timeout * 1000),
        )

    async def _start(self) -> None:
        if self._started is None or (self._started.done() and self._started.exception() is not None):
            self._started = asyncio.ensure_future(self._kafka.start())
        await asyncio.shield(self._started)

    async def end(self, topic: str, partition: int) -> int:
        """The offset that the partition's next record will get."""
        return (await self.ends([(topic, partition)]))[topic, partition]

    async def ends(self, partitions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """The same for many partitions, by topic and number."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._start()
                found = await self._kafka.end_offsets([TopicPartition(*where) for where in partitions])
        except (ReaderError, TimeoutError) as error:
            raise Unavailable(f"Kafka does not tell where {len(partitions)} partitions end: {error!r}") from error
        return {(where.topic, where.partition): int(end) for where, end in found.items()}

    async def first_after(self, times: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], tuple[int, int]]:
        """The offset and time of the first record that came in later than this, by topic and number.

        Kafka counts whole milliseconds, these are microseconds. A partition without such a record is left out.
        """
        asked = {TopicPartition(*where): time // 1000 + 1 for where, time in times.items()}
        try:
            async with asyncio.timeout(self._timeout):
                await self._start()
                found = await self._kafka.offsets_for_times(asked)
        except (ReaderError, TimeoutError) as error:
            raise Unavailable(f"Kafka does not tell the times of {len(asked)} partitions: {error!r}") from error
        told = {where: one for where, one in found.items() if one is not None and one.offset >= 0}
        return {(where.topic, where.partition): (one.offset, one.timestamp * 1000) for where, one in told.items()}

    async def follow(self, topic: str, partition: int, start: int) -> AsyncGenerator[tuple[list[Record], int]]:
        """The records of one partition from an offset on, for ever: whatever came, and the offset behind it.

        Raises Unavailable where the log cannot be read there; an empty list says that there was nothing for a moment.
        By the other client, since aiokafka alone reads no record that was compressed.
        """
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, "lighthouse-follower")
        consumer = Consumer(_follower(self._settings))
        try:
            consumer.assign([TopicOffset(topic, partition, start)])
            behind = start
            while True:
                records, behind = await loop.run_in_executor(thread, _poll, consumer, behind)
                yield records, behind
        except KafkaException as error:
            raise Unavailable(f"{topic} cannot be read at {behind}: {error.args[0].str()}") from error
        finally:
            await loop.run_in_executor(thread, consumer.close)
            thread.shutdown(wait=False)

    async def close(self) -> None:
        """Closes the connections, also those of a start that is under way or has failed."""
        if self._started is not None:
            self._started.cancel()
            await asyncio.gather(self._started, return_exceptions=True)
        await self._kafka.stop()


def _follower(settings: Settings) -> dict[str, object]:
    return common(settings, "lighthouse-follower") | {
        "group.id": "lighthouse-follower",  # demanded, and never joined: the partition is assigned by hand
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,  # also behind control records, which nobody is given
        "queued.max.messages.kbytes": 16_384,
    }


def _poll(consumer: Consumer, behind: int) -> tuple[list[Record], int]:
    """What comes within a moment, and the offset behind it."""
    first = consumer.poll(MOMENT)
    records: list[Record] = []
    for message in (first, *consumer.consume(AT_ONCE, 0)) if first is not None else ():
        if (error := message.error()) is None:
            records.append(record_of(message))
            behind = records[-1].offset + 1
        elif error.code() == KafkaError._PARTITION_EOF:
            behind = max(behind, message.offset() or 0)
        elif not error.retriable():
            raise KafkaException(error)
    return records, behind


def record_of(message: Message) -> Record:
    """A consumed message as a Record; Kafka's milliseconds become microseconds."""
    epoch = message.leader_epoch()
    return Record(
        message.offset() or 0,
        message.key(),
        message.value(),
        message.headers() or (),  # type: ignore[arg-type]
        message.timestamp()[1] * 1000,
        -1 if epoch is None else epoch,
    )
