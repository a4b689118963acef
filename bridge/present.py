"""What a person or a program is shown, over HTTP and on the command line: nouns as JSON (DESIGN 8).

Times are RFC 3339 in UTC with microseconds.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from bridge import states
from bridge.events import RecordedEvent
from bridge.feed.order import Found, Unreadable
from bridge.history.reader import Diff, Page, StateAt, StreamInfo
from bridge.log.json_values import to_json
from bridge.times import rfc3339

Version = Annotated[int, msgspec.Meta(ge=0, description="0-based place of an event in its stream.")]
Instant = Annotated[
    str, msgspec.Meta(description="RFC 3339, UTC, microseconds.", extra_json_schema={"format": "date-time"})
]


_encode = msgspec.json.Encoder().encode


class ParkedAnswer(msgspec.Struct):
    """Why a stream is stopped: the version of the event that could not be read or folded, and the error."""

    version: Version
    error: str


class StreamAnswer(msgspec.Struct):
    """What is known of a stream. `head` is the version that its next event will get."""

    stream: str
    head: Version
    first_effective_time: Instant
    last_effective_time: Instant
    event_clock: Instant
    parked: ParkedAnswer | None


class EventAnswer(msgspec.Struct):
    """An admitted event. `event_time` is what its writer said, `event_clock` the stream's maximum of it so far."""

    id: str
    version: Version
    type: str
    data: dict[str, Any]
    effective_time: Instant
    event_time: Instant
    event_clock: Instant
    actor: str
    correlation_id: str
    causation_id: str
    metadata: dict[str, str]
    partition: int
    offset: int


class EventsAnswer(msgspec.Struct):
    """A page of events. `next` is the `from_version` of the next page, null on the last one."""

    stream: str
    head: Version
    as_of: Instant | None
    final: bool
    next: Version | None
    events: list[EventAnswer]


class FeedEventAnswer(msgspec.Struct):
    """An admitted event among those of many streams.

    One that cannot be decoded yet has an `error` and none of what its bytes would tell: its stream is parked.
    """

    id: str
    stream: str
    version: Version
    type: str | None
    data: dict[str, Any] | None
    effective_time: Instant
    event_time: Instant | None
    event_clock: Instant | None
    actor: str | None
    correlation_id: str | None
    causation_id: str | None
    metadata: dict[str, str] | None
    partition: int
    offset: int
    error: str | msgspec.UnsetType = msgspec.UNSET


class FeedAnswer(msgspec.Struct):
    """Events of many streams in the merged order, all those below `up_to` that `next` does not lead to.

    `next` is the cursor of the rest, null where there is none; what comes later is asked for from `up_to` on. `final`
    says that nothing can come below `to` any more.
    """

    events: list[FeedEventAnswer]
    next: str | None
    final: bool
    up_to: Instant


class StateAnswer(msgspec.Struct):
    """The state after the event of `version`; `final` says that nothing can change this answer any more."""

    stream: str
    version: Version
    as_of: Instant | None
    final: bool
    state: Any


class DiffAnswer(msgspec.Struct, rename={"first": "from", "last": "to"}):
    """From one version's state to another's: a JSON Patch (RFC 6902), and the events between, oldest first."""

    stream: str
    first: Version
    last: Version
    patch: list[dict[str, Any]]
    events: list[EventAnswer]


def of_stream(info: StreamInfo) -> StreamAnswer:
    """The answer about a stream."""
    head, why = info.head, info.parked
    parked = ParkedAnswer(why.version, why.error) if why else None
    times = rfc3339(head.first), rfc3339(head.last), rfc3339(head.event_time)
    return StreamAnswer(info.stream, head.next, *times, parked)


def of_event(event: RecordedEvent) -> EventAnswer:
    """One event."""
    envelope = event.envelope
    return EventAnswer(
        id=event.id,
        version=event.version,
        type=event.type,
        data=to_json(event.data),
        effective_time=rfc3339(event.effective),
        event_time=rfc3339(envelope.time),
        event_clock=rfc3339(event.event_time),
        actor=envelope.actor,
        correlation_id=envelope.correlation,
        causation_id=envelope.causation,
        metadata=dict(envelope.metadata),
        partition=event.partition,
        offset=event.offset,
    )


def of_found(event: Found) -> FeedEventAnswer:
    """One event of many streams. Its data stay Avro values, which only JSON makes text."""
    if isinstance(event, Unreadable):
        where = event.partition, event.offset, event.error
        nothing = None, None, None, None, None, None
        return FeedEventAnswer(
            event.id, event.stream, event.version, None, None, rfc3339(event.effective), *nothing, *where
        )
    envelope = event.envelope
    return FeedEventAnswer(
        event.id,
        event.stream,
        event.version,
        event.type,
        event.data,  # type: ignore[arg-type]  # any mapping is an object in JSON
        rfc3339(event.effective),
        rfc3339(envelope.time),
        rfc3339(event.event_time),
        envelope.actor,
        envelope.correlation,
        envelope.causation,
        envelope.metadata,  # type: ignore[arg-type]
        event.partition,
        event.offset,
    )


def encode_found(event: Found) -> bytes:
    """The same as JSON: the text that every reader of many streams is sent."""
    return _encode(of_found(event))


def of_page(stream: str, page: Page, as_of: int | None) -> EventsAnswer:
    """A page of events."""
    events = [of_event(event) for event in page.events]
    return EventsAnswer(stream, page.head, _time(as_of), page.final, page.next, events)


def of_state(found: StateAt, as_of: int | None) -> StateAnswer:
    """A state with the version it belongs to."""
    return StateAnswer(found.stream, found.version, _time(as_of), found.final, states.plain(found.state))


def of_diff(diff: Diff) -> DiffAnswer:
    """A difference."""
    return DiffAnswer(diff.stream, diff.before, diff.after, diff.patch, [of_event(event) for event in diff.events])


def _time(micros: int | None) -> str | None:
    return None if micros is None else rfc3339(micros)
