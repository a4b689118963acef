"""Alarms that ring when they are due: the smallest application with a timer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bridge.application import Application
from bridge.decider import Decider, Refused
from bridge.events import RecordedEvent
from bridge.timer import Cancel, Schedule, Timer

How = Literal["rings", "refuses", "sleeps", "breaks"]


@dataclass(frozen=True)
class SetAlarm:
    name: str
    at: int
    how: How = "rings"


@dataclass(frozen=True)
class Drop:
    name: str


@dataclass(frozen=True)
class Ring:
    name: str
    how: How


@dataclass(frozen=True)
class AlarmSet:
    name: str
    at: int
    how: str


@dataclass(frozen=True)
class AlarmDropped:
    name: str


@dataclass(frozen=True)
class AlarmRang:
    name: str


@dataclass(frozen=True)
class Clock:
    """How often it rang."""

    rang: int = 0


Command = SetAlarm | Drop | Ring
Event = AlarmSet | AlarmDropped | AlarmRang


def decide(command: Command, clock: Clock) -> Sequence[Event]:
    match command:
        case SetAlarm(name, at, how):
            return [AlarmSet(name, at, how)]
        case Drop(name):
            return [AlarmDropped(name)]
        case Ring(name, "rings"):
            return [AlarmRang(name)]
        case Ring(name, "refuses"):
            raise Refused("A1", f"{name} does not want to ring")
        case Ring(name, "breaks"):
            raise ZeroDivisionError(name)
        case Ring():
            return []


def evolve(clock: Clock, event: Event) -> Clock:
    return replace(clock, rang=clock.rang + 1) if isinstance(event, AlarmRang) else clock


def due(event: RecordedEvent) -> Schedule | Cancel | None:
    name = event.data["name"]
    match event.type:
        case "AlarmSet":
            return Schedule(event.data["at"], Ring(name, event.data["how"]), name)
        case "AlarmDropped":
            return Cancel(name)
    return None


alarm = Decider("alarm", 1, Clock(), Clock, decide, evolve, (SetAlarm, Drop, Ring), (AlarmSet, AlarmDropped, AlarmRang))
bell = Timer("bell", 1, "alarm", due)
application = Application("alarms", Path(__file__).parent / "schemas", (alarm,), timers=(bell,))
