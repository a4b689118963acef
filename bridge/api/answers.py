"""What the calls answer. These classes are the answers' JSON and, in the OpenAPI, their schemas.

Times are RFC 3339 in UTC with microseconds.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from bridge.errors import Invalid
from bridge.events import Appended, RecordedEvent
from bridge.history.reader import Diff, Page, StateAt, StreamInfo
from bridge.log.json_values import to_json
from bridge.times import rfc3339

POSITION = "Lighthouse-Position"

_encoder = msgspec.json.Encoder()
encode = _encoder.encode

Version = Annotated[int, msgspec.Meta(ge=0, description="0-based place of an event in its stream.")]
Instant = Annotated[
    str, msgspec.Meta(description="RFC 3339, UTC, microseconds.", extra_json_schema={"format": "date-time"})
]


class AppendAnswer(msgspec.Struct):
    """An append that is in the log and admitted; `duplicate` if an earlier attempt under the key had written it.

    A command that decided nothing answers with last_version = first_version - 1.
    """

    stream: str
    first_version: Version
    last_version: int
    position: str
    duplicate: bool


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


class ProblemAnswer(msgspec.Struct, omit_defaults=True):
    """Problem details (RFC 9457). Which of the last six members are there depends on the type."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    path: str = ""
    rule: str = ""
    expected_version: int | None = None
    actual_version: int | None = None
    version: int | None = None
    lag: int | None = None


def answer(
    value: Any, position: str | None = None, status: int = 200, media_type: str = "application/json"
) -> Response:
    """A response; `position` is the token of what was read for it."""
    headers = {POSITION: position} if position is not None else None
    return Response(_encoder.encode(value), status, headers, media_type)


def of_append(appended: Appended, token: str) -> AppendAnswer:
    """The answer to an append."""
    return AppendAnswer(appended.stream, appended.first_version, appended.last_version, token, appended.duplicate)


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


def of_page(stream: str, page: Page, as_of: int | None, following: int | None) -> EventsAnswer:
    """A page of events."""
    events = [of_event(event) for event in page.events]
    return EventsAnswer(stream, page.head, _time(as_of), page.final, following, events)


def of_state(found: StateAt, plain: Any, as_of: int | None) -> StateAnswer:
    """A state, which must be plain already."""
    return StateAnswer(found.stream, found.version, _time(as_of), found.final, plain)


def of_diff(diff: Diff) -> DiffAnswer:
    """A difference."""
    return DiffAnswer(diff.stream, diff.before, diff.after, diff.patch, [of_event(event) for event in diff.events])


def _time(micros: int | None) -> str | None:
    return None if micros is None else rfc3339(micros)


def one_of(**given: object) -> None:
    """Raises Invalid when more than one of these is given."""
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise Invalid(named[-1], f"give only one of {', '.join(given)}")
