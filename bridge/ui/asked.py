"""What an address asks for: its query string as a struct, with the names of what is wrong."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from bridge.events import StreamId
from bridge.typed import invalid

T = TypeVar("T")


def asked(request: Request, kind: type[T]) -> T:
    """The query string; a name without a value is as one that is not there. Raises Invalid with the name."""
    given: dict[str, Any] = {name: value for name, value in request.query_params.items() if value}
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error, "") from error


def stream_of(request: Request) -> str:
    """The stream that the path names; raises Invalid."""
    return str(StreamId.parse(f"{request.path_params['category']}/{request.path_params['id']}"))


def partial(request: Request) -> bool:
    """Whether htmx, or our own script, asks for a part of a page rather than for a page."""
    return "hx-request" in request.headers and "hx-history-restore-request" not in request.headers
