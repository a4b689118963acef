"""CloudEvents 1.0 in JSON, on request (DESIGN 4): single events and batches in, batches out.

In: `type` is the event type, with or without `lighthouse.<category>.`; `subject`, if there, must be the stream; the
latest `time` is the append's event time. A CloudEvent is unique by source and id, so these stand in for a missing
Idempotency-Key. The header Lighthouse-Expected-Version is a version, or `any`, which it is if missing.

Out: `id` is the event's id, `source` the stream's address, and the attributes `streamversion`, `effectivetime`,
`actor`, `partition` and `offset` (a text, for an attribute's integer has only 32 bits) come as extensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Request

from bridge.api.bodies import MAX_VERSION, convert
from bridge.api.openapi import header
from bridge.api.writing import Told
from bridge.errors import Invalid
from bridge.events import RecordedEvent
from bridge.feed.order import Found, Unreadable
from bridge.log.json_values import below, instant, to_json
from bridge.times import rfc3339

SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
EXPECTED = "Lighthouse-Expected-Version"

HEADERS = (header(EXPECTED, "For CloudEvents: the first event's version, or `any`.", pattern="^(any|[0-9]{1,18})$"),)

_encode = msgspec.json.Encoder().encode

Text = Annotated[str, msgspec.Meta(min_length=1)]


class CloudEventBody(msgspec.Struct):
    """A CloudEvent to append; extension attributes are ignored."""

    specversion: Literal["1.0"]
    id: Text
    source: Text
    type: Text
    data: dict[str, Any]
    subject: str | None = None
    time: Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})] | None = None
    datacontenttype: Literal["application/json"] = "application/json"


Batch = Annotated[list[CloudEventBody], msgspec.Meta(min_length=1)]


class CloudEventAnswer(msgspec.Struct):
    """An admitted event as a CloudEvent."""

    id: str
    source: str
    type: str
    subject: str
    time: str
    data: Any
    streamversion: int
    effectivetime: str
    actor: str
    partition: int
    offset: str
    correlationid: str | msgspec.UnsetType = msgspec.UNSET
    causationid: str | msgspec.UnsetType = msgspec.UNSET
    specversion: Literal["1.0"] = "1.0"
    datacontenttype: Literal["application/json"] = "application/json"


Placed = tuple[str, CloudEventBody]
"""A CloudEvent with its path in the body: empty for a single one, else its index with a dot behind it."""


def parse(body: Any, batch: bool, stream: str) -> list[Placed]:
    """The CloudEvents of a body. Raises Invalid."""
    if batch:
        found = [(f"{index}.", event) for index, event in enumerate(convert(body, Batch))]
    else:
        found = [("", convert(body, CloudEventBody))]
    for place, event in found:
        if event.subject is not None and event.subject != stream:
            raise Invalid(f"{place}subject", f"the subject is {event.subject[:80]!r}, but the stream is {stream}")
    return found


def short(event: CloudEventBody, category: str) -> str:
    """The event type's name in its category."""
    return event.type.removeprefix(f"lighthouse.{category}.")


def told_by(events: Sequence[Placed]) -> Told:
    """The append's event time: the latest of its events; raises Invalid."""
    times = [below(f"{place}time", instant, event.time) for place, event in events if event.time is not None]
    return Told(max(times, default=None))


def key_of(events: Sequence[Placed]) -> str:
    """An Idempotency-Key from what makes the events unique."""
    raw = msgspec.json.encode([(event.source, event.id) for _, event in events])
    return f"cloudevents-{blake2b(raw, digest_size=16).hexdigest()}"


def expected(request: Request) -> int | None:
    """The expected version that the header names, None for any; raises Invalid."""
    text = request.headers.get(EXPECTED, "any")
    if text == "any":
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 18 and int(text) <= MAX_VERSION):
        raise Invalid(EXPECTED, f"{text[:40]!r} is neither a version nor any")
    return int(text)


def of_event(event: RecordedEvent) -> CloudEventAnswer:
    """One event."""
    category = event.stream.partition("/")[0]
    return CloudEventAnswer(
        id=event.id,
        source=f"/v1/streams/{event.stream}",
        type=f"lighthouse.{category}.{event.type}",
        subject=event.stream,
        time=rfc3339(event.envelope.time),
        data=to_json(event.data),
        streamversion=event.version,
        effectivetime=rfc3339(event.effective),
        actor=event.envelope.actor,
        partition=event.partition,
        offset=str(event.offset),
        correlationid=event.envelope.correlation or msgspec.UNSET,
        causationid=event.envelope.causation or msgspec.UNSET,
    )


UNREADABLE = "lighthouse.unreadable"
"""The type of an event that cannot be decoded yet: which one it has, its bytes would tell."""


def of_found(event: Found) -> CloudEventAnswer:
    """One event of many streams."""
    if not isinstance(event, Unreadable):
        return of_event(event)
    time = rfc3339(event.effective)
    return CloudEventAnswer(
        id=event.id,
        source=f"/v1/streams/{event.stream}",
        type=UNREADABLE,
        subject=event.stream,
        time=time,
        data={"error": event.error},
        streamversion=event.version,
        effectivetime=time,
        actor="",
        partition=event.partition,
        offset=str(event.offset),
    )


def encode_found(event: Found) -> bytes:
    """The same as JSON: what a replay or a live reader is sent that asked for it."""
    return _encode(of_found(event))
