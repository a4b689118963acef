"""The projections of the simulated group, and what their rows must be: the same once more, naively, from the facts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add
from typing import Any

from bridge import states
from bridge.application import Catalog
from bridge.events import RecordedEvent
from bridge.projection import Projection, Rows
from bridge.store import keys
from bridge.store.memory import _State
from bridge.store.rows import pack_old
from tests.model.reference import Fact

NEVER = "f"
"""The memo at which version 1 of `fragile` always fails: that event can only be skipped."""

STORMY = "m0"
"""The memo at which it fails in a storm: it can be tried again."""


@dataclass
class Weather:
    """What the application's code depends on, though it should not."""

    storm: bool = False


def _signed(event: RecordedEvent) -> int:
    return int(event.data["amount"]) * (1 if event.type == "Deposited" else -1)


def _total(event: RecordedEvent, rows: Rows[int]) -> None:
    rows.put(event.stream, (rows.get(event.stream) or 0) + _signed(event))


def _total_newer(event: RecordedEvent, rows: Rows[int]) -> None:
    rows.put(event.stream, (rows.get(event.stream) or 0) + 100 * _signed(event))
    rows.put(f"{event.stream}#events", (rows.get(f"{event.stream}#events") or 0) + 1)


def _memo(event: RecordedEvent, rows: Rows[int]) -> None:
    key = event.data["memo"] if event.type == "Deposited" else "-"
    rows.put(key, (rows.get(key) or 0) + event.data["amount"])


def _past(event: RecordedEvent, rows: Rows[int]) -> None:
    now = (rows.get(event.stream) or 0) + _signed(event)
    if now:
        rows.put(event.stream, now)
    else:
        rows.delete(event.stream)


def _many(one: Callable[[RecordedEvent, Rows[int]], None]) -> Callable[[Sequence[RecordedEvent], Rows[int]], None]:
    def many(events: Sequence[RecordedEvent], rows: Rows[int]) -> None:
        for event in events:
            one(event, rows)

    return many


def _fragile(weather: Weather, poison: str) -> Callable[[RecordedEvent, Rows[int]], None]:
    def project(event: RecordedEvent, rows: Rows[int]) -> None:
        memo = event.data.get("memo")
        if memo == poison or (memo == STORMY and weather.storm):
            raise ValueError(f"no such memo: {memo}")
        rows.put(event.stream, (rows.get(event.stream) or 0) + 1)

    return project


def catalogs(weather: Weather) -> tuple[Catalog, Catalog]:
    """What processes of the code of today have, and those of tomorrow's, which know it beside today's."""
    account = {"row": int, "categories": ("account",)}
    today: tuple[Projection[Any], ...] = (
        Projection("total", 1, _total, **account),  # type: ignore[arg-type]
        Projection("memo", 1, _memo, merge=add, project_many=_many(_memo), **account),  # type: ignore[arg-type]
        Projection("past", 1, _past, versioned=True, **account),  # type: ignore[arg-type]
        Projection("fragile", 1, _fragile(weather, NEVER), **account),  # type: ignore[arg-type]
    )
    tomorrow: tuple[Projection[Any], ...] = (
        *today,
        Projection("total", 2, _total_newer, **account),  # type: ignore[arg-type]
        Projection("fragile", 2, _fragile(weather, ""), **account),  # type: ignore[arg-type]
    )
    return Catalog(projections=today), Catalog(projections=tomorrow)


MERGED = "memo"
NAMES = ("total", MERGED, "past", "fragile")

Told = tuple[str, Fact]
"""A stream and one of its facts."""


@dataclass
class Folded:
    """Rows as they are after some facts, and what they were at each effective time where that is kept."""

    now: dict[str, int] = field(default_factory=dict)
    past: dict[tuple[str, int], int | None] = field(default_factory=dict)


def folded(name: str, version: int, told: Sequence[Told]) -> Folded:
    """What a version's rows must be after these facts of one partition, in order."""
    rows = Folded()
    for stream, fact in told:
        assert fact.data is not None, f"{name} has gone over what cannot be read"
        for key, row in _changed(name, version, stream, fact, rows.now):
            rows.now[key] = row
            if name == "past":
                rows.past[key, fact.effective] = row or None
        if name == "past" and not rows.now[stream]:
            del rows.now[stream]
    return rows


def _changed(name: str, version: int, stream: str, fact: Fact, now: Mapping[str, int]) -> list[tuple[str, int]]:
    assert fact.data is not None
    amount, memo = fact.data["amount"], fact.data.get("memo", "-")
    signed = amount if fact.type == "Deposited" else -amount
    match name, version:
        case "memo", _:
            return [(memo, now.get(memo, 0) + amount)]
        case "total", 2:
            events = f"{stream}#events"
            return [(stream, now.get(stream, 0) + 100 * signed), (events, now.get(events, 0) + 1)]
        case "fragile", 1 if memo == NEVER:
            return []
        case "fragile", _:
            return [(stream, now.get(stream, 0) + 1)]
        case _:
            return [(stream, now.get(stream, 0) + signed)]


def encoded(prefix: bytes, rows: Folded) -> dict[bytes, bytes]:
    """The rows as a store must hold them."""
    now = {keys.row(prefix, key): states.encode(row) for key, row in rows.now.items()}
    past = {
        keys.old_row(prefix, key, at): pack_old(None if row is None else states.encode(row))
        for (key, at), row in rows.past.items()
    }
    return now | past


def under(state: _State, prefix: bytes) -> dict[bytes, bytes]:
    """The rows of a space whose keys begin with the prefix."""
    found, start = {}, bisect_left(state.keys, prefix)
    for key in state.keys[start:]:
        if not key.startswith(prefix):
            break
        found[key] = state.rows[key]
    return found


def as_of(name: str, version: int, told: Sequence[Told], key: str, at: int) -> int | None:
    """What a row was at an effective time."""
    return folded(name, version, [one for one in told if one[1].effective <= at]).now.get(key)
