"""One batch of one partition, from records to rows: admit (P3) and evolve (P4). Pure: no store, no Kafka, no clock.

`Before` is what the rows say before the batch, for the streams and append ids that the batch names; `apply` answers
the commit's writes, what became of each record, and the states to keep in memory once the commit has succeeded.
"""

from __future__ import annotations

import traceback
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from bridge.errors import Undecodable
from bridge.history.state import EVERY, Folded
from bridge.log.admission import Verdict, judge
from bridge.log.avro import Decoded, Slice
from bridge.log.record import AppendRecord, Malformed, Parsed, Record
from bridge.store import keys
from bridge.store.contract import Writes
from bridge.store.rows import (
    EMPTY,
    AppendRow,
    Clock,
    EventRow,
    Head,
    Last,
    ParkedRow,
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
    states: dict[str, tuple[Folded, int]] = field(default_factory=dict)
    parked: dict[str, ParkedRow] = field(default_factory=dict)


def apply(records: Sequence[tuple[Record, Parsed]], before: Before, decode: Decode, typed: Typed | None) -> After:
    """P3 and P4 for a batch in offset order."""
    batch = _Batch(before, decode, typed)
    for record, parsed in records:
        batch.take(record, parsed)
    return batch.finish(records[-1][0])


class _Batch:
    """The accumulator of one `apply`: rows so far, and the partition's state as of the record being taken."""

    def __init__(self, before: Before, decode: Decode, typed: Typed | None) -> None:
        self._heads = before.heads
        self._seen = before.seen
        self._states = before.states
        self._stuck = before.stuck
        self._failing = before.failing
        self._effective = before.clock.effective
        self._last_event = before.clock.last_event
        self._decode = decode
        self._typed = typed
        self._touched: dict[str, None] = {}
        self._evolved: dict[str, int] = {}
        self._after = After()
        self._puts = self._after.writes.puts

    def take(self, record: Record, parsed: Parsed) -> None:
        """Judges one record and drafts its rows."""
        self._tell_time(record)
        verdict = self._verdict(parsed)
        counts = self._after.verdicts
        counts[verdict] = counts.get(verdict, 0) + 1
        if verdict is Verdict.ADMITTED:
            assert isinstance(parsed, AppendRecord)
            self._admit(record, parsed)

    def _tell_time(self, record: Record) -> None:
        """Effective time is the running maximum; the first record of each second leaves a `time/` row."""
        if record.time <= self._effective:
            return
        if record.time // SECOND > self._effective // SECOND:
            self._puts[keys.time(record.time)] = keys.pack_u64(record.offset)
        self._effective = record.time

    def _verdict(self, parsed: Parsed) -> Verdict:
        if isinstance(parsed, AppendRecord):
            head = self._heads.get(parsed.stream, EMPTY)
            return judge(parsed, head.next, parsed.append in self._seen)
        return Verdict.MALFORMED if isinstance(parsed, Malformed) else Verdict.TICK

    def _admit(self, record: Record, append: AppendRecord) -> None:
        stream = append.stream
        head = self._heads.get(stream, EMPTY)
        self._seen.add(append.append)
        self._last_event = self._effective
        row = AppendRow(stream, head.next, append.count, append.request, record.offset)
        self._puts[keys.append(append.append)] = row.pack()
        if stream in self._failing:
            self._park(stream, self._failing[stream])
        try:
            decoded = self._decode(append)
        except Undecodable as error:
            self._raw_rows(record, append, head)
            self._park(stream, ParkedRow(head.next, str(error)))
            self._step_head(stream, head, append.count, head.event_time)
            return
        event_time = max(head.event_time, decoded.time) if head.next else decoded.time
        self._event_rows(record, append, head, decoded, event_time)
        self._step_head(stream, head, append.count, event_time)
        if self._typed is not None:
            self._evolve(self._typed, stream, head.next, decoded.events)

    def _step_head(self, stream: str, head: Head, count: int, event_time: int) -> None:
        first = head.first if head.next else self._effective
        parked = stream in self._stuck
        self._heads[stream] = Head(head.next + count, first, self._effective, event_time, parked)
        self._touched[stream] = None

    def _event_rows(self, record: Record, append: AppendRecord, head: Head, decoded: Decoded, event_time: int) -> None:
        puts, offset, stream = self._puts, record.offset, append.stream
        prefix, envelope = keys.events(stream), decoded.envelope
        for index, event in enumerate(decoded.events):
            version = head.next + index
            row = EventRow(
                offset, index, self._effective, event_time, append.schema, append.append, envelope, event.raw
            )
            puts[prefix + keys.pack_u64(version)] = row.pack()
            puts[keys.order(offset, index)] = pack_order(stream, version)

    def _raw_rows(self, record: Record, append: AppendRecord, head: Head) -> None:
        """Rows of an append that cannot be decoded: the first holds the whole value, to be read when that changes."""
        for index in range(append.count):
            version = head.next + index
            value = append.value if index == 0 else b""
            row = EventRow(
                record.offset, index, self._effective, head.event_time, append.schema, append.append, b"", value, True
            )
            self._puts[keys.event(append.stream, version)] = row.pack()
            self._puts[keys.order(record.offset, index)] = pack_order(append.stream, version)

    def _evolve(self, typed: Typed, stream: str, version: int, events: Sequence[Slice]) -> None:
        """Folds the events into the stream's state; an error parks the stream before the event that raised it."""
        if stream in self._stuck:
            return
        state = self._states[stream][1] if stream in self._states else typed.decider.initial
        for event in events:
            try:
                state = typed.evolve(state, event.branch.type, event.data)
                if (version + 1) % EVERY == 0:
                    self._puts[keys.snapshot(typed.version, stream, version)] = pack_state(version, typed.encode(state))
            except Exception as error:  # the application's code: whatever it raises parks the stream (P4)
                self._park(stream, ParkedRow(version, f"{type(error).__name__}: {error}", traceback.format_exc()))
                break
            self._states[stream] = (version, state)
            self._evolved.setdefault(stream, version)
            version += 1

    def _park(self, stream: str, why: ParkedRow) -> None:
        if stream in self._stuck:
            return
        self._stuck.add(stream)
        self._after.parked[stream] = why
        self._puts[keys.parked(stream)] = why.pack()
        if stream in self._heads:
            self._heads[stream] = structs.replace(self._heads[stream], parked=True)

    def finish(self, last: Record) -> After:
        """Writes what is written once a batch: heads, states, clock and the mark of the last record."""
        after = self._after
        for stream, first in self._evolved.items():
            self._keep_state(stream, first)
        for stream in self._touched:
            self._puts[keys.head(stream)] = self._heads[stream].pack()
        after.position = last.offset + 1
        after.clock = Clock(self._effective, self._last_event)
        self._puts[keys.CLOCK] = after.clock.pack()
        after.last = mark_of(last)
        self._puts[keys.LAST] = after.last.pack()
        return after

    def _keep_state(self, stream: str, first: int) -> None:
        """Writes the state; one that cannot be encoded parks the stream before the batch's first event, `first`."""
        assert self._typed is not None
        version, state = self._states[stream]
        try:
            encoded = self._typed.encode(state)
        except Exception as error:  # the application's state, which msgspec does not know
            self._stuck.discard(stream)
            self._park(stream, ParkedRow(first, f"{type(error).__name__}: {error}", traceback.format_exc()))
            return
        self._puts[keys.state(self._typed.version, stream)] = pack_state(version, encoded)
        self._after.states[stream] = ((version, state), len(encoded))


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
