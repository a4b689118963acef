"""Tickets as they were deployed later: the title is a subject, time is in seconds, and tickets lie in queues."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bridge.application import Application
from bridge.decider import Decider, Refused
from bridge.upcast import Upcast


@dataclass(frozen=True)
class Open:
    subject: str
    queue: str


@dataclass(frozen=True)
class LogTime:
    seconds: int


@dataclass(frozen=True)
class TicketOpened:
    subject: str
    queue: str


@dataclass(frozen=True)
class TimeLogged:
    seconds: int


@dataclass(frozen=True)
class Ticket:
    subject: str = ""
    queue: str = ""
    seconds: int = 0


def decide(command: Open | LogTime, ticket: Ticket) -> Sequence[TicketOpened | TimeLogged]:
    match command:
        case Open(subject, queue) if not ticket.subject:
            return [TicketOpened(subject, queue)]
        case LogTime(seconds) if ticket.subject:
            return [TimeLogged(seconds)]
    raise Refused("T1", "a ticket is opened once, and before it is worked on")


def evolve(ticket: Ticket, event: TicketOpened | TimeLogged) -> Ticket:
    match event:
        case TicketOpened(subject, queue):
            return Ticket(subject, queue)
        case TimeLogged(seconds):
            return replace(ticket, seconds=ticket.seconds + seconds)


def in_seconds(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 to 2 of TimeLogged."""
    return {"seconds": 60 * data["minutes"]}


ticket = Decider("ticket", 2, Ticket(), Ticket, decide, evolve, (Open, LogTime), (TicketOpened, TimeLogged))
gap = Application("tickets", Path(__file__).parent / "schemas2", (ticket,))
application = replace(gap, upcasts=(Upcast("ticket", "TimeLogged", 1, in_seconds),))
