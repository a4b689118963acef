"""The dead-letter reactor: what R1 voids is copied to the dead-letter topic, with the reason.

A group of its own over the raw topics. R1 needs nothing but the record itself, so this reactor need not wait for the
store. Its progress is the group's committed offset, committed after the copies are acknowledged; a copy is keyed by
where the record lies, so that repeats are harmless, which is why it may begin at the log's beginning when it is new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from confluent_kafka import Consumer, KafkaException, Message

from bridge.errors import Unavailable, Unknown
from bridge.log.producer import Delivered, Headers, Outgoing, Producer
from bridge.log.readers import record_of
from bridge.log.record import Malformed, Place, Record, parse
from streams.polled import sound
from streams.source import Partition

log = structlog.get_logger()

PAYLOAD_BYTES = 64 * 1024
MOST = 1000
POLL = 0.5
PAUSE = 1.0


@dataclass(frozen=True)
class DeadLetter:
    """A void record: where it lies, why it is void, and its bytes."""

    place: Place
    record: Record
    reason: str

    def outgoing(self, topic: str) -> Outgoing:
        """Its copy: key `topic/partition/offset`, payload cut at 64 KiB, the reason and the key in headers."""
        where = f"{self.place.topic}/{self.place.partition}/{self.record.offset}"
        value = self.record.value or b""
        headers: Headers = [
            ("lh_reason", self.reason.encode()),
            ("lh_size", b"%d" % len(value)),
            ("lh_key", (self.record.key or b"")[:1024]),
        ]
        return Outgoing(topic, 0, where.encode(), value[:PAYLOAD_BYTES], headers)


def void(records: Sequence[tuple[Place, Record]]) -> list[DeadLetter]:
    """The malformed ones among the records."""
    parsed = ((place, record, parse(record, place)) for place, record in records)
    return [DeadLetter(place, record, one.reason) for place, record, one in parsed if isinstance(one, Malformed)]


class DeadLetters:
    """Runs until its stop event is set. A batch that cannot be copied now is tried again, never passed over."""

    def __init__(self, topic: str, place: Callable[[Partition], Place], producer: Producer) -> None:
        self._topic = topic
        self._place = place
        self._producer = producer

    async def run(self, config: dict[str, object], topics: Sequence[str], stop: asyncio.Event) -> None:
        """Consumes the topics until `stop` is set. `config` is the consumer's."""
        consumer = Consumer(config | {"auto.offset.reset": "earliest"})
        consumer.subscribe(list(topics))
        try:
            while not stop.is_set():
                await self._batch(consumer, stop)
        finally:
            await asyncio.to_thread(consumer.close)

    async def _batch(self, consumer: Consumer, stop: asyncio.Event) -> None:
        messages = await asyncio.to_thread(_poll, consumer)
        if not messages:
            return
        letters = void([(self._place((m.topic() or "", m.partition() or 0)), record_of(m)) for m in messages])
        while not await self._copied(letters):
            if stop.is_set():
                return
            await asyncio.sleep(PAUSE)
        await asyncio.to_thread(_commit, consumer, messages)

    async def _copied(self, letters: Sequence[DeadLetter]) -> bool:
        try:
            await asyncio.gather(*(self._copy(letter) for letter in letters))
        except (Unavailable, Unknown) as error:
            log.warning("dead letters not copied yet", letters=len(letters), error=str(error))
            return False
        return True

    async def _copy(self, letter: DeadLetter) -> Delivered:
        log.info("dead letter", topic=letter.place.topic, offset=letter.record.offset, reason=letter.reason)
        return await self._producer.send(letter.outgoing(self._topic))


def _poll(consumer: Consumer) -> list[Message]:
    first = consumer.poll(POLL)
    if first is None:
        return []
    return sound((first, *consumer.consume(MOST, 0)))


def _commit(consumer: Consumer, messages: Sequence[Message]) -> None:
    try:
        for message in messages:
            consumer.store_offsets(message)
        consumer.commit(asynchronous=False)
    except KafkaException as error:
        log.warning("offsets not committed; the batch may be copied again", error=str(error))
