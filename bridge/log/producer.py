"""The producer: confluent-kafka's callbacks bridged to asyncio (A4).

librdkafka reports deliveries in a thread that polls. Many reports make one wake-up of the event loop: the first puts
a drain on the loop, those that follow before it runs only join its queue.

A record is handed over at once while few are in flight. Under load, records are gathered for a few milliseconds: the
broker then takes them in fewer and larger requests, which cost it a third. (A fixed `linger.ms` delays everybody.)
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Any

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as KafkaProducer

from bridge.errors import TooLarge, Unavailable, Unknown

PROMPT = 8
"""Records in flight below which the next one is handed over at once."""

GATHER = 0.004
"""Seconds for which records are gathered under load."""

log = structlog.get_logger()

Headers = list[tuple[str, str | bytes | None]]


class Outgoing(msgspec.Struct, frozen=True):
    """A record to be written. `partition` -1 leaves it to the client's murmur2 partitioner, which agrees with ours."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: Headers


class Delivered(msgspec.Struct, frozen=True):
    """Where a record lies."""

    partition: int
    offset: int


class Producer:
    """One idempotent producer with its polling thread; belongs to the event loop that made it.

    `flying` counts the records that the client has and has not reported.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._kafka = KafkaProducer(config)
        self._loop = asyncio.get_running_loop()
        self._reports: deque[tuple[asyncio.Future[Delivered], KafkaError | None, Delivered]] = deque()
        self._gathered: list[tuple[Outgoing, asyncio.Future[Delivered]]] = []
        self.flying = 0
        self._draining = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="lighthouse-producer", daemon=True)
        self._thread.start()

    def send(self, outgoing: Outgoing) -> asyncio.Future[Delivered]:
        """Hands the record to the client soon; the future answers when the broker has, or raises Unknown.

        It raises Unavailable, or TooLarge, where the client did not take it: then nothing was written, nor will be.
        """
        future: asyncio.Future[Delivered] = self._loop.create_future()
        if self.flying < PROMPT:
            self._hand_over(outgoing, future)
            return future
        if not self._gathered:
            self._loop.call_later(GATHER, self._release)
        self._gathered.append((outgoing, future))
        return future

    def _release(self) -> None:
        """Hands over what was gathered, but for what nobody waits for any more: that is never written."""
        gathered, self._gathered = self._gathered, []
        for outgoing, future in gathered:
            if not future.done():
                self._hand_over(outgoing, future)

    def _hand_over(self, outgoing: Outgoing, future: asyncio.Future[Delivered]) -> None:
        report = _Report(self, future)
        try:
            self._kafka.produce(
                outgoing.topic,
                outgoing.value,
                outgoing.key,
                outgoing.partition,
                report,
                headers=outgoing.headers,
            )
        except BufferError:
            future.set_exception(Unavailable("the producer's queue is full: Kafka does not keep up"))
        except KafkaException as error:
            future.set_exception(self._not_taken(error.args[0]))
        else:
            self.flying += 1

    def _not_taken(self, error: KafkaError) -> TooLarge | Unavailable:
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return TooLarge(f"the record is larger than the log takes: {error.str()}")
        if error.fatal():
            self.renew()
        return Unavailable(f"Kafka does not take records now: {error.str()}")

    def renew(self) -> None:
        """An idempotent producer that met a fatal error never works again; a new one begins a new epoch.

        What the old one still holds is given up, so that whoever waits for it is told: Unknown.
        """
        log.warning("producer renewed after a fatal error")
        old, self._kafka = self._kafka, KafkaProducer(self._config)
        old.purge()
        self._loop.run_in_executor(None, old.flush, 1.0)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._kafka.poll(0.1)

    def report(self, future: asyncio.Future[Delivered], error: KafkaError | None, message: Message) -> None:
        """Takes a delivery report, in the polling thread."""
        where = Delivered(message.partition() or 0, -1 if message.offset() is None else int(message.offset() or 0))
        self._reports.append((future, error, where))
        if not self._draining:
            self._draining = True
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._draining = False
        reports = self._reports
        while reports:
            future, error, where = reports.popleft()
            self.flying -= 1
            if future.done():
                continue
            if error is None and where.offset >= 0:
                future.set_result(where)
            else:
                future.set_exception(Unknown(f"Kafka did not confirm the record: {error or 'no offset reported'}"))

    async def close(self, timeout: float) -> None:
        """Waits up to `timeout` seconds for what is in flight, then stops the thread."""
        self._release()
        await asyncio.to_thread(self._kafka.flush, timeout)
        self._stopping.set()
        await asyncio.to_thread(self._thread.join, 2.0)
        self._drain()


class _Report:
    """The delivery callback of one record; a class, since that costs less than a closure over two names."""

    __slots__ = ("_future", "_producer")

    def __init__(self, producer: Producer, future: asyncio.Future[Delivered]) -> None:
        self._producer = producer
        self._future = future

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        self._producer.report(self._future, error, message)
