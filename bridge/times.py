"""Times: integers of microseconds since 1970 UTC within, text without."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from dateutil import parser

from bridge.errors import Invalid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FIRST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
LAST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
"""The first and the last moment of the calendar."""


def rfc3339(micros: int) -> str:
    """The time in UTC with microseconds; what no calendar holds is shown as the first or last moment of one."""
    seconds, rest = divmod(min(max(micros, FIRST), LAST), 1_000_000)
    return f"{_second(seconds)}.{rest:06d}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    """A whole second without its zone: neighbouring events lie in few of them, and a calendar costs 4 µs."""
    return (EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()


def parse(text: str, path: str) -> int:
    """A date or time as people write them (`2026-11-24`, `2026-11-24 06:11`, RFC 3339), UTC where it names no zone.

    Raises Invalid with the path. What programs send is read by `json_values.instant`, which takes RFC 3339 alone.
    """
    try:
        moment = parser.parse(text, default=datetime(1970, 1, 1))
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return (aware - EPOCH) // MICROSECOND
    except (ValueError, OverflowError) as error:
        raise Invalid(path, f"{text[:80]!r} is not a date or time: {error}") from error
