"""One header of every record of a topic, read from its beginning to where it ends now."""

from __future__ import annotations

import time
from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from bridge.errors import LighthouseError, Unavailable
from bridge.log.kafka import common
from bridge.settings import Settings

AT_ONCE = 10_000


def header_values(settings: Settings, topic: str, partitions: int, header: str, most: int) -> set[bytes]:
    """The values of the header. Blocks: run it in a thread.

    Raises LighthouseError for a topic of more than `most` records, Unavailable where Kafka does not answer in time.
    """
    consumer = Consumer(_config(settings))
    try:
        ends = {number: _bounds(consumer, topic, number, settings.deadline) for number in range(partitions)}
        if (count := sum(end - begin for begin, end in ends.values())) > most:
            raise LighthouseError(f"topic {topic} holds {count:,} records, more than {most:,}: too many to be compared")
        consumer.assign([TopicPartition(topic, number, begin) for number, (begin, end) in ends.items() if end > begin])
        rest = {number for number, (begin, end) in ends.items() if end > begin}
        return {value for message in _messages(consumer, rest, settings.deadline) for value in _values(message, header)}
    except KafkaException as error:
        raise Unavailable(f"topic {topic} cannot be read: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _config(settings: Settings) -> dict[str, object]:
    return common(settings, "lighthouse-headers") | {
        "group.id": "lighthouse-headers",  # demanded, and never joined: partitions are assigned by hand
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,  # also behind control records, which nobody is given
        "queued.max.messages.kbytes": 32_768,
    }


def _bounds(consumer: Consumer, topic: str, partition: int, timeout: float) -> tuple[int, int]:
    begin, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout)
    return int(begin), int(end)


def _messages(consumer: Consumer, rest: set[int], timeout: float) -> Iterator[Message]:
    """The messages of the partitions in `rest` until each of them has come to its end."""
    deadline = time.monotonic() + timeout
    while rest:
        found = consumer.consume(AT_ONCE, 0.5)
        for message in found:
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                rest.discard(message.partition() or 0)
            else:
                raise KafkaException(error)
        if found:
            deadline = time.monotonic() + timeout
        elif time.monotonic() > deadline:
            raise Unavailable(f"Kafka sent nothing for {timeout:g} s, and {len(rest)} partitions are not at their end")


def _values(message: Message, header: str) -> Iterator[bytes]:
    for name, value in list(message.headers() or ()):
        if name == header and isinstance(value, bytes):
            yield value
