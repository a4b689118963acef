"""What an address asks for: its query string as a struct, with the names of what is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from bridge.errors import TooLarge
from bridge.events import StreamId
from bridge.typed import invalid

T = TypeVar("T")

FORM = 64 * 1024
"""Bytes of a form."""


def asked(request: Request, kind: type[T]) -> T:
    """The query string; a name without a value is as one that is not there. Raises Invalid with the name."""
    return _converted(request.query_params.items(), kind)


async def sent(request: Request, kind: type[T]) -> T:
    """The query string and the fields of a form. Raises Invalid, TooLarge."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM:
            raise TooLarge(f"a form of a page has at most {FORM} bytes")
    fields = parse_qsl(body.decode("utf-8", "replace"), max_num_fields=100)
    return _converted([*request.query_params.items(), *fields], kind)


def _converted(given: Iterable[tuple[str, str]], kind: type[T]) -> T:
    told: dict[str, Any] = {name: value for name, value in given if value}
    try:
        return msgspec.convert(told, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error, "") from error


def stream_of(request: Request) -> str:
    """The stream that the path names; raises Invalid."""
    return str(StreamId.parse(f"{request.path_params['category']}/{request.path_params['id']}"))


def partial(request: Request) -> bool:
    """Whether htmx, or our own script, asks for a part of a page rather than for a page."""
    return "hx-request" in request.headers and "hx-history-restore-request" not in request.headers
