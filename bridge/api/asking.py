"""The query parameters of the calls that read many streams: `/v1/events`, `/v1/replay`, `/v1/live`.

Read by hand and strictly: a filter whose name is misspelt would silently let everything through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from starlette.datastructures import QueryParams

from bridge.api.cloudevents import encode_found
from bridge.api.openapi import in_query
from bridge.errors import Invalid
from bridge.events import StreamId
from bridge.feed.cursor import Point, Vector
from bridge.feed.feed import Feed
from bridge.feed.filters import Filter
from bridge.feed.messages import Asked, Encode
from bridge.feed.pace import LONGEST
from bridge.log.json_values import below, instant

T = TypeVar("T")

FASTEST = 1_000_000.0
LONGEST_GAP = 86_400.0
MOST = 1000
LAST_EVENT_ID = "Last-Event-ID"
CLOUDEVENTS = "cloudevents"

FILTERS = (
    in_query("category", "Events of these categories.", many=True),
    in_query("stream", "Events of these streams, `category/id`.", many=True, pattern="^[A-Za-z0-9._~@:+/-]+$"),
    in_query("type", "Events of these types.", many=True),
    in_query("actor", "Events that these wrote.", many=True),
    in_query("correlation_id", "Events that belong to these.", many=True),
)
RANGE = (
    in_query("from", "RFC 3339: from this effective time on.", format="date-time"),
    in_query("to", "RFC 3339: only what lies before this effective time.", format="date-time"),
    in_query("cursor", "Where an earlier answer says that the rest begins; stronger than `from`."),
)
LIMIT = in_query("limit", "Events, at most.", type="integer", minimum=1, maximum=MOST, default=100)
PACE = (
    in_query(
        "speed", "Times as fast as it happened; 0: as fast as possible.", type="number", minimum=0, maximum=FASTEST
    ),
    in_query("gap", "Seconds until the next event, at most.", type="number", exclusiveMinimum=0, maximum=LONGEST_GAP),
    in_query("format", f"`{CLOUDEVENTS}`: each event as a CloudEvent in JSON.", enum=[CLOUDEVENTS]),
    in_query("follow", "Goes on with what is new, partition by partition.", type="boolean", default=False),
)

_KINDS = frozenset(each["name"] for each in FILTERS)


@dataclass(frozen=True)
class Paging:
    """What a page is asked for."""

    wanted: Filter
    start: Point
    until: int | None
    limit: int


def paging(feed: Feed, query: QueryParams) -> Paging:
    """The parameters of `/v1/events`. Raises Invalid."""
    _check(query, ("from", "to", "cursor", "limit"))
    start = _start(feed, query, None)
    if start is not None and not isinstance(start, Point):
        raise Invalid("cursor", "the cursor is one of live events; pages are in the merged order, take one from a page")
    limit = one(query, "limit", lambda text: _number(text, 1, MOST, int), 100)
    return Paging(filter_of(query), start or feed.first, _until(feed, query), limit)


def replaying(feed: Feed, query: QueryParams, last_event_id: str | None) -> Asked:
    """The parameters of `/v1/replay`. Raises Invalid."""
    _check(query, ("from", "to", "cursor", "speed", "gap", "follow", "format"))
    start = _start(feed, query, last_event_id) or feed.first
    follow = one(query, "follow", _truth, False)
    until = _until(feed, query)
    if follow and until is not None:
        raise Invalid("follow", "give only one of to, follow")
    if not follow and not isinstance(start, Point):
        raise Invalid("cursor", "the cursor is one of live events, which only follow=true goes on with")
    return _asked(query, start, until, follow)


def living(feed: Feed, query: QueryParams) -> Asked:
    """The parameters of `/v1/live`: without a beginning only what is new. Raises Invalid."""
    _check(query, ("from", "to", "cursor", "speed", "gap", "at_least", "format"))
    start, until = _start(feed, query, None), _until(feed, query)
    if until is not None and not isinstance(start, Point):
        raise Invalid("to", "only a replay has an end: give `from`, or a cursor of the merged order")
    return _asked(query, start, until, until is None)


def _asked(query: QueryParams, start: Point | Vector | None, until: int | None, follow: bool) -> Asked:
    speed = one(query, "speed", lambda text: _number(text, 0, FASTEST, float), 0.0)
    longest = one(query, "gap", lambda text: _number(text, 1e-3, LONGEST_GAP, float), LONGEST)
    encode = one(query, "format", _encoding, None)
    return Asked(filter_of(query), start, until, follow, speed, longest, encode)


def filter_of(query: QueryParams) -> Filter:
    """The filter. Raises Invalid for a stream that is no stream's name."""
    streams = frozenset(str(StreamId.parse(stream)) for stream in query.getlist("stream"))
    names = ("category", "type", "actor", "correlation_id")
    categories, types, actors, correlations = (frozenset(query.getlist(name)) for name in names)
    return Filter(categories, streams, types, actors, correlations)


def _check(query: QueryParams, names: Sequence[str]) -> None:
    """Raises Invalid for a parameter that the call does not have."""
    for name in query:
        if name not in _KINDS and name not in names:
            known = ", ".join(sorted(_KINDS.union(names)))
            raise Invalid(name[:40], f"there is no such parameter; known are {known}")


def _start(feed: Feed, query: QueryParams, last_event_id: str | None) -> Point | Vector | None:
    """The last event that a reader got is stronger than the cursor it began with, and that stronger than a time."""
    if last_event_id:
        return feed.cursors.parse(last_event_id, LAST_EVENT_ID)
    found = one(query, "cursor", lambda text: feed.cursors.parse(text, ""), None)
    if isinstance(found, Point):
        feed.check_time("cursor", found.effective)
    if found is not None:
        return found
    since = one(query, "from", instant, None)
    return None if since is None else feed.at(since)


def _until(feed: Feed, query: QueryParams) -> int | None:
    until = one(query, "to", instant, None)
    if until is not None:
        feed.check_time("to", until)
    return until


def one(query: QueryParams, name: str, read: Callable[[str], T], default: T) -> T:
    """The value of a parameter that may stand once, or the default. Raises Invalid with its name."""
    found = query.getlist(name)
    if len(found) > 1:
        raise Invalid(name, "give it once")
    return below(name, read, found[0]) if found else default


def _number(text: str, low: float, high: float, kind: Callable[[str], T]) -> T:
    try:
        found = kind(text)
        if len(text) <= 40 and math.isfinite(value := float(text)) and low <= value <= high:
            return found
    except ValueError:
        pass
    raise Invalid("", f"{text[:40]!r} is not a number from {low:g} to {high:g}")


def _encoding(text: str) -> Encode:
    if text != CLOUDEVENTS:
        raise Invalid("", f"there is no format {text[:40]!r}; leave it out, or write {CLOUDEVENTS}")
    return encode_found


def _truth(text: str) -> bool:
    if text not in ("true", "false", "1", "0"):
        raise Invalid("", f"{text[:40]!r} is neither true nor false")
    return text in ("true", "1")
