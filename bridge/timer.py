"""The Timer: an event sets when a command is due, and the partition's owner gives it then.

    def due(event: RecordedEvent) -> Schedule | Cancel | None:
        match event.type:
            case "OrderPlaced":
                return Schedule(event.effective + 15 * MINUTES, Expire())
            case "OrderPaid":
                return Cancel()
        return None

    unpaid = Timer("unpaid", 1, "order", due)

What is pending is a projection, `timer-<name>`: a fold like all others. The command is decided on the stream as it is
when the timer fires, under a key that the event and the timer make, so that it counts once however often it is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from bridge import states
from bridge.errors import LighthouseError
from bridge.events import RecordedEvent
from bridge.projection import NAME, Projection, Rows

ACTOR = "lighthouse-timer"
"""Who writes what a timer's command decides."""

TIMER = "timer"
"""The metadata of such an append that says which timer it was; the causation is the event that had set it."""

DUE = "due/"
SLOT = "set/"
_NAME = re.compile(r"[A-Za-z0-9._~@:+-]{0,63}")
_DIGITS = 16


@dataclass(frozen=True)
class Schedule:
    """Give the command to the event's stream once effective time has come to `at`, in microseconds since 1970 UTC.

    A time before the event's own stands for that: at once.
    `name` tells several timers of one stream apart. One that is set again takes the place of the one before.
    """

    at: int
    command: Any
    name: str = ""

    def __post_init__(self) -> None:
        _check(self.name)


@dataclass(frozen=True)
class Cancel:
    """The timer of this name is not to fire, if it is set."""

    name: str = ""

    def __post_init__(self) -> None:
        _check(self.name)


def _check(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise LighthouseError(f"{name[:80]!r} cannot name a timer of a stream: at most 63 of A-Z a-z 0-9 . _ ~ @ : + -")


@dataclass(frozen=True)
class Timer:
    """What sets timers in a category that has a decider. `due` is pure: it is asked again in every rebuild.

    `version` must be raised when `due` changes: what is pending is then worked out anew. What has fired before does
    not fire again, whatever the version, as long as the events that set it and the names stay.
    """

    name: str
    version: int
    category: str
    due: Callable[[RecordedEvent], Schedule | Cancel | None]

    def __post_init__(self) -> None:
        if NAME.fullmatch(self.name) is None or len(self.name) > 50:
            raise LighthouseError(f"{self.name!r} cannot name a timer: use a-z, 0-9 and -, at most 50 of them")

    @property
    def pending(self) -> str:
        """The projection that holds what is pending."""
        return f"timer-{self.name}"

    def tag(self, name: str) -> str:
        """This timer and the name of one of a stream: what the metadata and the key of its append say."""
        return f"{self.name}#{name}"

    def key(self, event: str, name: str) -> str:
        """The Idempotency-Key under which it fires what an event has set."""
        return f"timer:{event}:{self.tag(name)}"


class Pending(msgspec.Struct, frozen=True):
    """A timer that is set: when it is due, by which event, and the command. `correlation` is that event's."""

    at: int
    event: str
    command: str = ""
    body: Mapping[str, Any] = {}
    correlation: str = ""


def slot(stream: str, name: str) -> str:
    """The key of the row that says when a timer of a stream is due."""
    return f"{SLOT}{stream}#{name}"


def due_key(at: int, stream: str, name: str) -> str:
    """The key of its row in the order in which they are due."""
    return f"{due_from(at)}/{stream}#{name}"


def due_from(at: int) -> str:
    """What comes before the keys of everything that is due at this time or later."""
    return f"{DUE}{at:0{_DIGITS}x}"


def unpack_due(key: str) -> tuple[int, str, str]:
    """(time, stream, name) of a key of `due_key`."""
    text = key[len(DUE) :]
    stream, _, name = text[_DIGITS + 1 :].partition("#")
    return int(text[:_DIGITS], 16), stream, name


def pending_of(timer: Timer) -> Projection[Pending]:
    """The fold: a timer is set, set again, cancelled, or done once its command's event is there."""

    def project(event: RecordedEvent, rows: Rows[Pending]) -> None:
        fired, _, name = event.envelope.metadata.get(TIMER, "").partition("#")
        if event.envelope.actor == ACTOR and fired == timer.name:
            _remove(rows, event.stream, name, event.envelope.causation)
        match timer.due(event):
            case Schedule(at, command, name):
                _remove(rows, event.stream, name)
                _set(rows, event, name, _pending(event, at, command))
            case Cancel(name):
                _remove(rows, event.stream, name)
            case None:
                pass

    return Projection(timer.pending, timer.version, project, Pending, (timer.category,), merge=_only)


def _pending(event: RecordedEvent, at: int, command: Any) -> Pending:
    body = msgspec.msgpack.decode(states.encode(command))
    return Pending(max(at, event.effective), event.id, type(command).__name__, body, event.envelope.correlation)


def _set(rows: Rows[Pending], event: RecordedEvent, name: str, pending: Pending) -> None:
    rows.put(slot(event.stream, name), Pending(pending.at, pending.event))
    rows.put(due_key(pending.at, event.stream, name), pending)


def _remove(rows: Rows[Pending], stream: str, name: str, event: str | None = None) -> None:
    """Removes a timer that is set, or only one that this event has set."""
    found = rows.get(slot(stream, name))
    if found is not None and event in (None, found.event):
        rows.delete(slot(stream, name))
        rows.delete(due_key(found.at, stream, name))


def _only(one: Pending, other: Pending) -> Pending:
    """The merge of rows that no two partitions share: a stream lies in one."""
    raise AssertionError(f"two partitions have set one timer: {one} and {other}")
