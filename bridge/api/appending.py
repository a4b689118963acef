"""Appending to a stream: the call, its body in JSON or as CloudEvents, and how its outcome is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from bridge.api import cloudevents
from bridge.api.answers import AppendAnswer, answer, of_append
from bridge.api.bodies import JSON, AppendBody, convert, media_type, parse, read_body
from bridge.api.front import Front, front, written_stream
from bridge.api.openapi import PlainRoute, documents
from bridge.api.problems import DRAWN_KEY
from bridge.api.tokens import AT_LEAST
from bridge.api.writing import (
    ERRORS,
    HEADERS,
    KEY,
    STREAM,
    Sent,
    Told,
    caller_of,
    context,
    draw_key,
    events_of,
    told_by,
)
from bridge.errors import Invalid
from bridge.events import Appended, Event
from bridge.handle import Context
from bridge.log.ids import request_hash

ROUTE = "/v1/streams/{category}/{id}/events"
"""Part of each append's request hash, which is kept for ever: it must never change."""


router = APIRouter(prefix="/v1/streams", tags=["streams"], route_class=PlainRoute)
BODIES = {JSON: AppendBody, cloudevents.SINGLE: cloudevents.CloudEventBody, cloudevents.BATCH: cloudevents.Batch}
PARAMETERS = (*STREAM, *HEADERS, *cloudevents.HEADERS)


@router.post(
    "/{category}/{id:path}/events",
    **documents(AppendAnswer, *ERRORS, status=201, body=BODIES, parameters=PARAMETERS),
)
async def append(request: Request) -> Response:
    """Appends events to the stream, all or none; answered when they are admitted.

    A repetition under the same Idempotency-Key answers with the original versions and `duplicate: true`.
    """
    here = front(request)
    stream = written_stream(request)
    await here.at_least(request.headers.getlist(AT_LEAST))
    asked = await append_of(request, here, stream)
    writing = here.platform.handler.append(stream, asked.events, asked.expected, asked.context)
    return await write(request, here, writing)


class Asked(msgspec.Struct, frozen=True):
    """An append, ready for the handler."""

    events: list[Event]
    expected: int | None
    context: Context


class _Body(msgspec.Struct, frozen=True):
    """What a body of either form says; `key` is an Idempotency-Key that follows from it, or ""."""

    events: list[Sent]
    expected: int | None
    told: Told
    key: str = ""


async def append_of(request: Request, here: Front, stream: str) -> Asked:
    """Reads an append. Raises Invalid, TooLarge, NotFound for the category, Unavailable without its schema."""
    caller = caller_of(request)
    kind = media_type(request, *_READERS)
    sent = parse(await read_body(request))
    body = _READERS[kind](request, sent, stream)
    key = caller.key or body.key or _drawn(request, body.expected)
    schema = await here.platform.base.schemas.writer(here.platform.spaces.of(stream).place.category)
    hashed = request_hash("POST", ROUTE, body.expected, sent)
    return Asked(events_of(schema, body.events), body.expected, context(caller, key, body.told, hashed))


def _drawn(request: Request, expected: int | None) -> str:
    """A key that nobody gave: only a guarded append can do without one, for its version tells a repetition."""
    if expected is None:
        raise Invalid(KEY, "an append that expects any version needs this header, or a repetition would append twice")
    return draw_key(request)


def _json(request: Request, sent: Any, stream: str) -> _Body:
    body = convert(sent, AppendBody)
    events = [(f"events.{index}.", event.type, event.data) for index, event in enumerate(body.events)]
    return _Body(events, body.expected_version, told_by(body))


def _cloudevents(batch: bool, request: Request, sent: Any, stream: str) -> _Body:
    events = cloudevents.parse(sent, batch, stream)
    category = stream.partition("/")[0]
    typed = [(place, cloudevents.short(event, category), event.data) for place, event in events]
    return _Body(typed, cloudevents.expected(request), cloudevents.told_by(events), cloudevents.key_of(events))


_READERS: Mapping[str, Callable[[Request, Any, str], _Body]] = {
    JSON: _json,
    cloudevents.SINGLE: partial(_cloudevents, False),
    cloudevents.BATCH: partial(_cloudevents, True),
}


async def write(request: Request, here: Front, writing: Awaitable[Appended]) -> Response:
    """Waits for an append's outcome and answers it; an error is counted and passed on."""
    with here.metrics.outcome():
        appended = await writing
    here.metrics.written(appended.duplicate)
    token = here.token(appended.position)
    response = answer(of_append(appended, token), token, status=201)
    if (key := request.scope.get(DRAWN_KEY)) is not None:
        response.headers[KEY] = key
    return response
