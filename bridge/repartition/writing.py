"""Records written to the partitions that they are meant for, with their own times. It blocks: use it in a thread."""

from __future__ import annotations

import time
from collections.abc import Iterable

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from bridge.errors import LighthouseError, Unavailable
from bridge.log import kafka
from bridge.log.record import H_TICK, Headers
from bridge.settings import Settings

Outgoing = list[tuple[str, str | bytes | None]]

NEVER_GIVE_UP = {"message.timeout.ms": 0, "linger.ms": 5}
"""A record that timed out between others would leave a gap."""

PATIENCE = 60.0
"""Seconds for which Kafka may confirm nothing."""


class Writer:
    """Writes to one topic. Each partition gets a beginning of what was to be written, whenever the process ends."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._topic = topic
        self._kafka = Producer(kafka.producer(settings) | NEVER_GIVE_UP)
        self._error: KafkaError | None = None
        self._confirmed = time.monotonic()

    def write(self, partition: int, key: bytes | None, value: bytes | None, headers: Headers, time_: int) -> None:
        """Hands a record over; `time_` is in microseconds, of which Kafka keeps the milliseconds.

        Raises LighthouseError, and Unavailable where Kafka does not keep up.
        """
        told: tuple[Outgoing, int] = list(headers), time_ // 1000
        while not self._handed_over(partition, key, value, *told):
            self._kafka.poll(0.1)
            self._check()
        self._kafka.poll(0)
        self._check()

    def _handed_over(
        self, partition: int, key: bytes | None, value: bytes | None, headers: Outgoing, time_: int
    ) -> bool:
        try:
            self._kafka.produce(
                self._topic, value, key, partition, on_delivery=self._report, timestamp=time_, headers=headers
            )
        except BufferError:
            return False
        except KafkaException as error:
            raise LighthouseError(f"{self._topic} takes no records: {error.args[0].str()}") from error
        return True

    def tick(self, partition: int, time_: int) -> None:
        """Writes a tick."""
        self.write(partition, None, b"", [(H_TICK, b"1")], time_)

    def _report(self, error: KafkaError | None, _: Message) -> None:
        self._confirmed = time.monotonic()
        self._error = self._error or error

    def _check(self) -> None:
        if self._error is not None:
            raise LighthouseError(f"{self._topic} takes no records: {self._error.str()}")
        if len(self._kafka) and time.monotonic() - self._confirmed > PATIENCE:
            raise Unavailable(f"Kafka confirmed no record of {self._topic} for {PATIENCE:g} s")
        if not len(self._kafka):
            self._confirmed = time.monotonic()

    def flush(self) -> None:
        """Returns once all is confirmed. Raises as `write` does."""
        while self._kafka.flush(0.5):
            self._check()
        self._check()

    def close(self) -> None:
        """Gives up what is not confirmed."""
        self._kafka.purge()
        self._kafka.flush(1.0)


def still_open(settings: Settings, topic: str, partitions: Iterable[int]) -> set[int]:
    """Those of the partitions that take a record; it is a tick.

    One whose most bytes are 0 refuses any for its size. Raises Unavailable where a partition says something else.
    """
    found, wrong = set[int](), list[str]()

    def report(error: KafkaError | None, message: Message) -> None:
        if error is None:
            found.add(message.partition() or 0)
        elif error.code() != KafkaError.MSG_SIZE_TOO_LARGE:
            wrong.append(f"{topic}-{message.partition()}: {error.str()}")

    producer = Producer(kafka.producer(settings))
    tick: Outgoing = [(H_TICK, b"1")]
    for number in partitions:
        producer.produce(topic, b"", None, number, on_delivery=report, headers=tick)
    if producer.flush(settings.deadline) or wrong:
        raise Unavailable(f"Kafka does not close {topic}: {'; '.join(wrong) or 'it does not answer'}")
    return found
