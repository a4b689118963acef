"""What the calls answer beside what `bridge.present` shows. These classes are the JSON and the OpenAPI's schemas."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from bridge.errors import Invalid
from bridge.events import Appended
from bridge.present import Version

POSITION = "Lighthouse-Position"

_encoder = msgspec.json.Encoder()
encode = _encoder.encode


class AppendAnswer(msgspec.Struct):
    """An append that is in the log and admitted; `duplicate` if an earlier attempt under the key had written it.

    A command that decided nothing answers with last_version = first_version - 1.
    """

    stream: str
    first_version: Version
    last_version: int
    position: str
    duplicate: bool


class ProblemAnswer(msgspec.Struct, omit_defaults=True):
    """Problem details (RFC 9457). Which of the last six members are there depends on the type."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    path: str = ""
    rule: str = ""
    expected_version: int | None = None
    actual_version: int | None = None
    version: int | None = None
    lag: int | None = None


def answer(
    value: Any, position: str | None = None, status: int = 200, media_type: str = "application/json"
) -> Response:
    """A response; `position` is the token of what was read for it."""
    headers = {POSITION: position} if position is not None else None
    return Response(_encoder.encode(value), status, headers, media_type)


def of_append(appended: Appended, token: str) -> AppendAnswer:
    """The answer to an append."""
    return AppendAnswer(appended.stream, appended.first_version, appended.last_version, token, appended.duplicate)


def one_of(**given: object) -> None:
    """Raises Invalid when more than one of these is given."""
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise Invalid(named[-1], f"give only one of {', '.join(given)}")
