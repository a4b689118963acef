"""From a request to an append: who asks, under which key, and the events as Avro values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import Request

from bridge.api.bodies import AppendBody
from bridge.api.openapi import header, in_path
from bridge.api.problems import DRAWN_KEY
from bridge.api.tokens import AT_LEAST
from bridge.errors import Invalid, TooLarge
from bridge.events import MAX_EVENTS, Event
from bridge.handle import Context
from bridge.log.avro import CategorySchema
from bridge.log.ids import draw
from bridge.log.json_values import below, from_json, instant

KEY = "Idempotency-Key"
ACTOR = "Lighthouse-Actor"
CORRELATION = "Lighthouse-Correlation-Id"
CAUSATION = "Lighthouse-Causation-Id"
ANONYMOUS = "anonymous"
_RAW = {name: name.lower().encode() for name in (KEY, ACTOR, CORRELATION, CAUSATION)}

MAX_HEADER = 255
MAX_METADATA = 16 * 1024
"""Bytes of all metadata of an append: an envelope is kept once for each event."""

_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

ERRORS = (404, 409, 413, 415, 422, 503, 504)
STREAM = (
    in_path("category", "The stream's category.", pattern="^[A-Za-z0-9._~@:+-]+$"),
    in_path("id", "The stream's id in its category; it may contain `/`.", pattern="^[A-Za-z0-9._~@:+/-]+$"),
)
HEADERS = (
    header(AT_LEAST, "A Lighthouse-Position to wait for before the call is answered."),
    header(
        KEY,
        "Makes the call repeatable: one key of one actor is admitted once in a stream. If missing, one is drawn.",
        maxLength=MAX_HEADER,
    ),
    header(
        ACTOR,
        f"Who acts; `{ANONYMOUS}` if missing. It is a claim: whoever lets callers in must set or check it.",
        maxLength=MAX_HEADER,
    ),
    header(CORRELATION, "What this belongs to.", maxLength=MAX_HEADER),
    header(CAUSATION, "What led to this, such as an event's id.", maxLength=MAX_HEADER),
    header("traceparent", "W3C trace context; one that is malformed is ignored."),
)


class Told(msgspec.Struct, frozen=True):
    """What a body says of an append beside its events."""

    time: int | None = None
    metadata: Mapping[str, str] | None = None


Sent = tuple[str, str, Any]
"""An event as it was sent: its path in the body with a dot behind it, its type, its JSON data."""


class Caller(msgspec.Struct, frozen=True):
    """What the headers say of who asks; `key` is "" where there was none."""

    key: str
    actor: str
    correlation: str
    causation: str
    traceparent: str


def caller_of(request: Request) -> Caller:
    """Reads the headers, each once. Raises Invalid for one beyond its limits."""
    headers: dict[bytes, bytes] = dict(request.scope["headers"])
    return Caller(
        key=_text(headers, KEY),
        actor=_text(headers, ACTOR) or ANONYMOUS,
        correlation=_text(headers, CORRELATION),
        causation=_text(headers, CAUSATION),
        traceparent=_trace(headers.get(b"traceparent", b"")),
    )


def _text(headers: Mapping[bytes, bytes], name: str) -> str:
    """A header's value as UTF-8; "" where it is missing. Raises Invalid."""
    raw = headers.get(_RAW[name])
    if raw is None:
        return ""
    try:
        value = raw.decode()
    except UnicodeDecodeError:
        raise Invalid(name, "the header is not UTF-8") from None
    if len(value) > MAX_HEADER:
        raise Invalid(name, f"the header has {len(value)} characters; the limit is {MAX_HEADER}")
    return value


def _trace(raw: bytes) -> str:
    return raw.decode() if _TRACEPARENT.fullmatch(raw) else ""


def context(caller: Caller, key: str, told: Told, hashed: bytes) -> Context:
    """The context of an append. Raises Invalid for metadata beyond its limits."""
    metadata = told.metadata or {}
    if sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items()) > MAX_METADATA:
        raise Invalid("metadata", f"all metadata together has at most {MAX_METADATA} bytes")
    return Context(
        actor=caller.actor,
        key=key,
        time=told.time,
        correlation=caller.correlation,
        causation=caller.causation,
        metadata=metadata,
        traceparent=caller.traceparent,
        request=hashed,
    )


def draw_key(request: Request) -> str:
    """A key for a request that has none; its answer will name it, whatever it is."""
    key = draw()
    request.scope[DRAWN_KEY] = key
    return key


def told_by(body: AppendBody) -> Told:
    """What a JSON body says beside its events; raises Invalid."""
    return Told(below("time", instant, body.time) if body.time is not None else None, body.metadata)


def events_of(schema: CategorySchema, events: Sequence[Sent]) -> list[Event]:
    """The events as Avro values. Raises Invalid with the path of the bad field, TooLarge."""
    if len(events) > MAX_EVENTS:
        raise TooLarge(f"an append has at most {MAX_EVENTS} events, not {len(events)}")
    return [_event(schema, *event) for event in events]


def _event(schema: CategorySchema, place: str, type_: str, data: Any) -> Event:
    branch = schema.branch(type_, f"{place}type")
    return Event(type_, from_json(branch.schema, data, f"{place}data"))
