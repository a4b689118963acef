"""`/v1/reactors`: how they stand, and what people decide of them."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import unquote

import msgspec
from fastapi import APIRouter, Request, Response

from bridge import present_reactors as present
from bridge.api.answers import AppendAnswer, answer
from bridge.api.bodies import JSON
from bridge.api.deciding import Actions
from bridge.api.front import front
from bridge.api.openapi import PlainRoute, documents, in_path
from bridge.api.writing import ERRORS, HEADERS
from bridge.present_reactors import ReactorAnswer, ReactorsAnswer
from bridge.steering import ReactorSteering

READ_ERRORS = (404, 422, 503, 504)

router = APIRouter(prefix="/v1/reactors", tags=["reactors"])
plain = APIRouter(prefix="/v1/reactors", tags=["reactors"], route_class=PlainRoute)


@router.get("", **documents(ReactorsAnswer, *READ_ERRORS))
async def reactors(request: Request) -> Response:
    """Every reactor, and how far it is."""
    reading = front(request).platform.reactors
    return answer(present.of_reactors([await reading.status(name) for name in reading.names]))


@router.get("/{name}", **documents(ReactorAnswer, *READ_ERRORS))
async def reactor(request: Request, name: str) -> Response:
    """One reactor, and how far it is."""
    return answer(present.of_reactor(await front(request).platform.reactors.status(unquote(name))))


class RetryBody(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing has to be said."""


class SkipReactionBody(msgspec.Struct, forbid_unknown_fields=True):
    """The id of the event that the reactor goes on without; it must stand there. Not needed where it stands once."""

    event: str | None = None


class PlaceBody(msgspec.Struct, forbid_unknown_fields=True):
    """Where a reactor goes on that has lost its offset in a partition: an offset, the log's beginning or its end."""

    category: str
    partition: Annotated[int, msgspec.Meta(ge=0)]
    at: Literal["beginning", "end"] | Annotated[int, msgspec.Meta(ge=0)]


ACTIONS = Actions[ReactorSteering](
    "a reactor",
    "/v1/reactors/{name}/",
    lambda here: here.platform.reactor_steering,
    {
        "retry": (RetryBody, lambda steering, name, _, asked: steering.retry(name, asked)),
        "skip": (SkipReactionBody, lambda steering, name, body, asked: steering.skip(name, body.event, asked)),
        "place": (
            PlaceBody,
            lambda steering, name, body, asked: steering.place(name, (body.category, body.partition), body.at, asked),
        ),
    },
)
NAME = in_path("name", "The reactor's name.", pattern="^[a-z][a-z0-9-]{0,62}$")
ACTION = in_path("action", "What is decided.", enum=list(ACTIONS.known))
BODY = {JSON: {"anyOf": [{"type": "object"}], "description": "`skip`: event. `place`: category, partition, at."}}


@plain.post(
    "/{name}/{action}", **documents(AppendAnswer, *ERRORS, status=201, body=BODY, parameters=(NAME, ACTION, *HEADERS))
)
async def decide_of_reactor(request: Request) -> Response:
    """Decides: `retry`, `skip` or `place`. It is recorded in category `system`, with the actor."""
    return await ACTIONS.decide(request)
