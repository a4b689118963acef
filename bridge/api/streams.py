"""Reading streams: events, state, and what changed, at a version or a time (`appending` has the way in).

The last segment of a path tells the call, and a stream's id may contain `/`: `/v1/streams/project/a/b/state` is the
state of `project/a/b`. An id that itself ends in such a word is written with `%2F`: `/v1/streams/project/a%2Fstate`
is the stream `project/a/state`. Paths are matched before they are unquoted, so the two never mix.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from bridge import present
from bridge.api import cloudevents
from bridge.api.answers import answer, one_of
from bridge.api.bodies import JSON, MAX_VERSION
from bridge.api.front import Reading, ReadingOf
from bridge.api.openapi import documents
from bridge.errors import Invalid
from bridge.events import StreamId
from bridge.history.events import Range
from bridge.history.reader import NOW, At
from bridge.history.times import ClockName
from bridge.log.json_values import below, instant
from bridge.present import DiffAnswer, EventsAnswer, StateAnswer, StreamAnswer

router = APIRouter(prefix="/v1/streams", tags=["streams"])

VersionQuery = Annotated[int | None, Query(ge=0, le=MAX_VERSION)]
AsOf = Annotated[str | None, Query(description="RFC 3339 time.", json_schema_extra={"format": "date-time"})]
Clock = Annotated[ClockName, Query(description="`effective`: the log's time; `event`: what the stream's writers said.")]

READ_ERRORS = (404, 422, 503, 504)


@router.get("/{category}/{id:path}/events", **documents(EventsAnswer, *READ_ERRORS))
async def events(
    reading: ReadingOf,
    from_version: VersionQuery = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    as_of: AsOf = None,
    clock: Clock = ClockName.EFFECTIVE,
    direction: Literal["forward", "backward"] = "forward",
    accept: Annotated[str, Header(description=f"`{cloudevents.BATCH}` for CloudEvents.")] = JSON,
) -> Response:
    """The stream's events from a version on, oldest first; `backward`: from a version back, newest first.

    With `as_of` only those that the stream had at that time.
    """
    backward = direction == "backward"
    time = _time("as_of", as_of)
    page = await reading.front.platform.history.events(
        reading.stream, _span(from_version, limit, backward), At(time=time, clock=clock)
    )
    token = reading.front.token(page.position)
    if cloudevents.BATCH in accept:
        return answer([cloudevents.of_event(event) for event in page.events], token, media_type=cloudevents.BATCH)
    return answer(present.of_page(reading.stream, page, time), token)


def _span(from_version: int | None, limit: int, backward: bool) -> Range:
    if backward:
        return Range(0, MAX_VERSION if from_version is None else from_version + 1, limit, True)
    return Range(from_version or 0, MAX_VERSION, limit)


@router.get("/{category}/{id:path}/state", **documents(StateAnswer, *READ_ERRORS))
async def state(
    reading: ReadingOf,
    version: VersionQuery = None,
    as_of: AsOf = None,
    bookmark: Annotated[str | None, Query(description="`<name>:<value>`, e.g. `commit:1a2b3c`.")] = None,
    clock: Clock = ClockName.EFFECTIVE,
) -> Response:
    """The stream's state: now, after the event of a version, at a time, or where a bookmark of the category lies."""
    one_of(version=version, as_of=as_of, bookmark=bookmark)
    time = _time("as_of", as_of)
    if bookmark is not None:
        version = await _marked(reading, bookmark)
    found = await reading.front.platform.history.state(reading.stream, At(version, time, clock), reading.least)
    return answer(present.of_state(found, time), reading.front.token(found.position))


async def _marked(reading: Reading, text: str) -> int:
    """The version that a bookmark names; raises Invalid, NotFound."""
    name, _, value = text.partition(":")
    if not value:
        raise Invalid("bookmark", f"{text[:80]!r} is not <name>:<value>")
    mark = reading.front.platform.base.catalog.bookmark(StreamId.parse(reading.stream).category, name)
    return await reading.front.platform.history.find(reading.stream, mark.type, mark.field, value)


@router.get("/{category}/{id:path}/diff", **documents(DiffAnswer, *READ_ERRORS))
async def diff(
    reading: ReadingOf,
    from_: Annotated[str, Query(alias="from", description="A version, or an RFC 3339 time.")],
    to: Annotated[str | None, Query(description="A version, or an RFC 3339 time; now if missing.")] = None,
    clock: Clock = ClockName.EFFECTIVE,
    limit: Annotated[int, Query(ge=1, le=1000, description="Events between, at most.")] = 1000,
) -> Response:
    """What changed between two points of the stream: a JSON Patch, and the events between."""
    before = _point("from", from_, clock)
    after = NOW if to is None else _point("to", to, clock)
    found = await reading.front.platform.history.diff(reading.stream, before, after, limit)
    return answer(present.of_diff(found), reading.front.token(found.position))


@router.get("/{category}/{id:path}", **documents(StreamAnswer, *READ_ERRORS))
async def info(reading: ReadingOf) -> Response:
    """The stream's head, its first and last time, and whether it is parked."""
    found = await reading.front.platform.history.info(reading.stream)
    return answer(present.of_stream(found), reading.front.token(found.position))


def _time(name: str, text: str | None) -> int | None:
    return None if text is None else below(name, instant, text)


def _point(name: str, text: str, clock: ClockName) -> At:
    """A version if the text is a number, else a time; raises Invalid."""
    if text.isascii() and text.isdecimal() and len(text) <= 18:
        return At(version=int(text))
    return At(time=_time(name, text), clock=clock)
