"""The baselines: bare confluent-kafka clients that do no more than the transport and the codec of the same load."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from fastavro import parse_schema, schemaless_reader

from benchmarks.figure import NotMeasured
from benchmarks.sample import Ready
from bridge.log import kafka
from bridge.log.compose import Schema
from bridge.log.record import PREFIX
from bridge.settings import Settings

SILENCE = 15.0

Report = Callable[[KafkaError | None, Message], None]


def send_all(settings: Settings, records: Iterable[Ready], **config: Any) -> float:
    """Writes the records as fast as the client can; answers the seconds. `config` goes into the producer's."""
    producer = Producer(kafka.producer(settings) | {"linger.ms": 20, "message.timeout.ms": 120_000} | config)
    began = time.perf_counter()
    for number, record in enumerate(records):
        _send(producer, record, _confirmed)
        if number % 500 == 0:
            producer.poll(0)
    if producer.flush(120):
        raise NotMeasured("Kafka did not take all records in two minutes")
    return time.perf_counter() - began


def _send(producer: Producer, record: Ready, report: Report) -> None:
    while True:
        try:
            producer.produce(
                record.topic,
                record.value,
                record.key,
                record.partition,
                report,
                headers=record.headers,
            )
            return
        except BufferError:
            producer.poll(0.01)


def _confirmed(error: KafkaError | None, _: Message) -> None:
    if error is not None:
        raise NotMeasured(f"Kafka refused a record: {error}")


class RoundTrips:
    """Keeps `width` records in flight in one thread; the next is sent from the report of the one before."""

    def __init__(self, settings: Settings, records: Iterable[Ready], width: int) -> None:
        self._producer = Producer(kafka.producer(settings))
        self._producer.list_topics(timeout=10)
        self._records = iter(records)
        self._width = width
        self._flying = 0
        self.latencies: list[float] = []

    def run(self) -> float:
        """Seconds from the first send to the last report."""
        began = time.perf_counter()
        for _ in range(self._width):
            self._next()
        while self._flying:
            self._producer.poll(0.1)
        return time.perf_counter() - began

    def _next(self) -> None:
        record = next(self._records, None)
        if record is None:
            return
        self._flying += 1
        sent = time.perf_counter()

        def report(error: KafkaError | None, message: Message) -> None:
            _confirmed(error, message)
            self._flying -= 1
            self.latencies.append(time.perf_counter() - sent)
            self._next()

        _send(self._producer, record, report)


def decode_all(settings: Settings, topic: str, schema: Schema, total: int) -> float:
    """Records a second that a bare consumer reads and fastavro decodes, from the first record to the last."""
    parsed = parse_schema(schema)
    began = 0.0
    for seen, message in enumerate(_messages(settings, topic), 1):
        began = began or time.perf_counter()
        source = io.BytesIO(message.value() or b"")
        source.seek(PREFIX.size)
        schemaless_reader(source, parsed, None)
        if seen == total:
            break
    return total / (time.perf_counter() - began)


def _messages(settings: Settings, topic: str) -> Iterator[Message]:
    consumer = Consumer(kafka.consumer(settings, "bench-bare"))
    consumer.assign([TopicPartition(topic, number, 0) for number in range(settings.partitions)])
    heard = time.monotonic()
    try:
        while time.monotonic() - heard < SILENCE:
            for message in consumer.consume(settings.batch_records, 0.1):
                if message.error() is None and message.value():  # a tick has no value
                    heard = time.monotonic()
                    yield message
    finally:
        consumer.close()
    raise NotMeasured(f"{topic} sent nothing for {SILENCE:.0f} s")
