"""command -> state -> decide -> append -> verdict (DESIGN 6, A1-A7). The steps' numbers stand where they are done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bridge.cache import StateCache
from bridge.commands import Commands as Commands
from bridge.commands import Context as Context
from bridge.errors import (
    Conflict,
    Contended,
    Invalid,
    KeyReused,
    LighthouseError,
    NotFound,
    Refused,
    SchemaError,
    TooLarge,
    Unavailable,
    Unknown,
)
from bridge.events import MAX_BYTES, MAX_EVENTS, Appended, Envelope, Event, StreamId
from bridge.history.state import latest, refold, stored_size
from bridge.log import ids
from bridge.log.avro import Branch, CategorySchema, encode
from bridge.log.producer import Delivered, Outgoing, Producer
from bridge.log.record import headers_of
from bridge.log.schemas import Schemas
from bridge.spaces import Limits, Space, Spaces
from bridge.store import keys
from bridge.store.contract import View
from bridge.store.rows import AppendRow, Head
from bridge.typed import Typed


@dataclass(frozen=True)
class Log:
    """What the handler writes with: schemas, the producer, and the end of a partition as the broker says now."""

    schemas: Schemas
    producer: Producer
    end: Callable[[str, int], Awaitable[int]]


@dataclass(frozen=True)
class Rules:
    """The handler's limits: seconds, appends in flight, attempts of a command."""

    limits: Limits
    in_flight: int
    attempts: int


Check = Callable[[View], Awaitable[None]]
"""Raises where a command must not be decided any more, as a view of the stream's space shows."""


class _Attempt(msgspec.Struct, frozen=True, eq=False):
    """An append on its way: where it goes, who asks, under which id, until when (event loop time)."""

    stream: str
    space: Space
    context: Context
    append: bytes
    request: bytes
    loop: asyncio.AbstractEventLoop
    deadline: float

    @property
    def left(self) -> float:
        """Seconds until the request must be answered."""
        return max(0.0, self.deadline - self.loop.time())

    @property
    def rows(self) -> tuple[bytes, bytes]:
        """The keys of the rows that tell what became of it: its append id's and its stream's head."""
        return keys.append(self.append), keys.head(self.stream)


class Handler:
    """The write side of one process. Safe to use from many tasks of its event loop at once."""

    def __init__(self, log: Log, spaces: Spaces, deciders: Mapping[str, Typed], states: StateCache, rules: Rules):
        self._log = log
        self._spaces = spaces
        self._deciders = deciders
        self._states = states
        self._rules = rules
        self._flying = 0

    async def append(self, stream: str, events: Sequence[Event], expected: int | None, context: Context) -> Appended:
        """Appends the caller's events, with `expected` as the version of the first one, None for any.

        Raises Conflict, KeyReused, Invalid, TooLarge, NotFound, Unavailable, Unknown.
        """
        body = [(event.type, event.data) for event in events]
        attempt = self._attempt(stream, context, "append", expected, body)
        async with attempt.space.store.view() as view:  # A1
            known, head = await self._look(attempt, view)
            position = view.mark.position
        if known is not None:
            return _answer(attempt, known)
        if expected is not None and expected != head.next:
            await self._foresee(attempt, expected, head.next, position)  # A2
        return await self._write(attempt, events, expected)

    async def execute(self, stream: str, command: Any, context: Context, check: Check | None = None) -> Appended:
        """Decides and appends; a lost race is decided again under the same append id. See Commands.execute.

        `check` is asked with each view in which the command is decided, and raises what keeps it from that.
        """
        typed = self.decider(stream)
        attempt = self._attempt(stream, context, type(command).__name__, None, command)
        may_be_behind = context.key is not None  # a store that has failed over does not know what was told under it
        races = 0
        while races < self._rules.attempts:
            async with attempt.space.store.view() as view:  # A1
                known, head = await self._look(attempt, view)
                if known is not None:
                    return _answer(attempt, known)
                if check is not None:
                    await check(view)
                state = await self._state(view, typed, stream, head)
                position = view.mark.position
            try:
                events = _decided(attempt, typed, command, state, position)  # A2
            except Refused:
                if not may_be_behind:
                    raise
                events = []
            if not events and may_be_behind:
                may_be_behind = False
                await self._pass_end(attempt)
                continue
            if not events:
                return _nothing(attempt, head.next, position)
            try:
                return await self._write(attempt, events, head.next)
            except Conflict as lost:
                last, races = lost, races + 1
        raise Contended(stream, last.expected, last.actual, last.position)  # A7

    async def create(self, category: str, events: Sequence[Event], context: Context) -> Appended:
        """Appends to a stream whose id is drawn here, and answers once the log has it (A7), before it is admitted.

        Nobody else can know the id, so admission of the first append is certain. `context.key` must be None.
        """
        if context.key is not None:
            raise Invalid("key", "an append to a drawn stream takes no Idempotency-Key")
        attempt = self._attempt(f"{category}/{ids.draw()}", context, "create", 0, None)
        async with attempt.space.store.view() as view:
            await attempt.space.check_writable(view, self._rules.limits)
        value = await self._encode(attempt, events)
        self._depart(attempt)
        try:
            delivered = await self._produce(attempt, value, len(events), 0)
        finally:
            self._arrive(attempt)
        if delivered is None:
            raise Unknown(f"Kafka did not confirm {attempt.stream}: {_ask_again(attempt)}")
        row = AppendRow(attempt.stream, 0, len(events), attempt.request, delivered.offset)
        return _answer(attempt, row, fresh=True)

    def decider(self, stream: str) -> Typed:
        """The decider of the stream's category; raises NotFound, Invalid."""
        category = StreamId.parse(stream).category
        if category not in self._deciders:
            raise NotFound(f"category {category} has no decider: append its events, or register an application")
        return self._deciders[category]

    def _attempt(self, stream: str, context: Context, what: str, expected: int | None, body: Any) -> _Attempt:
        StreamId.parse(stream)
        space = self._spaces.of(stream)
        limit = time.time() + self._rules.limits.clock_skew
        if context.time is not None and context.time > limit * 1e6:
            raise Invalid("time", f"the event time lies more than {self._rules.limits.clock_skew:.0f} s ahead")
        append, request = ids.anonymous(), ids.NO_REQUEST
        if context.key is not None:
            append = ids.append_id(stream, context.actor, context.key)
            request = context.request or ids.request_hash("CALL", f"{what} {stream}", expected, body)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._rules.limits.deadline
        return _Attempt(stream, space, context, append, request, loop, deadline)

    async def _look(self, attempt: _Attempt, view: View) -> tuple[AppendRow | None, Head]:
        """A1: where the append id was admitted, if it was, and the stream's head. Raises Unavailable, KeyReused."""
        try:
            admitted, head = await attempt.space.read_writable(view, self._rules.limits, attempt.rows)
            return _admitted(attempt, admitted), Head.unpack(head)
        except LighthouseError as error:
            error.position = attempt.space.place.at(view.mark.position)
            raise

    async def _state(self, view: View, typed: Typed, stream: str, head: Head) -> Any:
        """The state at the head: from memory, with what came since, or from the store."""
        cached = self._states.get(stream)
        if cached is None or head.parked or not head.next - 101 <= cached[0] < head.next:
            return await self._stored(view, typed, stream, head)
        state = await refold(view, self._log.schemas, typed, stream, cached, head.next - 1)
        self._states.renew(stream, (head.next - 1, state))
        return state

    async def _stored(self, view: View, typed: Typed, stream: str, head: Head) -> Any:
        state = await latest(view, self._log.schemas, typed, stream, head)
        size = await stored_size(view, typed, stream, head)
        if size is not None:
            self._states.put(stream, (head.next - 1, state), size)
        return state

    async def _foresee(self, attempt: _Attempt, expected: int, head: int, position: int) -> None:
        """A2: an expected version above the head may be on its way; one that stays away is refused, and unwritten."""
        if expected > head:
            position = await self._log.end(attempt.space.place.topic, attempt.space.place.partition)
            admitted, found = await attempt.space.store.read_at(position, attempt.left, attempt.rows)
            if _admitted(attempt, admitted) is not None:
                return
            head = Head.unpack(found).next
        if expected != head:
            raise Conflict(attempt.stream, expected, head, attempt.space.place.at(position))

    async def _pass_end(self, attempt: _Attempt) -> None:
        """A2: waits until the store has passed the log's end as it is now.

        A store that has failed over may not know yet that this very key was acknowledged: whoever asks again must not
        be refused for that. Raises NotReached, Unavailable.
        """
        end = await self._log.end(attempt.space.place.topic, attempt.space.place.partition)
        await attempt.space.store.wait(end, attempt.left)

    async def _write(self, attempt: _Attempt, events: Sequence[Event], expected: int | None) -> Appended:
        value = await self._encode(attempt, events)
        self._depart(attempt)
        try:
            delivered = await self._produce(attempt, value, len(events), expected)
            return await self._verdict(attempt, delivered, expected)
        finally:
            self._arrive(attempt)

    def _depart(self, attempt: _Attempt) -> None:
        """A4: takes a place among the appends in flight; raises Unavailable where there is none."""
        if self._flying >= self._rules.in_flight:
            raise Unavailable(f"{self._flying} appends are in flight, which is the limit")
        self._flying += 1
        attempt.space.depart(attempt)

    def _arrive(self, attempt: _Attempt) -> None:
        attempt.space.arrive(attempt)
        self._flying -= 1

    async def _encode(self, attempt: _Attempt, events: Sequence[Event]) -> bytes:
        """A3: the record's value, within the format's limits (R1)."""
        if not 1 <= len(events) <= MAX_EVENTS:
            raise TooLarge(f"an append has 1 to {MAX_EVENTS} events, not {len(events)}")
        schema = await self._log.schemas.writer(attempt.space.place.category)
        try:
            value = encode(schema, envelope_of(attempt.context), [branch_of(schema, event) for event in events])
        except SchemaError as error:
            raise Invalid("events", str(error)) from error
        if len(value) > MAX_BYTES:
            raise TooLarge(f"the append has {len(value)} bytes; the limit is {MAX_BYTES}")
        return value

    async def _produce(self, attempt: _Attempt, value: bytes, count: int, expected: int | None) -> Delivered | None:
        """A4: where the record lies, or None where Kafka does not say. Raises Unavailable with nothing written.

        The wait is bounded by the producer's `message.timeout.ms`, and by what A2 has left of the request's deadline.
        """
        headers = headers_of(attempt.append, expected, count, attempt.request, attempt.context.traceparent)
        place = attempt.space.place
        outgoing = Outgoing(place.topic, place.partition, attempt.stream.encode(), value, headers)
        report = self._log.producer.send(outgoing)
        timer = attempt.loop.call_later(attempt.left, _give_up, report)
        try:
            return await report
        except Unknown:
            return None
        finally:
            timer.cancel()

    async def _verdict(self, attempt: _Attempt, delivered: Delivered | None, expected: int | None) -> Appended:
        """A5 and A6: waits until the store has passed the record, and reads in that view what became of it."""
        space = attempt.space
        try:
            offset = delivered.offset + 1 if delivered else await self._end(attempt)
            admitted, head = await space.store.read_at(offset, attempt.left, attempt.rows)
        except (LighthouseError, TimeoutError) as error:
            raise Unknown(f"{space.place.space} has not told yet: {_ask_again(attempt)}") from error
        row = _admitted(attempt, admitted)
        if row is not None:
            return _answer(attempt, row, fresh=delivered is not None and row.offset == delivered.offset)
        if delivered is None:
            raise Unknown(f"Kafka did not confirm the append to {attempt.stream}: {_ask_again(attempt)}")
        assert expected is not None, f"{attempt.stream} expected any version, yet was not admitted (R3)"
        raise Conflict(attempt.stream, expected, Head.unpack(head).next, space.place.at(offset))

    async def _end(self, attempt: _Attempt) -> int:
        place = attempt.space.place
        return await asyncio.wait_for(self._log.end(place.topic, place.partition), attempt.left)


def _give_up(report: asyncio.Future[Delivered]) -> None:
    if not report.done():
        report.set_exception(Unknown("Kafka did not confirm the record within the request's deadline"))


def _admitted(attempt: _Attempt, raw: bytes | None) -> AppendRow | None:
    """Where the append id was admitted, or None. Raises KeyReused for another request under the same key."""
    if raw is None:
        return None
    row = AppendRow.unpack(raw)
    if row.request != attempt.request:
        raise KeyReused(f"the Idempotency-Key was used before for another request to {row.stream}")
    return row


def envelope_of(context: Context) -> Envelope:
    """The envelope that a context becomes; event time is now where the caller did not say."""
    said = context.time if context.time is not None else time.time_ns() // 1000
    return Envelope(context.actor, said, context.correlation, context.causation, context.metadata)


def branch_of(schema: CategorySchema, event: Event) -> tuple[Branch, Mapping[str, Any]]:
    """The event's branch of the union; raises Invalid for a type that the schema does not have."""
    return schema.branch(event.type, "type"), event.data


def _answer(attempt: _Attempt, row: AppendRow, fresh: bool = False) -> Appended:
    """A7: the recorded versions; `duplicate` unless this very record was the one admitted."""
    position = attempt.space.place.at(row.offset + 1)
    last = row.first_version + row.count - 1
    return Appended(row.stream, row.first_version, last, position, attempt.append, duplicate=not fresh)


def _decided(attempt: _Attempt, typed: Typed, command: Any, state: Any, position: int) -> list[Event]:
    """A2: what the decider says. Raises Refused."""
    try:
        return [typed.plain(event) for event in typed.decider.decide(command, state)]
    except LighthouseError as error:
        error.position = attempt.space.place.at(position)
        raise


def _nothing(attempt: _Attempt, head: int, position: int) -> Appended:
    return Appended(attempt.stream, head, head - 1, attempt.space.place.at(position), attempt.append)


def _ask_again(attempt: _Attempt) -> str:
    key = attempt.context.key
    return "ask again with the same Idempotency-Key" if key else "it was sent without an Idempotency-Key"
