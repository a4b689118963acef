"""Tickets as they were first deployed: a title, and minutes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bridge.application import Application
from bridge.decider import Decider, Refused


@dataclass(frozen=True)
class Open:
    title: str


@dataclass(frozen=True)
class LogTime:
    minutes: int


@dataclass(frozen=True)
class TicketOpened:
    title: str


@dataclass(frozen=True)
class TimeLogged:
    minutes: int


@dataclass(frozen=True)
class Ticket:
    title: str = ""
    minutes: int = 0


def decide(command: Open | LogTime, ticket: Ticket) -> Sequence[TicketOpened | TimeLogged]:
    match command:
        case Open(title) if not ticket.title:
            return [TicketOpened(title)]
        case LogTime(minutes) if ticket.title:
            return [TimeLogged(minutes)]
    raise Refused("T1", "a ticket is opened once, and before it is worked on")


def evolve(ticket: Ticket, event: TicketOpened | TimeLogged) -> Ticket:
    match event:
        case TicketOpened(title):
            return Ticket(title)
        case TimeLogged(minutes):
            return replace(ticket, minutes=ticket.minutes + minutes)


ticket = Decider("ticket", 1, Ticket(), Ticket, decide, evolve, (Open, LogTime), (TicketOpened, TimeLogged))
application = Application("tickets", Path(__file__).parent / "schemas1", (ticket,))
