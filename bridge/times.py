"""Times as text: RFC 3339 in UTC with microseconds, to and from integers of microseconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dateutil import parser

from bridge.errors import Invalid

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def text_of(microseconds: int) -> str:
    """`2026-11-24T06:11:26.000000Z`."""
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def of_datetime(moment: datetime) -> int:
    """Microseconds since 1970; a moment without a zone is taken as UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND


def parse(text: str, path: str) -> int:
    """A date or time as people write them (`2026-11-24`, `2026-11-24 06:11`, RFC 3339), UTC where it names no zone.

    Raises Invalid with the path.
    """
    try:
        return of_datetime(parser.parse(text, default=datetime(1970, 1, 1)))
    except (ValueError, OverflowError) as error:
        raise Invalid(path, f"{text[:80]!r} is not a date or time: {error}") from error
