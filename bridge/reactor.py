"""The Reactor: code with side effects, on live events only, at least once.

    async def react(event: RecordedEvent, reaction: Reaction) -> None:
        if event.type == "AccountOpened":
            await mail.send(event.data["owner"], "Welcome", message_id=reaction.key)

    welcome = Reactor("welcome", react, categories=("account",))

A replay, a rebuild or a lost store never calls it: its progress is its consumer group's, and nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from bridge.commands import Commands, Context
from bridge.errors import LighthouseError
from bridge.events import RecordedEvent
from bridge.projection import NAME

PUBLISHER = "publisher"
DEAD_LETTERS = "dead-letters"
OURS = frozenset((PUBLISHER, DEAD_LETTERS))
"""Reactors that the platform brings itself."""

Start = Literal["end", "beginning"]
"""Where a new reactor starts in the log."""


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a reactor is given beside the event.

    `key` is the event's id: the same whenever this event is given again, so whoever receives the effect can tell a
    repeat. `context` says for a command what led to it, under that key.
    """

    key: str
    commands: Commands
    context: Context


@dataclass(frozen=True)
class Reactor:
    """A named effect. `categories` are those it reads, None for all.

    Events come in stream order, and one of a partition at a time. An event whose `react` has not returned within
    `timeout` seconds, or raised, is given again, `attempts` times in all; then the reactor stands still there, in
    this partition alone, until a person says `retry` or `skip`. While the platform itself is away (Unavailable,
    Unknown) it only waits. A new reactor starts at the log's end, or with `start="beginning"` at its beginning.
    """

    name: str
    react: Callable[[RecordedEvent, Reaction], Awaitable[None]]
    categories: tuple[str, ...] | None = None
    start: Start = "end"
    attempts: int = 6
    timeout: float = 60.0

    def __post_init__(self) -> None:
        if NAME.fullmatch(self.name) is None:
            raise LighthouseError(f"{self.name!r} cannot name a reactor: use a-z, 0-9 and -, at most 63 of them")
        if self.attempts < 1:
            raise LighthouseError(f"reactor {self.name} has {self.attempts} attempts; one is the least")

    def reads(self, category: str) -> bool:
        """Whether it reads the events of this category."""
        return self.categories is None or category in self.categories


async def _by_the_page(event: RecordedEvent, reaction: Reaction) -> None:
    raise LighthouseError(f"{reaction.key}, {event.type}: the publisher takes rows, not events (streams.publisher)")


PUBLISHING = Reactor(PUBLISHER, _by_the_page, start="beginning")
"""The publisher as others see it. It starts at the beginning: a repeat is harmless, and outsiders want it all."""
