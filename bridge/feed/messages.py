"""What a reader of many streams asks for, and what it is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from bridge.feed.cursor import Point, Vector
from bridge.feed.filters import Filter
from bridge.feed.order import Found
from bridge.feed.pace import LONGEST

Encode: TypeAlias = Callable[[Found], bytes]
"""Makes of an event the text that a reader is sent."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reader wants: from a place on, or None for what is new; until a time, or for ever where `follow` is set.

    Without either a replay ends at the present. `encode` writes its events; None: as the feed does for everybody.
    """

    wanted: Filter
    start: Point | Vector | None
    until: int | None = None
    follow: bool = False
    speed: float = 0.0
    longest: float = LONGEST
    encode: Encode | None = None


@dataclass(frozen=True, slots=True)
class Events:
    """Some events, each as its cursor and its text. The cursor leads to what comes behind it."""

    entries: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Beat:
    """Nothing came for a while; where the reader stands."""

    cursor: str


@dataclass(frozen=True, slots=True)
class Paused:
    """From here on nothing comes until `Resumed`."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The reader goes on."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Everything that was asked for was given."""

    cursor: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """The process is about to end; another goes on from the cursor."""

    cursor: str


Message: TypeAlias = Events | Beat | Paused | Resumed | Ended | Stopping


Tell: TypeAlias = Callable[[Message], Awaitable[None]]
"""Hands a message to the reader; returns when there is room for the next one."""
