"""What a reader of many streams asks for, and what it is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from bridge.feed.cursor import Point, Vector
from bridge.feed.filters import Filter
from bridge.feed.pace import LONGEST


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reader wants: from a place on, or None for what is new; until a time, or for ever where `follow` is set.

    Without either a replay ends at the present.
    """

    wanted: Filter
    start: Point | Vector | None
    until: int | None = None
    follow: bool = False
    speed: float = 0.0
    longest: float = LONGEST


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
