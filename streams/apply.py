"""One batch of one partition, from records to rows: admit (P3) and evolve (P4). Pure: no store, no Kafka, no clock.

`Before` is what the rows say before the batch, for the streams and append ids that the batch names; `apply` answers
the commit's writes, what became of each record, and the states to keep in memory once the commit has succeeded.
"""

from __future__ import annotations

import traceback
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.errors import Undecodable
from bridge.events import RecordedEvent
from bridge.feed.order import Found, Unreadable
from bridge.history.state import EVERY, LARGE, Folded
from bridge.log.admission import Verdict, judge
from bridge.log.avro import Decoded, Slice
from bridge.log.record import AppendRecord, Malformed, Parsed, Record
from bridge.store import keys
from bridge.store.contract import Writes
from bridge.store.rows import (
    EMPTY,
    Clock,
    Head,
    Last,
    ParkedRow,
    pack_append,
    pack_event,
    pack_order,
    pack_state,
)
from bridge.typed import Typed

Decode = Callable[[AppendRecord], Decoded]
"""Decodes an admitted append; raises Undecodable."""

SECOND = 1_000_000


@dataclass(slots=True)
class Before:
    """The partition's rows before the batch. `states` holds the fold at the head of each stream not parked.

    `stuck` are the streams parked already, `failing` those whose history this code cannot fold: they park now.
    """

    clock: Clock = field(default_factory=Clock)
    heads: dict[str, Head] = field(default_factory=dict)
    seen: set[bytes] = field(default_factory=set)
    states: dict[str, Folded] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    failing: dict[str, ParkedRow] = field(default_factory=dict)


@dataclass(slots=True)
class After:
    """What a batch led to; `verdicts` counts them, `parked` names the streams that stopped in this batch."""

    writes: Writes = field(default_factory=Writes)
    position: int = 0
    last: Last | None = None
    clock: Clock = field(default_factory=Clock)
    verdicts: dict[Verdict, int] = field(default_factory=dict)
    states: dict[str, tuple[Folded, int | None]] = field(default_factory=dict)
    parked: dict[str, ParkedRow] = field(default_factory=dict)
    events: list[Found] = field(default_factory=list)


def apply(
    records: Sequence[tuple[Record, Parsed]],
    before: Before,
    decode: Decode,
    typed: Typed | None,
    partition: int = -1,
) -> After:
    """P3 and P4 for a batch in offset order. With its partition's number, the admitted events are answered as well."""
    batch = _Batch(before, decode, typed, partition)
    for record, parsed in records:
        batch.take(record, parsed)
    return batch.finish(records[-1][0])


class _Stream:
    """One stream within a batch: its head and its fold, as of the record being taken."""

    __slots__ = (
        "changed",
        "event_time",
        "events",
        "evolved",
        "failing",
        "first",
        "fold",
        "key",
        "large",
        "last",
        "name",
        "next",
        "parked",
        "size",
    )

    def __init__(self, name: str, before: Before) -> None:
        head = before.heads.get(name, EMPTY)
        self.name = name
        self.key = name.encode()
        self.events = keys.events(name)
        self.next, self.first, self.last, self.event_time = head.next, head.first, head.last, head.event_time
        self.parked = name in before.stuck
        self.failing = before.failing.get(name)
        self.fold = before.states.get(name)
        self.large = head.large
        self.size: int | None = None
        self.evolved: int | None = None
        self.changed = False

    def head(self) -> Head:
        """Its head's row."""
        return Head(self.next, self.first, self.last, self.event_time, self.parked, self.large)


class _Batch:
    """The accumulator of one `apply`: rows so far, and the partition's state as of the record being taken."""

    def __init__(self, before: Before, decode: Decode, typed: Typed | None, partition: int) -> None:
        self._before = before
        self._partition = partition
        self._seen = before.seen
        self._effective = before.clock.effective
        self._last_event = before.clock.last_event
        self._decode = decode
        self._typed = typed
        self._streams: dict[str, _Stream] = {}
        self._admitted = 0  # counted apart from the other verdicts: an Enum as a key costs as much as R2-R4
        self._after = After()
        self._puts = self._after.writes.puts

    def take(self, record: Record, parsed: Parsed) -> None:
        """Judges one record and drafts its rows."""
        if record.time > self._effective:
            self._tell_time(record)
        if not isinstance(parsed, AppendRecord):
            self._count(Verdict.MALFORMED if isinstance(parsed, Malformed) else Verdict.TICK)
            return
        stream = self._streams.get(parsed.stream) or self._begin(parsed.stream)
        verdict = judge(parsed, stream.next, parsed.append in self._seen)
        if verdict is Verdict.ADMITTED:
            self._admitted += 1
            self._admit(record, parsed, stream)
        else:
            self._count(verdict)

    def _begin(self, name: str) -> _Stream:
        return self._streams.setdefault(name, _Stream(name, self._before))

    def _count(self, verdict: Verdict, more: int = 1) -> None:
        self._after.verdicts[verdict] = self._after.verdicts.get(verdict, 0) + more

    def _tell_time(self, record: Record) -> None:
        """Effective time is the running maximum; the first record of each second leaves a `time/` row."""
        if record.time // SECOND > self._effective // SECOND:
            self._puts[keys.time(record.time)] = keys.pack_u64(record.offset)
        self._effective = record.time

    def _admit(self, record: Record, append: AppendRecord, stream: _Stream) -> None:
        self._seen.add(append.append)
        self._last_event = self._effective
        where = pack_append(stream.key, stream.next, append.count, append.request, record.offset)
        self._puts[keys.append(append.append)] = where
        if stream.failing is not None:
            self._park(stream, stream.failing)
        try:
            decoded = self._decode(append)
        except Undecodable as error:
            self._raw_rows(record.offset, append, stream, str(error))
            self._park(stream, ParkedRow(stream.next, str(error)))
        else:
            time = decoded.said.time
            stream.event_time = max(stream.event_time, time) if stream.next else time
            self._event_rows(record.offset, append, stream, decoded)
            if self._partition >= 0:
                self._tell_events(record.offset, append, stream, decoded)
            if self._typed is not None and not stream.parked:
                self._evolve(self._typed, stream, decoded.events)
        if not stream.next:
            stream.first = self._effective
        stream.last = self._effective
        stream.next += append.count
        stream.changed = True

    def _event_rows(self, offset: int, append: AppendRecord, stream: _Stream, decoded: Decoded) -> None:
        puts, version, envelope = self._puts, stream.next, decoded.envelope
        clocks, written = (self._effective, stream.event_time), (append.schema, append.append)
        for index, event in enumerate(decoded.events):
            row = pack_event((offset, index), clocks, written, envelope, event.raw)
            puts[stream.events + keys.pack_u64(version)] = row
            puts[keys.order(offset, index)] = pack_order(stream.key, version)
            version += 1

    def _tell_events(self, offset: int, append: AppendRecord, stream: _Stream, decoded: Decoded) -> None:
        """The events as projections are given them."""
        name, version, envelope = stream.name, stream.next, decoded.said
        where, clocks = (self._partition, offset), (self._effective, stream.event_time)
        for index, event in enumerate(decoded.events):
            kind, written = event.branch.type, (*clocks, event.branch.version)
            try:
                data = event.newest
            except Exception as error:  # an upcast is the application's code
                self._tell_unread(offset, index, append, stream, f"{type(error).__name__}: {error}")
                continue
            told = RecordedEvent(name, version + index, kind, data, envelope, append.append, index, *where, *written)
            self._after.events.append(told)

    def _tell_unread(self, offset: int, index: int, append: AppendRecord, stream: _Stream, error: str) -> None:
        """An event that no projection can be given yet."""
        where = append.append, index, self._partition, offset, self._effective
        self._after.events.append(Unreadable(stream.name, stream.next + index, *where, error))

    def _raw_rows(self, offset: int, append: AppendRecord, stream: _Stream, error: str) -> None:
        """Rows of an append that cannot be decoded: the first holds the whole value, to be read when that changes."""
        clocks, written = (self._effective, stream.event_time), (append.schema, append.append)
        for index in range(append.count):
            version = stream.next + index
            value = append.value if index == 0 else b""
            row = pack_event((offset, index), clocks, written, b"", value, raw=True)
            self._puts[stream.events + keys.pack_u64(version)] = row
            self._puts[keys.order(offset, index)] = pack_order(stream.key, version)
            if self._partition >= 0:
                self._tell_unread(offset, index, append, stream, error)

    def _evolve(self, typed: Typed, stream: _Stream, events: Sequence[Slice]) -> None:
        """Folds the events into the stream's state; an error parks the stream before the event that raised it."""
        version, state = stream.next, stream.fold[1] if stream.fold is not None else typed.decider.initial
        for event in events:
            try:
                state = typed.evolve(state, event.branch.type, event.newest)
                if (version + 1) % EVERY == 0:
                    encoded = typed.encode(state)
                    self._puts[keys.snapshot(typed.version, stream.name, version)] = pack_state(version, encoded)
                    stream.size, stream.large = len(encoded), len(encoded) > LARGE
            except Exception as error:  # the application's code: whatever it raises parks the stream (P4)
                why = ParkedRow(version, f"{type(error).__name__}: {error}", traceback.format_exc())
                self._park(stream, why)
                break
            if stream.evolved is None:
                stream.evolved = version
            stream.fold = version, state
            version += 1

    def _park(self, stream: _Stream, why: ParkedRow) -> None:
        if not stream.parked:
            stream.parked = True
            self._after.parked[stream.name] = why
            self._puts[keys.parked(stream.name)] = why.pack()

    def finish(self, last: Record) -> After:
        """Writes what is written once a batch: heads, states, clock and the mark of the last record."""
        after = self._after
        for stream in self._streams.values():
            if stream.evolved is not None:
                self._keep_state(stream, stream.evolved)
            if stream.changed:
                self._puts[keys.head(stream.name)] = stream.head().pack()
        if self._admitted:
            self._count(Verdict.ADMITTED, self._admitted)
        after.position = last.offset + 1
        after.clock = Clock(self._effective, self._last_event)
        self._puts[keys.CLOCK] = after.clock.pack()
        after.last = mark_of(last)
        self._puts[keys.LAST] = after.last.pack()
        return after

    def _keep_state(self, stream: _Stream, first: int) -> None:
        """Writes the state; one that cannot be encoded parks the stream before the batch's first event, `first`.

        A large state is in its snapshots only.
        """
        assert self._typed is not None
        assert stream.fold is not None
        version, state = stream.fold
        row = keys.state(self._typed.version, stream.name)
        if stream.large:
            self._after.writes.delete(row)
            self._after.states[stream.name] = (stream.fold, stream.size)
            return
        try:
            encoded = self._typed.encode(state)
        except Exception as error:  # the application's state, which msgspec does not know
            stream.parked = False
            self._park(stream, ParkedRow(first, f"{type(error).__name__}: {error}", traceback.format_exc()))
            return
        self._puts[row] = pack_state(version, encoded)
        self._after.states[stream.name] = (stream.fold, len(encoded))


def mark_of(record: Record) -> Last:
    """By what a record is known again: offset, leader epoch, and the CRC-32 of its key, value, headers and time."""
    crc = zlib.crc32(record.key or b"")
    crc = zlib.crc32(record.value or b"", crc)
    for name, value in record.headers or ():
        crc = zlib.crc32(value or b"", zlib.crc32(name.encode(), crc))
    return Last(record.offset, record.leader_epoch, zlib.crc32(b"%d" % record.time, crc))


def named(records: Sequence[tuple[Record, Parsed]]) -> Mapping[str, list[AppendRecord]]:
    """The appends of a batch by stream, in order of first mention: what `Before` must be asked about."""
    found: dict[str, list[AppendRecord]] = {}
    for _, parsed in records:
        if isinstance(parsed, AppendRecord):
            found.setdefault(parsed.stream, []).append(parsed)
    return found
