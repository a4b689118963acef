"""Errors as answers: RFC 9457 problem details, from one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bridge import errors
from bridge.api.answers import POSITION, encode
from bridge.events import Position

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
DRAWN_KEY = "lighthouse.drawn_key"
"""In a request's scope: the Idempotency-Key that was drawn for it, which its answer names, an error too."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How a class of errors is answered. `fields` are members of the problem by the error's attribute."""

    status: int
    name: str
    title: str
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def type(self) -> str:
        """The problem's type, a reference relative to the API's root."""
        return f"/problems/{self.name}"


VERSIONS = (("stream", "stream"), ("expected_version", "expected"), ("actual_version", "actual"))

KINDS: Mapping[type[Exception], Kind] = {
    errors.Invalid: Kind(422, "invalid", "A field is wrong", (("path", "path"),)),
    errors.TooLarge: Kind(413, "too-large", "The request is too large"),
    errors.NotFound: Kind(404, "not-found", "There is no such thing"),
    errors.KeyReused: Kind(422, "key-reused", "The Idempotency-Key was used for another request"),
    errors.BadInput: Kind(422, "bad-input", "The request is wrong"),
    errors.Refused: Kind(409, "refused", "A rule refused the command", (("rule", "rule"),)),
    errors.Contended: Kind(409, "contended", "The command lost the race too often", VERSIONS),
    errors.Conflict: Kind(409, "conflict", "The stream is at another version", VERSIONS),
    errors.TooSlow: Kind(503, "too-slow", "The reader does not keep up"),
    errors.Rebuilding: Kind(503, "rebuilding", "The history is being built again"),
    errors.Parked: Kind(503, "parked", "The stream is parked", (("version", "version"),)),
    errors.NoOwner: Kind(503, "no-owner", "No processor serves the partition"),
    errors.Unavailable: Kind(503, "unavailable", "Not now; nothing was written"),
    errors.NotReached: Kind(504, "not-reached", "The position was not reached in time", (("lag", "lag"),)),
    errors.Unknown: Kind(504, "unknown", "The outcome is not known; ask again with the same key"),
}
INTERNAL = Kind(500, "internal", "An error of the server")
UNEXPECTED = "The server met an error that it did not expect; its log says which."


def kind_of(error: Exception) -> Kind:
    """The table's row of the nearest class; INTERNAL for an error that nobody planned to answer."""
    return next((KINDS[one] for one in type(error).__mro__ if one in KINDS), INTERNAL)


Told = dict[str, Any]
"""A problem's members."""


def told(path: str, error: Exception) -> Told:
    """An error of the platform as a problem's members; any other is logged, and tells nothing of the insides."""
    kind = kind_of(error)
    if kind is INTERNAL:
        log.error("request failed", path=path, exc_info=error)
        return _members(kind, UNEXPECTED, path)
    return _members(kind, str(error), path) | {name: getattr(error, attribute) for name, attribute in kind.fields}


def _members(kind: Kind, detail: str, path: str) -> Told:
    return {"type": kind.type, "title": kind.title, "status": kind.status, "detail": detail, "instance": path}


def problem(scope: Mapping[str, Any], kind: Kind, detail: str, **members: Any) -> Response:
    """A problem as a response; `instance` is the path that was asked for."""
    response = Response(encode(_members(kind, detail, scope["path"]) | members), kind.status, media_type=MEDIA_TYPE)
    if (key := scope.get(DRAWN_KEY)) is not None:
        response.headers["Idempotency-Key"] = key
    return response


def internal(scope: Mapping[str, Any], error: Exception) -> Response:
    """A 500, logged with its traceback; the answer tells nothing of the insides."""
    log.error("request failed", method=scope["method"], path=scope["path"], exc_info=error)
    return problem(scope, INTERNAL, UNEXPECTED)


async def on_error(request: Request, error: Exception) -> Response:
    """Answers an error of the platform, by the table."""
    kind = kind_of(error)
    if kind is INTERNAL:
        return internal(request.scope, error)
    members = {name: getattr(error, attribute) for name, attribute in kind.fields}
    response = problem(request.scope, kind, str(error), **members)
    if isinstance(position := getattr(error, "position", None), Position):
        response.headers[POSITION] = request.app.state.front.token(position)
    if isinstance(error, errors.Unavailable):
        response.headers["Retry-After"] = str(max(1, round(error.retry_after)))
    return response


async def on_recursion(request: Request, error: Exception) -> Response:
    """Answers a body, or a token, that is nested more deeply than Python goes."""
    return await on_error(request, errors.Invalid("", "the request is nested too deeply"))


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answers what the framework refuses: unknown routes, methods, media types."""
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    response = problem(request.scope, http_kind(error.status_code), str(error.detail or phrase))
    response.headers.update(error.headers or {})
    return response


def http_kind(status: int) -> Kind:
    """The kind that is named like an HTTP status."""
    phrase = HTTPStatus(status).phrase
    return Kind(status, phrase.lower().replace(" ", "-"), phrase)


async def on_wrong_parameter(request: Request, error: Exception) -> Response:
    """Answers a query, path or header parameter that FastAPI refuses: the first one, as Invalid would be."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    path = ".".join(str(step) for step in first["loc"][1:])
    return await on_error(request, errors.Invalid(path, first["msg"]))
