"""Numbers, times and sizes as people read them; the filters of the templates. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from bridge.times import rfc3339

UNITS = (("y", 31_557_600), ("mo", 2_629_800), ("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def number(value: int | float) -> str:
    """`12,345`, in digits that a person can group."""
    return f"{value:,}"


def moment(micros: int) -> str:
    """`2026-11-24 06:11:03.120`, UTC."""
    return rfc3339(micros)[:23].replace("T", " ")


def iso(micros: int) -> str:
    """For the `datetime` attribute of a `time` element."""
    return rfc3339(micros)


def ago(micros: int, now: int) -> str:
    """`3 min ago`; what lies ahead, as clocks differ, is `now`."""
    seconds = max(0, now - micros) / 1e6
    return "now" if seconds < 1 else f"{span(seconds)} ago"


def span(seconds: float) -> str:
    """The largest unit that fits: `45 s`, `3 h`, `2 y`."""
    for unit, size in UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds * 1000:.0f} ms"


def plural(count: int, one: str, many: str = "") -> str:
    """`1 event`, `2 events`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def size(count: int) -> str:
    """`512 B`, `12.5 KiB`."""
    for unit, scale in (("MiB", 2**20), ("KiB", 2**10)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count:,} B"


def joined(parts: Iterable[str]) -> str:
    """What is there, with a middle dot between."""
    return " · ".join(part for part in parts if part)


LONGEST = 400
"""Characters of a leaf that are shown; an event's field may have four million."""


def leaf(value: Any) -> str:
    """A leaf of a state or an event: JSON, so that a text, a number and nothing cannot be taken for each other."""
    if isinstance(value, bytes):
        return _bytes(value)
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… {len(text):,} characters"


def _bytes(value: bytes) -> str:
    """Bytes that are text are shown as such."""
    try:
        return leaf(value.decode())
    except UnicodeDecodeError:
        return f"{size(len(value))} of bytes"
