"""Request bodies: read up to a limit, decoded as JSON, converted to their classes with the path of what is wrong."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Request
from starlette.exceptions import HTTPException

from bridge.errors import Invalid, TooLarge
from bridge.typed import invalid

T = TypeVar("T")

LIMIT = 8 * 1024 * 1024
"""Bytes of a body. 4 MiB of Avro may need more as JSON, base64 a third more; nothing legitimate needs twice as much."""

JSON = "application/json"
MAX_VERSION = 10**18 - 1
"""The largest number that `lh_expected` can hold (R1)."""


class EventBody(msgspec.Struct, forbid_unknown_fields=True):
    """An event to append: the name of its type in the category, and its fields as the type's Avro schema says."""

    type: str
    data: dict[str, Any]


class AppendBody(msgspec.Struct, forbid_unknown_fields=True):
    """Events for one stream, written all or none. `expected_version` is the version that the first one must get:
    0 for a new stream, null for any, which needs an Idempotency-Key. `time` is the event time, RFC 3339.
    """

    expected_version: Annotated[int, msgspec.Meta(ge=0, le=MAX_VERSION)] | None
    events: Annotated[list[EventBody], msgspec.Meta(min_length=1)]
    time: Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})] | None = None
    metadata: dict[str, str] = {}


async def read_body(request: Request) -> bytes:
    """The body. Raises TooLarge before more than the limit is read."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > LIMIT:
        raise _too_large()
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LIMIT:
            raise _too_large()
    return bytes(body)


def _too_large() -> TooLarge:
    return TooLarge(f"the body has more than {LIMIT} bytes")


def media_type(request: Request, *known: str) -> str:
    """The body's media type, in lower case without parameters; raises a 415 for one that the route does not know.

    A form or a plain text is refused on purpose: a web page could send those to a local API without being asked.
    """
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found not in known:
        raise HTTPException(415, f"the Content-Type is {found[:80]!r}; this call takes {', '.join(known)}")
    return found


def parse(raw: bytes) -> Any:
    """The JSON value. Raises Invalid, also for NaN, half surrogate pairs and what Python cannot hold."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid("", f"the body is not JSON: {error}") from error


def convert(value: Any, kind: type[T]) -> T:
    """The value as its class; raises Invalid."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise invalid(error, "") from error
