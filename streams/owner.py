"""The owner of one partition: opens its space (P1), applies its batches (P3-P6), beats, unparks.

Everything that can go wrong with one partition ends here, so that all others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from bridge.cache import StateCache
from bridge.errors import Fenced, ForeignLog, LighthouseError, Parked, SchemaError, Unavailable, Undecodable
from bridge.feed.order import Most, Page, Spot, fetch
from bridge.feed.order import decode as decode_rows
from bridge.history.state import Folded, state_at, stored_size
from bridge.log.avro import Decoded, decode
from bridge.log.record import AppendRecord, Parsed, Place, Record, parse
from bridge.log.registry import RegistryAway
from bridge.log.schemas import Schemas
from bridge.store import keys
from bridge.store.contract import Mark, Store, View, Writes
from bridge.store.rows import Clock, Head, Identity, Last, ParkedRow, Tenure
from bridge.typed import Typed
from streams.apply import After, Before, Decode, apply, mark_of, named
from streams.builds import NOTHING, Builds, Projecting
from streams.tenure import Watch, Worker
from streams.unpark import unpark

log = structlog.get_logger()


@dataclass(frozen=True)
class Code:
    """What a partition is folded with: the schemas, the category's decider if it has one, the state cache.

    `projecting` holds the projections that read the category.
    """

    schemas: Schemas
    typed: Typed | None
    states: StateCache
    projecting: Projecting = NOTHING


@dataclass(frozen=True, slots=True)
class LogEnds:
    """The log as P1 found it: who it is, and the offsets of its first record and of the next to come."""

    identity: Identity
    low: int
    high: int


class Owner:
    """One partition under one owner epoch. Its methods are called one after the other, never at once."""

    def __init__(self, place: Place, store: Store, code: Code, worker: Worker | None = None) -> None:
        """`worker` is the process that it belongs to, whose clock it goes by."""
        self.place = place
        self.clock = Clock()
        self.parked: set[str] = set()
        self._store = store
        self._code = code
        self._mark = Mark(0, 0, -1)
        self._beaten: Mark | None = None
        self._taken = False
        self._expect: Last | None = None
        self._last: Last | None = None
        self._builds = Builds(code.projecting, place.space)
        worker = worker or Worker()
        self._watch = Watch(worker)
        self._monotonic = worker.clock
        self._seen_event = worker.clock()
        self._high = 0

    @property
    def caught_up(self) -> bool:
        """Whether it has applied all that the log held when this owner opened it (P1)."""
        return self._mark.position >= self._high

    @property
    def mark(self) -> Mark:
        """The mark of this owner's last commit."""
        return self._mark

    @property
    def start(self) -> int:
        """Where to consume from: the last record applied, which is read again to know the log, or the beginning."""
        return self._expect.offset if self._expect is not None else max(self._mark.position, 0)

    def rewind(self) -> int:
        """Where to consume from after a pause: as `start` says, for the log is recognised once more."""
        self._expect = self._last
        return self.start

    async def take_over(self) -> None:
        """P1: from here on, no other owner moves the space on."""
        self._mark = await self._store.own()
        self._taken = True

    async def open(self, ends: LogEnds) -> None:
        """P1: checks that the space's log is this one, as it was found behind `take_over`.

        Raises ForeignLog with the space stopped, LighthouseError in a process that was started when the topic had
        other partitions.
        """
        self._high = ends.high
        if not self._taken:
            await self.take_over()
        self._taken = False
        await self._clear()
        async with self._store.view() as view:
            known = await view.get(keys.IDENTITY)
            last = await view.get(keys.LAST)
            stopped = await view.get(keys.STOPPED)
            before = await view.get(keys.TENURE)
            self.clock = Clock.unpack(await view.get(keys.CLOCK))
            self.parked = await _parked_streams(view)
            writes = Writes({keys.TENURE: self._watch.tell()})
            await self._builds.open(view, writes)
        if known is None or self._mark.position < 0:
            self._check_count(ends)
            await self._begin(ends, writes)
            return
        self._expect = self._last = Last.unpack(last) if last is not None else None
        await self._recognise(Identity.unpack(known), ends)
        self._check_count(ends)
        if stopped is not None:
            writes.delete(keys.STOPPED)
        self._mark = await self._store.commit(self._mark, self._mark.position, writes)
        _tell_taken(self.place, before)

    def _check_count(self, ends: LogEnds) -> None:
        """R1 with another count than the topic's would void what is sound."""
        count = ends.identity.partitions
        if count != self.place.partitions:
            raise LighthouseError(
                f"{self.place.topic} has {count} partitions, and had {self.place.partitions} when this processor was "
                "started: start it again"
            )

    async def _clear(self) -> None:
        """A space without a history has no rows either; those that a copy left half done are removed."""
        if self._mark.position >= 0:
            return
        async with self._store.view() as view:
            found = await view.scan(b"", limit=1)
        if found:
            self._mark = await self._store.wipe(self._mark)

    async def _begin(self, ends: LogEnds, writes: Writes) -> None:
        """An empty space: it answers nothing until it has passed the log's end as it is now."""
        if ends.low > 0:
            await self.stop(f"the log of {self.place.space} begins at offset {ends.low}: older records are gone")
        writes.delete(keys.STOPPED)
        writes.put(keys.IDENTITY, ends.identity.pack())
        writes.put(keys.REBUILD, keys.pack_u64(ends.high))
        self._mark = await self._store.commit(self._mark, 0, writes)

    async def _recognise(self, known: Identity, ends: LogEnds) -> None:
        if known != ends.identity:
            await self.stop(f"{self.place.space} is the history of {known}, but the log is {ends.identity}")
        if self._mark.position > ends.high:
            await self.stop(f"{self.place.space} is at {self._mark.position}, but the log ends at {ends.high}")

    async def stop(self, reason: str) -> None:
        """Leaves the reason in the space, where readers find it, and raises ForeignLog with it."""
        writes = Writes()
        writes.put(keys.STOPPED, reason.encode())
        self._mark = await self._store.commit(self._mark, self._mark.position, writes)
        raise ForeignLog(reason)

    async def take(self, records: Sequence[Record]) -> After | None:
        """P3-P6 for records in offset order. Raises RegistryAway (hold the batch), Fenced, ForeignLog."""
        fresh = await self._unseen(records)
        if not fresh:
            return None
        self._watch.start()
        parsed = [(record, parse(record, self.place)) for record in fresh]
        unknown = await self._code.schemas.fetch(p.schema for _, p in parsed if isinstance(p, AppendRecord))
        partition = self.place.partition if self._builds.wants_events else -1
        async with self._store.view() as view:
            before = await self._before(view, parsed)
            self._watch.lap("p3")
            after = apply(parsed, before, self._decoder(unknown), self._code.typed, partition)
            if after.events:
                await self._builds.feed(view, after.events, after.writes)
        self._watch.lap("p4")
        if self._watch.due:
            after.writes.put(keys.TENURE, self._watch.tell())
        await self._commit(after)
        self._watch.lap("p5")
        self._watch.count(len(fresh))
        return after

    async def _unseen(self, records: Sequence[Record]) -> list[Record]:
        """The records that are to be applied. The first one read after P1 must be the last one applied.

        A batch that begins with a record applied before follows it directly, whatever the offsets between (I5).
        """
        if self._expect is not None and records:
            if (found := mark_of(records[0])) != self._expect:
                await self.stop(f"{self.place.space} has applied {self._expect}, but the log holds {found} there")
            self._expect = None
        fresh = [record for record in records if record.offset >= self._mark.position]
        follows = bool(records) and records[0].offset < self._mark.position
        if fresh and not follows and fresh[0].offset != self._mark.position:
            await self.stop(f"{self.place.space} is at {self._mark.position}, the next record at {fresh[0].offset}")
        return fresh

    async def end_at(self, offset: int) -> None:
        """Moves the position over control records, which nobody is given, to the log's end. Raises Fenced."""
        if self._expect is None and offset > self._mark.position:
            self._mark = await self._store.commit(self._mark, offset, Writes())

    async def _before(self, view: View, parsed: Sequence[tuple[Record, Parsed]]) -> Before:
        streams = named(parsed)
        appends = [append.append for found in streams.values() for append in found]
        values = await view.get_many([*map(keys.head, streams), *map(keys.append, appends)])
        before = Before(clock=self.clock)
        before.heads = {stream: Head.unpack(raw) for stream, raw in zip(streams, values, strict=False)}
        known = zip(appends, values[len(streams) :], strict=True)
        before.seen = {append for append, raw in known if raw is not None}
        for stream, head in before.heads.items():
            await self._stand(view, before, stream, head)
        return before

    async def _stand(self, view: View, before: Before, stream: str, head: Head) -> None:
        """Where a stream's fold stands: its state at the head, or why it is parked."""
        if head.parked:
            before.stuck.add(stream)
        elif self._code.typed is not None and head.next:
            try:
                before.states[stream] = await self._state(view, self._code.typed, stream, head)
            except Parked as error:
                before.failing[stream] = ParkedRow(error.version, str(error))
            except Unavailable as error:
                raise RegistryAway(str(error)) from error

    async def _state(self, view: View, typed: Typed, stream: str, head: Head) -> Folded:
        cached = self._code.states.get(stream)
        if cached is not None and cached[0] == head.next - 1:
            return cached
        folded = head.next - 1, await state_at(view, self._code.schemas, typed, stream, head.next - 1)
        if head.large and (size := await stored_size(view, typed, stream, head)) is not None:
            self._code.states.put(stream, folded, size)
        return folded

    def _decoder(self, unknown: dict[int, SchemaError]) -> Decode:
        schemas = self._code.schemas

        def read(append: AppendRecord) -> Decoded:
            schema = schemas.known(append.schema)
            if schema is None:
                raise Undecodable(str(unknown.get(append.schema, f"schema {append.schema} is not known")))
            return decode(schema, append.value, append.count)

        return read

    async def _commit(self, after: After) -> None:
        """P5 and P6. The states are kept in memory only once the commit has succeeded."""
        try:
            self._mark = await self._store.commit(self._mark, after.position, after.writes)
        except Fenced:
            self._code.states.clear()
            raise
        self._last = after.last
        self._code.states.put_all(after.states)
        for stream, why in after.parked.items():
            log.warning("stream parked", stream=stream, version=why.version, error=why.error)
        self.parked |= after.parked.keys()
        if after.clock.last_event != self.clock.last_event:
            self._seen_event = self._monotonic()
        self.clock = after.clock

    @property
    def wants_tick(self) -> bool:
        """P7: effective time stands on the last event, and that is a second old."""
        waiting = self.clock.last_event and self.clock.effective <= self.clock.last_event
        return bool(waiting) and self._monotonic() - self._seen_event >= 1.0

    async def beat(self) -> None:
        """Says that this owner lives, and what its time went to.

        Raises Fenced, also where nothing came since the last beat and the mark is gone: a store that has failed over
        may have lost its last commits. The next commit would be refused, but a partition that nobody writes to has
        none, and would stay behind.
        """
        if self._watch.due:
            await self._tell()
        await self._store.beat(self._mark)
        if self._mark == self._beaten:
            async with self._store.view() as view:
                if view.mark != self._mark:
                    raise Fenced(f"{self.place.space} has gone back from {self._mark} to {view.mark}")
        self._beaten = self._mark

    async def leave(self) -> None:
        """Says that this owner has let go: it will commit no more. Raises Fenced, Unavailable."""
        await self._tell(left=True)

    async def _tell(self, left: bool = False) -> None:
        writes = Writes({keys.TENURE: self._watch.tell(left)})
        self._mark = await self._store.commit(self._mark, self._mark.position, writes)

    @property
    def building(self) -> bool:
        """Whether there are builds to be fed from the history (B2), or removed (B4)."""
        return self._builds.busy

    async def build(self, events: int, step: Callable[[str], None] = lambda _: None) -> None:
        """B2: takes the builds on by at most so many events. Raises RegistryAway, Fenced.

        `step` is told of a slice that is ready, right before its commit.
        """
        async with self._store.view() as view:
            try:
                writes = await self._builds.slice(view, self._page, events)
            except Unavailable as error:
                raise RegistryAway(str(error)) from error
        if writes:
            step("B2")
            self._mark = await self._store.commit(self._mark, self._mark.position, writes)

    async def _page(self, view: View, start: Spot, limit: int) -> Page:
        found = await fetch(view, start, Most(rows=limit))
        events = await decode_rows(self._code.schemas, self.place.partition, found.rows, newest=True)
        return Page(events, found.next, found.last, found.more)

    async def unpark(self) -> None:
        """Takes each parked stream on by one slice. Raises RegistryAway, Fenced."""
        for stream in sorted(self.parked):
            async with self._store.view() as view:
                try:
                    writes = await unpark(view, self._code.schemas, self._code.typed, stream)
                except Unavailable as error:
                    raise RegistryAway(str(error)) from error
            if writes is None:
                continue
            self._mark = await self._store.commit(self._mark, self._mark.position, writes)
            self._code.states.drop(stream)
            if keys.parked(stream) in writes.deletes:
                self.parked.discard(stream)
                log.info("stream unparked", stream=stream)
        self._builds.try_unread()


def _tell_taken(place: Place, before: bytes | None) -> None:
    """Tells whether the owner before had let go, or was not heard of any more."""
    if before is not None:
        known = Tenure.unpack(before)
        log.info("partition taken over", partition=place.space, owner=known.owner, had_let_go=known.left)


async def _parked_streams(view: View) -> set[str]:
    found = await view.scan(keys.PARKED, limit=100_000)
    return {key[2:].decode() for key, _ in found}
