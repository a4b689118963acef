"""What a person or a program is shown, over HTTP and on the command line: nouns as JSON (DESIGN 8).

Times are RFC 3339 in UTC with microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from bridge import states
from bridge.events import RecordedEvent
from bridge.feed.order import Found, Unreadable
from bridge.history.reader import Diff, Page, StateAt, StreamInfo
from bridge.log.json_values import to_json
from bridge.query.builds import BuildStatus, InPartition, ProjectionStatus
from bridge.query.reader import Page as RowsPage
from bridge.query.reader import Row
from bridge.store.rows import ParkedEvent
from bridge.survey import PartitionStatus
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
    """An admitted event as it was written, with the `schema_version` of its type then.

    `event_time` is what its writer said, `event_clock` the stream's maximum of it so far.
    """

    id: str
    version: Version
    type: str
    schema_version: int
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
    schema_version: int | None
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


class PartitionStatusAnswer(msgspec.Struct):
    """How a partition stands. `position` is the next offset that is applied, `end` the next one of the log.

    `last_minute` counts records of the last minute; `lag_seconds` is the age of the oldest not applied.
    `owner` is the process, as `host:pid`, that owns it or owned it last; null where it has let go.
    """

    category: str
    partition: int
    position: int
    end: int
    last_minute: int
    lag_records: int
    lag_seconds: float
    owner_epoch: int
    owner: str | None
    owned: bool
    stopped: str | None
    parked_streams: int
    effective_time: Instant


class PartitionsAnswer(msgspec.Struct):
    """Partitions in the order that was asked for."""

    partitions: list[PartitionStatusAnswer]


class ParkedEventAnswer(msgspec.Struct):
    """Where a build stands still, and why; `unread` says that it goes on by itself once the event can be decoded."""

    category: str
    partition: int
    event: str
    stream: str
    version: Version
    effective_time: Instant
    error: str
    traceback: str
    unread: bool


class BuildAnswer(msgspec.Struct):
    """One build of a projection. `progress` goes from 0 to 1; `registered` says whether its code is.

    `lag_records` counts the records of the history that it has not seen, `lag_seconds` is the age of the oldest event
    among them.
    """

    version: Version
    generation: int
    answering: bool
    registered: bool
    state: Literal["live", "building", "parked", "stale"]
    lag_records: int
    lag_seconds: float
    progress: float
    eta_seconds: float | None
    parked: list[ParkedEventAnswer]


class ProjectionAnswer(msgspec.Struct):
    """A projection. `version` and `generation` are those of the build that answers queries."""

    name: str
    version: Version
    generation: int
    categories: list[str] | None
    merged: bool
    versioned: bool
    builds: list[BuildAnswer]


class ProjectionsAnswer(msgspec.Struct):
    """All projections, by name."""

    projections: list[ProjectionAnswer]


class RowAnswer(msgspec.Struct):
    """A row as its projection put it. `behind` says that the build stands still, so that later events are missing."""

    projection: str
    version: Version
    generation: int
    key: str
    row: Any
    as_of: Instant | None
    final: bool
    behind: bool


class KeyedRow(msgspec.Struct):
    """A row with its key."""

    key: str
    row: Any


class RowsAnswer(msgspec.Struct):
    """A page of rows; `next` is the `after` of the next page, null on the last one."""

    projection: str
    version: Version
    generation: int
    as_of: Instant | None
    final: bool
    behind: bool
    next: str | None
    rows: list[KeyedRow]


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
        schema_version=event.schema_version,
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
            event.id, event.stream, event.version, None, None, None, rfc3339(event.effective), *nothing, *where
        )
    envelope = event.envelope
    return FeedEventAnswer(
        event.id,
        event.stream,
        event.version,
        event.type,
        event.schema_version,
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


def of_partitions(found: Sequence[PartitionStatus], session: float) -> PartitionsAnswer:
    """Partitions; an owner lives that has beaten within `session` seconds."""
    return PartitionsAnswer([_of_partition(one, session) for one in found])


def _of_partition(one: PartitionStatus, session: float) -> PartitionStatusAnswer:
    where = one.category, one.partition, one.position, one.end, one.recent, one.lag, round(one.behind, 3)
    owner = one.tenure.owner if one.tenure is not None and not one.tenure.left else None
    return PartitionStatusAnswer(
        *where, one.epoch, owner, one.owned(session), one.stopped, one.parked, rfc3339(one.effective)
    )


def of_projections(found: Sequence[ProjectionStatus]) -> ProjectionsAnswer:
    """All projections."""
    return ProjectionsAnswer([of_projection(one) for one in found])


def of_projection(found: ProjectionStatus) -> ProjectionAnswer:
    """How a projection stands."""
    projection = found.projection
    categories = None if projection.categories is None else list(projection.categories)
    kind = projection.merge is not None, projection.versioned
    return ProjectionAnswer(projection.name, *found.answering, categories, *kind, list(map(of_build, found.builds)))


def of_build(build: BuildStatus) -> BuildAnswer:
    """How a build stands."""
    return BuildAnswer(
        version=build.build[0],
        generation=build.build[1],
        answering=build.answering,
        registered=build.registered,
        state=build.standing.value,
        lag_records=build.lag,
        lag_seconds=round(build.seconds, 6),
        progress=round(build.done, 6),
        eta_seconds=None if build.eta is None else round(build.eta, 1),
        parked=[_of_parked(one, one.progress.parked) for one in build.partitions if one.progress.parked is not None],
    )


def _of_parked(one: InPartition, why: ParkedEvent) -> ParkedEventAnswer:
    where = one.category, one.partition, why.event, why.stream, why.version
    return ParkedEventAnswer(*where, rfc3339(why.effective), why.error, why.traceback, why.unread)


def of_row(row: Row, as_of: int | None) -> RowAnswer:
    """One row."""
    seen, value = row.seen, states.plain(row.value)
    return RowAnswer(seen.projection, *seen.build, row.key, value, _time(as_of), seen.final, seen.behind)


def of_rows(page: RowsPage, as_of: int | None) -> RowsAnswer:
    """A page of rows."""
    seen, rows = page.seen, [KeyedRow(key, states.plain(value)) for key, value in page.rows]
    return RowsAnswer(seen.projection, *seen.build, _time(as_of), seen.final, seen.behind, page.next, rows)


def _time(micros: int | None) -> str | None:
    return None if micros is None else rfc3339(micros)
