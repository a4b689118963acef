"""Projections: how they stand, their rows, and what is decided of them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

import msgspec
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from bridge import present
from bridge.api.answers import AppendAnswer, answer
from bridge.api.asking import one
from bridge.api.bodies import JSON
from bridge.api.deciding import Actions
from bridge.api.front import Front, front
from bridge.api.openapi import PlainRoute, documents, header, in_path, in_query
from bridge.api.tokens import AT_LEAST
from bridge.api.writing import ERRORS, HEADERS
from bridge.decisions import Build
from bridge.log.json_values import below, instant
from bridge.present import ProjectionAnswer, ProjectionsAnswer, RowAnswer, RowsAnswer
from bridge.query.reader import Span, When
from bridge.steering import Steering

READ_ERRORS = (404, 422, 503, 504)

router = APIRouter(prefix="/v1/projections", tags=["projections"])
plain = APIRouter(prefix="/v1/projections", tags=["projections"], route_class=PlainRoute)

_AT_LEAST = "Positions that must have been seen."
_AS_OF = "RFC 3339 time, for a versioned projection."
AtLeast = Annotated[list[str] | None, Header(alias=AT_LEAST, description=_AT_LEAST)]
AsOf = Annotated[str | None, Query(description=_AS_OF, json_schema_extra={"format": "date-time"})]
NAME = in_path("name", "The projection's name.", pattern="^[a-z][a-z0-9-]{0,62}$")
ROW = (
    NAME,
    in_path("key", "The row's key; it may contain `/`."),
    in_query("as_of", _AS_OF, format="date-time"),
    header(AT_LEAST, _AT_LEAST),
)


@router.get("", **documents(ProjectionsAnswer, *READ_ERRORS))
async def projections(request: Request) -> Response:
    """Every projection with its builds, and how far each is."""
    reading = front(request).platform.projections
    return answer(present.of_projections([await reading.status(name) for name in reading.names]))


@router.get("/{name}", **documents(ProjectionAnswer, *READ_ERRORS))
async def projection(request: Request, name: str) -> Response:
    """One projection with its builds, and how far each is."""
    return answer(present.of_projection(await front(request).platform.projections.status(name)))


@router.get("/{name}/rows", **documents(RowsAnswer, *READ_ERRORS))
async def rows(
    request: Request,
    name: str,
    prefix: Annotated[str, Query(max_length=384)] = "",
    after: Annotated[str, Query(max_length=384, description="Rows behind this key.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    as_of: AsOf = None,
    at_least: AtLeast = None,
) -> Response:
    """The projection's rows by their keys; with `as_of` those that there were at that time."""
    here = front(request)
    when = await _when(here, None if as_of is None else below("as_of", instant, as_of), at_least)
    page = await here.platform.projections.rows(unquote(name), Span(prefix, after, limit), when)
    return answer(present.of_rows(page, when.time), here.tokens.token(*page.seen.positions))


@plain.get("/{name}/rows/{key:path}", **documents(RowAnswer, *READ_ERRORS, parameters=ROW))
async def row(request: Request) -> Response:
    """One row; with `as_of` what it was at that time."""
    here, path = front(request), request.path_params
    when = await _when(here, one(request.query_params, "as_of", instant, None), request.headers.getlist(AT_LEAST))
    found = await here.platform.projections.row(unquote(path["name"]), unquote(path["key"]), when)
    return answer(present.of_row(found, when.time), here.tokens.token(*found.seen.positions))


async def _when(here: Front, time: int | None, at_least: list[str] | None) -> When:
    """When rows are asked for, once the history has passed the positions. Raises Invalid, NotReached."""
    if not at_least:
        return When(time)
    await here.at_least(at_least)
    return When(time, here.tokens.wanted(at_least))


class VersionBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to rebuild or to retry: a version whose code is registered, the newest if none is named."""

    version: Annotated[int, msgspec.Meta(ge=1)] | None = None


class SkipBody(msgspec.Struct, forbid_unknown_fields=True):
    """The id of the event that the projection goes on without; it must stand there. Not needed where it stands once."""

    event: str | None = None


class BuildBody(msgspec.Struct, forbid_unknown_fields=True):
    """A build: a version, and how often it had been begun again on request."""

    version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    generation: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0

    @property
    def build(self) -> Build:
        """Both."""
        return self.version, self.generation


ACTIONS = Actions[Steering](
    "a projection",
    "/v1/projections/{name}/",
    lambda here: here.platform.steering,
    {
        "rebuild": (VersionBody, lambda steering, name, body, asked: steering.rebuild(name, body.version, asked)),
        "retry": (VersionBody, lambda steering, name, body, asked: steering.retry(name, body.version, asked)),
        "skip": (SkipBody, lambda steering, name, body, asked: steering.skip(name, body.event, asked)),
        "answer": (BuildBody, lambda steering, name, body, asked: steering.answer(name, body.build, asked)),
        "drop": (BuildBody, lambda steering, name, body, asked: steering.drop(name, body.build, asked)),
    },
)
ACTION = in_path("action", "What is decided.", enum=list(ACTIONS.known))
BODY = {JSON: {"anyOf": [{"type": "object"}], "description": "`rebuild`, `retry`: version. `skip`: event. Else both."}}


@plain.post(
    "/{name}/{action}", **documents(AppendAnswer, *ERRORS, status=201, body=BODY, parameters=(NAME, ACTION, *HEADERS))
)
async def decide(request: Request) -> Response:
    """Decides: `rebuild`, `retry`, `skip`, `answer` or `drop`. It is recorded in category `system`, with the actor."""
    return await ACTIONS.decide(request)
