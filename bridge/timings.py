"""What is decided of timers, as a part of category `system`: one stream a timer, `system/timer~<name>`.

That a timer fired is told by the event it led to. What leads to none is told here: when the timer was first known, for
what was due long before that is never fired, and which of its schedules ended without an event, and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

PREFIX = "timer~"


@dataclass(frozen=True)
class Timings:
    """The state of a timer's stream: whether it has begun."""

    begun: bool = False


@dataclass(frozen=True)
class BeginTimer:
    """From now on the timer fires."""


@dataclass(frozen=True)
class EndTimer:
    """A schedule of the timer is done with, though it has led to no event."""

    stream: str
    name: str
    event: str
    rule: str
    error: str


@dataclass(frozen=True)
class TimerBegun:
    """See the schema."""


@dataclass(frozen=True)
class TimerEnded:
    """See the schema."""

    stream: str
    name: str
    event: str
    rule: str
    error: str


Command = BeginTimer | EndTimer
Event = TimerBegun | TimerEnded
COMMANDS = (BeginTimer, EndTimer)
EVENTS = (TimerBegun, TimerEnded)


def decide(command: Command, state: Timings) -> Sequence[Event]:
    """A timer begins once."""
    match command:
        case BeginTimer():
            return [] if state.begun else [TimerBegun()]
        case EndTimer(stream, name, event, rule, error):
            return [TimerEnded(stream, name, event, rule, error)]


def evolve(state: Timings, event: Event) -> Timings:
    """The state after one more decision. Schedules are not kept here: they are many, and nothing depends on them."""
    return Timings(begun=True) if isinstance(event, TimerBegun) else state


@dataclass
class Timed:
    """What was decided of one timer: the effective time at which it began, None before, and the schedules it ended."""

    begun: int | None = None
    _ended: set[bytes] = field(default_factory=set)

    def take(self, event: Event, time: int) -> None:
        """One more decision, of this effective time."""
        if isinstance(event, TimerEnded):
            self._ended.add(_short(event.event, event.name))
        elif self.begun is None:
            self.begun = time

    def ended(self, event: str, name: str) -> bool:
        """Whether the schedule of this name that this event has set was ended."""
        return _short(event, name) in self._ended


def _short(event: str, name: str) -> bytes:
    """16 bytes, for every process keeps one for each schedule that ended."""
    return blake2b(f"{event}#{name}".encode(), digest_size=16).digest()
