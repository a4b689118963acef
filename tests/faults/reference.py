"""A naive admission, written from DESIGN 4 and 6 alone, and the log as a plain consumer reads it.

Nothing here imports the platform: where the two disagree, one of them is wrong.
"""

from __future__ import annotations

import asyncio
import io
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from fastavro import schemaless_reader

STREAM = re.compile(rb"[A-Za-z0-9._~@:+-]+/[A-Za-z0-9._~@:+/-]+")
NUMBER = re.compile(rb"0|[1-9][0-9]{0,17}")
OURS = {"lh_format", "lh_append", "lh_expected", "lh_count", "lh_request", "lh_tick"}
PATIENCE = 20.0

Schemas = Callable[[int], Any]
"""A parsed Avro schema by its id, or None."""


@dataclass(frozen=True)
class LogRecord:
    """A record as Kafka gives it; `time` in microseconds."""

    offset: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    time: int
    leader_epoch: int


@dataclass(frozen=True)
class Admitted:
    """An append that counts; if its value can be read, the id of the attempt that wrote it, and types and data."""

    stream: str
    first: int
    count: int
    offset: int
    effective: int
    attempt: str | None
    events: Sequence[tuple[str, Mapping[str, Any]]] = ()


@dataclass
class Reference:
    """One partition's admission. Feed it every record in offset order."""

    topic: str
    partition: int
    partitions: int
    schemas: Schemas
    heads: dict[str, int] = field(default_factory=dict)
    admitted: dict[bytes, Admitted] = field(default_factory=dict)
    void: dict[int, str] = field(default_factory=dict)
    effective: int = 0
    end: int = 0

    def take(self, record: LogRecord) -> None:
        """R1 to R4, one after the other."""
        assert record.offset >= self.end, "a plain consumer reads in offset order"
        self.end = record.offset + 1
        self.effective = max(self.effective, record.time)
        headers = dict(record.headers)
        if "lh_tick" in headers and record.key is None and not record.value and OURS & headers.keys() == {"lh_tick"}:
            self.void[record.offset] = "tick"
        elif self._malformed(record, headers):
            self.void[record.offset] = "malformed"
        elif headers["lh_append"] in self.admitted:
            self.void[record.offset] = "duplicate"
        else:
            self._judge(record, headers)

    def _judge(self, record: LogRecord, headers: dict[str, bytes]) -> None:
        stream = (record.key or b"").decode()
        head = self.heads.get(stream, 0)
        if headers["lh_expected"] not in (b"any", b"%d" % head):
            self.void[record.offset] = "conflict"
            return
        count = int(headers["lh_count"])
        said = read_append(record.value, self.schemas)
        attempt = traced(headers) or (str(said["metadata"].get("attempt")) if said else None)
        append = Admitted(stream, head, count, record.offset, self.effective, attempt, events_of(said) if said else ())
        self.admitted[headers["lh_append"]] = append
        self.heads[stream] = head + count

    def _malformed(self, record: LogRecord, headers: dict[str, bytes]) -> bool:
        names = [name for name, _ in record.headers if name in OURS]
        return not (
            "lh_tick" not in headers
            and len(names) == len(set(names))
            and self._right_key(record.key)
            and headers.get("lh_format") == b"1"
            and len(headers.get("lh_append", b"")) == 16
            and len(headers.get("lh_request", b"")) == 16
            and (headers.get("lh_expected") == b"any" or NUMBER.fullmatch(headers.get("lh_expected", b"")))
            and NUMBER.fullmatch(headers.get("lh_count", b""))
            and 1 <= int(headers["lh_count"]) <= 1000
            and 5 < len(record.value) <= 4 << 20
            and record.value[0] == 0
        )

    def _right_key(self, key: bytes | None) -> bool:
        if key is None or len(key) > 255 or not STREAM.fullmatch(key):
            return False
        category = self.topic.rpartition(".")[2].encode()
        right = (murmur2(key) & 0x7FFFFFFF) % self.partitions
        return key.startswith(category + b"/") and right == self.partition


def murmur2(data: bytes) -> int:
    """Kafka's partitioner, after org.apache.kafka.common.utils.Utils."""
    mixer, mask = 0x5BD1E995, 0xFFFFFFFF
    mixed = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * mixer & mask
        mixed = (mixed * mixer & mask) ^ ((word ^ word >> 24) * mixer & mask)
    if data[whole:]:
        mixed = (mixed ^ int.from_bytes(data[whole:], "little")) * mixer & mask
    mixed = (mixed ^ mixed >> 13) * mixer & mask
    return mixed ^ mixed >> 15


TRACED = "00-feed{number:028x}-00f067aa0ba902b7-01"
"""The trace context by which a client of the API tells its attempts apart: a body with a number would be another."""


def traced(headers: Mapping[str, bytes]) -> str | None:
    """The number of the attempt in its trace context, if it has one of ours."""
    told = headers.get("traceparent", b"").decode()
    return str(int(told[7:35], 16)) if told.startswith("00-feed") else None


def read_append(value: bytes, schemas: Schemas) -> Any:
    """An append's fields as any Avro library reads them, each event with the name of its type; None where none can."""
    schema = schemas(int.from_bytes(value[1:5], "big"))
    if schema is None:
        return None
    try:
        return schemaless_reader(io.BytesIO(value[5:]), schema, None, return_record_name=True)
    except Exception:  # whatever a foreign producer's bytes lead fastavro to
        return None


def events_of(append: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """Short type names and data of an append that was read."""
    return [(name.rpartition(".")[2], data) for name, data in append["events"]]


PLAIN = {
    "group.id": "checker",
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "isolation.level": "read_uncommitted",
    "log_level": 2,
}


def read_log(bootstrap: str, topic: str, partition: int, end: int) -> Iterator[LogRecord]:
    """Every record of a partition below an offset; control records, which occupy offsets too, are none."""
    with closing(Consumer({"bootstrap.servers": bootstrap, **PLAIN})) as consumer:
        consumer.assign([TopicPartition(topic, partition, 0)])
        until, position = time.monotonic() + PATIENCE, 0
        while position < end:
            assert time.monotonic() < until, f"{topic}-{partition} was read up to {position} of {end} only"
            for message in consumer.consume(1000, 0.2):
                position = _next_offset(message)
                if message.error() is None and position <= end:
                    yield _record(message)


async def log_below(bootstrap: str, topic: str, partition: int, end: int) -> list[LogRecord]:
    """The same at once, read beside the event loop."""
    return await asyncio.to_thread(lambda: list(read_log(bootstrap, topic, partition, end)))


def _next_offset(message: Message) -> int:
    """The offset behind a record, or the one at which the partition ends."""
    error = message.error()
    if error is None:
        return (message.offset() or 0) + 1
    assert error.code() == KafkaError._PARTITION_EOF, error
    return message.offset() or 0


def _record(message: Message) -> LogRecord:
    headers: Any = message.headers() or []
    sound = [(name, value or b"") for name, value in headers]
    epoch = message.leader_epoch()
    return LogRecord(
        offset=message.offset() or 0,
        key=message.key(),
        value=message.value() or b"",
        headers=sound,
        time=message.timestamp()[1] * 1000,
        leader_epoch=-1 if epoch is None else epoch,
    )
