"""Admission, history and the fold once more, naively, from the words of DESIGN 4-6 alone. Nothing here is ours."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from aiokafka.partitioner import murmur2
from fastavro import schemaless_reader

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STREAM = re.compile(r"account/[A-Za-z0-9._~@:+/-]+")
OURS = ("lh_format", "lh_append", "lh_expected", "lh_count", "lh_request", "lh_tick")


class Read(Protocol):
    """A record as read from the log."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...
    @property
    def time(self) -> int:
        """LogAppendTime in microseconds."""
        ...


@dataclass(frozen=True)
class Fact:
    """One admitted event; `data` is None where nothing can be decoded, and then `event_time` is unknown."""

    type: str
    data: Mapping[str, Any] | None
    effective: int
    event_time: int
    append: bytes
    place: tuple[int, int]


@dataclass(frozen=True)
class Win:
    """An append that counted."""

    stream: str
    first: int
    count: int
    request: bytes
    offset: int


@dataclass
class Truth:
    """What a log means."""

    streams: dict[str, list[Fact]] = field(default_factory=dict)
    wins: dict[bytes, Win] = field(default_factory=dict)
    effective: int = 0

    def admitted(self) -> dict[int, bytes]:
        """Append ids by the offset that won."""
        return {win.offset: append for append, win in self.wins.items()}


def truth(records: Sequence[Read], partition: int, partitions: int, schemas: Mapping[int, Any]) -> Truth:
    """Reads the log from its beginning."""
    told = Truth()
    for record in records:
        told.effective = max(told.effective, record.time)
        if counts(record, partition, partitions):
            admit(told, record, schemas)
    return told


def counts(record: Read, partition: int, partitions: int) -> bool:
    """Whether the record is a well-formed append (R1)."""
    names = [name for name, _ in record.headers if name in OURS]
    headers = dict(record.headers)
    key, value = record.key or b"", record.value or b""
    return (
        sorted(names) == sorted(OURS[:5])
        and headers["lh_format"] == b"1"
        and (len(headers["lh_append"]), len(headers["lh_request"])) == (16, 16)
        and (headers["lh_expected"] == b"any" or number(headers["lh_expected"]))
        and number(headers["lh_count"])
        and 1 <= int(headers["lh_count"]) <= 1000
        and len(key) <= 255
        and STREAM.fullmatch(key.decode("latin-1")) is not None
        and (murmur2(key) & 0x7FFFFFFF) % partitions == partition
        and 5 < len(value) <= 4 * 1024 * 1024
        and value[0] == 0
    )


def number(text: bytes) -> bool:
    """Whether these are ASCII decimals."""
    return text.isdigit() and str(int(text)).encode() == text


def admit(told: Truth, record: Read, schemas: Mapping[int, Any]) -> None:
    """R2 to R4."""
    headers = dict(record.headers)
    stream, append, said = (record.key or b"").decode(), headers["lh_append"], headers["lh_expected"]
    facts = told.streams.get(stream, [])
    if append in told.wins or (said != b"any" and int(said) != len(facts)):
        return
    count = int(headers["lh_count"])
    told.wins[append] = Win(stream, len(facts), count, headers["lh_request"], record.offset)
    body = decoded(record.value or b"", count, schemas)
    time = micros(body["time"]) if body else 0
    before = facts[-1].event_time if facts else time
    events = body["events"] if body else [("", None)] * count
    told.streams[stream] = facts + [
        Fact(name.rpartition(".")[2], data, told.effective, max(before, time), append, (record.offset, index))
        for index, (name, data) in enumerate(events)
    ]


def decoded(value: bytes, count: int, schemas: Mapping[int, Any]) -> dict[str, Any] | None:
    """The whole `Append` as any Avro library reads it; None where it cannot be read."""
    schema = schemas.get(int.from_bytes(value[1:5], "big"))
    if schema is None:
        return None
    source = io.BytesIO(value[5:])
    try:
        body: Any = schemaless_reader(source, schema, None, return_named_type=True)
    except (EOFError, IndexError, ValueError):
        return None
    return body if len(body["events"]) == count and not source.read() else None


def micros(time: datetime) -> int:
    """Microseconds since 1970 of a datetime."""
    return (time - EPOCH) // timedelta(microseconds=1)


def balance(facts: Sequence[Fact]) -> int:
    """The fold of an account, or of what is known of it."""
    return sum(fact.data["amount"] * (1 if fact.type == "Deposited" else -1) for fact in facts if fact.data)


def memos(facts: Sequence[Fact]) -> dict[str, int]:
    """The other half of the fold."""
    found: dict[str, int] = {}
    for fact in facts:
        if fact.data and "memo" in fact.data:
            found[fact.data["memo"]] = found.get(fact.data["memo"], 0) + fact.data["amount"]
    return found
