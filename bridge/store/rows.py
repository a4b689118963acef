"""What lies in each row: fixed-size numbers, big-endian, then the variable parts. Times are microseconds."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

import msgspec

_HEAD = Struct(">QqqqB")
_EVENT = Struct(">BQHqqI16sH")
_APPEND = Struct(">QH16sQ")
_ORDER = Struct(">Q")
_CLOCK = Struct(">qq")
_LAST = Struct(">QiI")
_TIMES = Struct(">11xqq")


class Head(msgspec.Struct, frozen=True):
    """A stream: the version its next event gets, first and last effective time, the running maximum of event time.

    `large` says that its last snapshot was large, so that its state is not written with each batch (P4).
    """

    next: int = 0
    first: int = 0
    last: int = 0
    event_time: int = 0
    parked: bool = False
    large: bool = False

    def pack(self) -> bytes:
        """The row's value."""
        return _HEAD.pack(self.next, self.first, self.last, self.event_time, self.parked | self.large << 1)

    @classmethod
    def unpack(cls, raw: bytes | None) -> Head:
        """The head in a row; a stream without one is at version 0."""
        if raw is None:
            return EMPTY
        following, first, last, event_time, flags = _HEAD.unpack(raw)
        return cls(following, first, last, event_time, bool(flags & 1), bool(flags & 2))


EMPTY = Head()


class EventRow(msgspec.Struct, frozen=True):
    """One admitted event, undecoded. `raw` marks an event whose append could not be decoded (P4).

    The first event of such an append holds the record's whole value in `event`, the others nothing.
    """

    offset: int
    index: int
    effective: int
    event_time: int
    schema: int
    append: bytes
    envelope: bytes
    event: bytes
    raw: bool = False

    def pack(self) -> bytes:
        """The row's value."""
        at, clocks, written = (self.offset, self.index), (self.effective, self.event_time), (self.schema, self.append)
        return pack_event(at, clocks, written, self.envelope, self.event, self.raw)

    @classmethod
    def unpack(cls, row: bytes) -> EventRow:
        """The event in a row."""
        raw, offset, index, effective, event_time, schema, append, length = _EVENT.unpack_from(row)
        split = _EVENT.size + length
        envelope, event = row[_EVENT.size : split], row[split:]
        return cls(offset, index, effective, event_time, schema, append, envelope, event, bool(raw))


def pack_event(
    at: tuple[int, int],
    clocks: tuple[int, int],
    written: tuple[int, bytes],
    envelope: bytes,
    event: bytes,
    raw: bool = False,
) -> bytes:
    """The row of an event, without an EventRow: the processor makes one for each event there is.

    `at` is offset and index, `clocks` effective and event time, `written` schema and append id.
    """
    return _EVENT.pack(raw, *at, *clocks, *written, len(envelope)) + envelope + event


def times(row: bytes) -> tuple[int, int]:
    """(effective time, event time so far) of an event's row, without unpacking the rest."""
    effective, event_time = _TIMES.unpack_from(row)
    return effective, event_time


class AppendRow(msgspec.Struct, frozen=True):
    """Where an append was admitted, and the hash of its request."""

    stream: str
    first_version: int
    count: int
    request: bytes
    offset: int

    @classmethod
    def unpack(cls, row: bytes) -> AppendRow:
        """The append in a row."""
        first, count, request, offset = _APPEND.unpack_from(row)
        return cls(row[_APPEND.size :].decode(), first, count, request, offset)


def pack_append(stream: bytes, first_version: int, count: int, request: bytes, offset: int) -> bytes:
    """The row of an append."""
    return _APPEND.pack(first_version, count, request, offset) + stream


def pack_order(stream: bytes, version: int) -> bytes:
    """The row of one event in the admitted order."""
    return _ORDER.pack(version) + stream


def unpack_order(row: bytes) -> tuple[str, int]:
    """(stream, version) of one event in the admitted order."""
    return row[_ORDER.size :].decode(), int(_ORDER.unpack_from(row)[0])


@dataclass(frozen=True, slots=True)
class Clock:
    """The partition's effective time, and that of its last admitted event; 0 before the first."""

    effective: int = 0
    last_event: int = 0

    def pack(self) -> bytes:
        """The row's value."""
        return _CLOCK.pack(self.effective, self.last_event)

    @classmethod
    def unpack(cls, raw: bytes | None) -> Clock:
        """The clock in a row; at 0 where there is none."""
        return cls(*_CLOCK.unpack(raw)) if raw is not None else cls()


@dataclass(frozen=True, slots=True)
class Last:
    """The last record that was applied, by which P1 knows the log again."""

    offset: int
    leader_epoch: int
    crc: int

    def pack(self) -> bytes:
        """The row's value."""
        return _LAST.pack(self.offset, self.leader_epoch, self.crc)

    @classmethod
    def unpack(cls, raw: bytes) -> Last:
        """The record's marks in a row."""
        return cls(*_LAST.unpack(raw))


class Identity(msgspec.Struct, frozen=True):
    """The log that a space is the history of: Kafka's cluster id and topic id, and the pinned partition count."""

    cluster: str
    topic: str
    partitions: int

    def pack(self) -> bytes:
        """The row's value."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def unpack(cls, raw: bytes) -> Identity:
        """The identity in a row."""
        return msgspec.msgpack.decode(raw, type=cls)


class Spent(msgspec.Struct, frozen=True):
    """Seconds by step of the protocol since an owner took over.

    P3 includes reading what the store has, P4 the projections.
    """

    p3: float = 0.0
    p4: float = 0.0
    p5: float = 0.0


class Lived(msgspec.Struct, frozen=True, order=True):
    """Seconds since a process was started, and how many of them it has waited for records (P2)."""

    seconds: float = 0.0
    waited: float = 0.0


Process = tuple[str, int]
"""A process as `host:pid`, and when it was started: others may have had the same name before."""


class Tenure(msgspec.Struct, frozen=True):
    """Who owns a space, as `host:pid`, since when, and what came of it until `until`; microseconds of its own clock.

    `left` says that it has let go and will commit no more. `started` is when its process was started, 0 where an older
    version of the code has not told that.
    """

    owner: str
    since: int
    until: int
    left: bool = False
    records: int = 0
    spent: Spent = Spent()
    started: int = 0
    lived: Lived = Lived()

    @property
    def process(self) -> Process:
        """The process that owns it, or has owned it."""
        return self.owner, self.started

    def pack(self) -> bytes:
        """The row's value."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def unpack(cls, raw: bytes) -> Tenure:
        """The tenure in a row."""
        return msgspec.msgpack.decode(raw, type=cls)


class ParkedRow(msgspec.Struct, frozen=True):
    """Why a stream is parked: the version it stopped at, the error as a sentence, and its traceback."""

    version: int
    error: str
    traceback: str = ""

    def pack(self) -> bytes:
        """The row's value."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def unpack(cls, raw: bytes) -> ParkedRow:
        """The reason in a row."""
        return msgspec.msgpack.decode(raw, type=cls)


class ParkedEvent(msgspec.Struct, frozen=True):
    """The event at which a build stands still, and why: the error as a sentence, its traceback.

    `retries` counts the retries that had been asked for when it stopped. `unread` marks an event whose bytes cannot
    be decoded: its owner tries that again by itself.
    """

    stream: str
    version: int
    event: str
    effective: int
    error: str
    traceback: str = ""
    retries: int = 0
    unread: bool = False


class Progress(msgspec.Struct, frozen=True):
    """How far a build of a projection is in one partition.

    A live one is fed with each commit and is where the mark is. Any other goes on at the event (offset, index) of the
    admitted order; a `complete` one was live before. Between `began` and `until`, by the owner's clock in
    microseconds, it was fed `fed` events from the offset `start` on.
    """

    offset: int = 0
    index: int = 0
    live: bool = False
    complete: bool = False
    fed: int = 0
    start: int = 0
    began: int = 0
    until: int = 0
    parked: ParkedEvent | None = None

    def pack(self) -> bytes:
        """The row's value."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def unpack(cls, raw: bytes) -> Progress:
        """The progress in a row."""
        return msgspec.msgpack.decode(raw, type=cls)


class Changed(msgspec.Struct, array_like=True, frozen=True):
    """Which hot rows a commit of the history changed: their keys, or `many` of them.

    `owner` is a name that the owner drew when it took the space over: with the number of the commit it tells the
    commit from any other there ever was, whatever a fail-over has forgotten.
    """

    owner: bytes
    keys: list[bytes] = []
    many: bool = False

    def pack(self) -> bytes:
        """The row's value."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def unpack(cls, raw: bytes) -> Changed:
        """The change in a row."""
        return msgspec.msgpack.decode(raw, type=cls)


class Hot(msgspec.Struct, array_like=True, frozen=True):
    """How far a hot space has copied its history: up to the commit of this owner and number.

    The rows of the `complete` prefixes are there. The prefix being `copying` goes on behind the key `cursor`; `doomed`
    are prefixes whose rows are being removed. While the space is not `following`, its rows are of several positions.
    """

    owner: bytes
    commit: int
    following: bool = True
    complete: list[bytes] = []
    copying: bytes = b""
    cursor: bytes = b""
    doomed: list[bytes] = []

    def pack(self) -> bytes:
        """The row's value."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def unpack(cls, raw: bytes) -> Hot:
        """What a row says."""
        return msgspec.msgpack.decode(raw, type=cls)


def pack_old(row: bytes | None) -> bytes:
    """What a row was from some time on; None where it was removed."""
    return b"\0" if row is None else b"\1" + row


def unpack_old(raw: bytes) -> bytes | None:
    """The row, or None where it was removed."""
    return raw[1:] if raw[:1] == b"\1" else None


def pack_state(version: int, state: bytes) -> bytes:
    """A folded state after the event of this version."""
    return _ORDER.pack(version) + state


def unpack_state(row: bytes) -> tuple[int, bytes]:
    """(version, encoded state)."""
    return int(_ORDER.unpack_from(row)[0]), row[_ORDER.size :]
