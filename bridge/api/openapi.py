"""The OpenAPI: schemas come from the msgspec classes that read the bodies and write the answers, so they cannot differ.

Bodies and answers do not pass through pydantic, which would cost more than the whole rest of an append of 100 events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

TEMPLATE = "#/components/schemas/{name}"
PROBLEM = "application/problem+json"
Documented = dict[str, Any]

_documented: set[Any] = set()


class PlainRoute(APIRoute):
    """A route whose function takes the request alone: nothing is solved, validated or closed for it (90 µs saved)."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Calls the function; the wrong method is the framework's to refuse."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        response: Response = await self.endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


def documents(
    answer: Any,
    *errors: int,
    status: int = 200,
    media_type: str = "application/json",
    body: Mapping[str, Any] | None = None,
    parameters: Sequence[Documented] = (),
) -> dict[str, Any]:
    """Arguments of a route that document it: its answer's class, its errors' statuses, its bodies by media type."""
    known = {
        code: {"description": HTTPStatus(code).phrase, "content": _content({PROBLEM: "problem"})} for code in errors
    }
    good = {"description": HTTPStatus(status).phrase, "content": _content({media_type: answer})}
    extra: Documented = {"parameters": list(parameters)} if parameters else {}
    if body is not None:
        extra["requestBody"] = {"required": True, "content": _content(body)}
    return {"status_code": status, "responses": {status: good, **known}, "openapi_extra": extra}


def _content(by_type: Mapping[str, Any]) -> Documented:
    return {media_type: {"schema": _schema(kind)} for media_type, kind in by_type.items()}


def _schema(kind: Any) -> Documented:
    if kind == "problem":
        return {"$ref": TEMPLATE.format(name="ProblemAnswer")}
    if isinstance(kind, dict):
        return kind
    _documented.add(kind)
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=TEMPLATE)
    return schema


def header(name: str, description: str, **schema: Any) -> Documented:
    """A header as a parameter."""
    return {"name": name, "in": "header", "required": False, **_text(description, schema)}


def in_path(name: str, description: str, **schema: Any) -> Documented:
    """A part of the path as a parameter."""
    return {"name": name, "in": "path", "required": True, **_text(description, schema)}


def in_query(name: str, description: str, many: bool = False, **schema: Any) -> Documented:
    """A query parameter; `many` for one that may be repeated."""
    found = {"name": name, "in": "query", "required": False, **_text(description, schema)}
    return {**found, "schema": {"type": "array", "items": found["schema"]}} if many else found


def _text(description: str, schema: Mapping[str, Any]) -> Documented:
    return {"description": description, "schema": {"type": "string", **schema}}


def install(app: FastAPI, *classes: Any) -> None:
    """Makes the application answer an OpenAPI that holds the schemas of all documented classes and of these."""

    def openapi() -> Documented:
        if app.openapi_schema is None:
            app.openapi_schema = _whole(app, [*_documented, *classes])
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _whole(app: FastAPI, classes: Sequence[Any]) -> Documented:
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    _, components = msgspec.json.schema_components(classes, ref_template=TEMPLATE)
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(components)
    schema["components"]["schemas"] = dict(sorted(schemas.items()))
    return schema
