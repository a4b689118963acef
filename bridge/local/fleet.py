"""The processors of one supervisor, as many as `lighthouse streams scale` says, and the reactors beside them.

A supervisor writes down what it runs in `run/fleet-<pid>.json` of the home, and looks in `fleet-<pid>.wanted` how many
are wanted; each file has one writer.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from bridge.errors import LocalError
from bridge.local.home import Process, boot, find, prepare, replace
from bridge.local.services import Service, stop_all
from bridge.settings import Settings

log = structlog.get_logger()

MOST = 64
"""Processors of one supervisor."""


class Roster(msgspec.Struct, frozen=True):
    """What a supervisor's file says: how many processors are wanted, and the ids of those that run."""

    boot: str
    supervisor: Process
    wanted: int
    running: tuple[int, ...] = ()

    @property
    def alive(self) -> bool:
        """Whether the supervisor still runs."""
        return self.boot == boot() and self.supervisor.alive


class Fleet:
    """Processors and reactors, started and tended by this process. `prefix` tells their logs from others' here."""

    def __init__(self, settings: Settings, instances: int, prefix: str = "") -> None:
        self._logs = settings.root / "logs"
        self._prefix = prefix
        self._instances = instances
        self._reactors = Service(f"{prefix}reactors", ("streams", "--role", "reactors"), self._logs)
        self._processors: list[Service] = []
        self._leaving: list[Service] = []
        self._told: Roster | None = None
        self._file = _files(settings) / f"fleet-{os.getpid()}.json"
        prepare(settings.root)
        _wanted(self._file).unlink(missing_ok=True)  # of another process that had this pid

    @property
    def services(self) -> list[Service]:
        """What runs, those that are leaving apart."""
        return [*self._processors, self._reactors]

    def start(self) -> None:
        """Starts all. Raises LocalError."""
        self._fit()
        for service in (self._reactors, *self._processors):
            service.start()
        self._tell()

    def tend(self) -> None:
        """Starts what has died, and what is wanted more; asks what is wanted no more to end.

        What cannot be started is tried again at the next look, and all others go on.
        """
        self._instances = self._asked()
        self._fit()
        for service in self.services:
            service.revive()
        self._leaving = [service for service in self._leaving if not service.gone()]
        self._tell()

    def _asked(self) -> int:
        try:
            return int(_wanted(self._file).read_text())
        except (OSError, ValueError):
            return self._instances

    def _fit(self) -> None:
        while len(self._processors) < self._instances:
            name = f"{self._prefix}processor-{len(self._processors) + 1}"
            self._processors.append(Service(name, ("streams", "--role", "processor"), self._logs))
        while len(self._processors) > self._instances:
            service = self._processors.pop()
            service.terminate()
            self._leaving.append(service)

    def _tell(self) -> None:
        owner = find(os.getpid(), "owner")
        assert owner is not None
        running = tuple(service.pid for service in (*self._processors, *self._leaving) if service.alive)
        roster = Roster(boot(), owner, self._instances, running)
        if roster != self._told:
            self._told = roster
            replace(self._file, msgspec.json.encode(roster))

    def stop(self) -> None:
        """Asks all to end, and kills what is left after the patience."""
        self._file.unlink(missing_ok=True)
        _wanted(self._file).unlink(missing_ok=True)
        stop_all([*self._leaving, *self.services])


@dataclass(frozen=True)
class Scaled:
    """A supervisor, and how many processors it was told to run."""

    supervisor: Process
    before: int
    wanted: int


def rosters(settings: Settings) -> list[Roster]:
    """The supervisors that run for a home, in the order in which they were started."""
    found = [roster for file in _files(settings).glob("fleet-*.json") if (roster := _read(file)) is not None]
    return sorted((one for one in found if one.alive), key=lambda one: one.supervisor.started)


def scale(settings: Settings, instances: int) -> list[Scaled]:
    """Tells the supervisors of a home to run so many processors in all. Raises LocalError where none runs."""
    found = rosters(settings)
    if not found:
        raise LocalError(
            f"nothing runs processors in {settings.root}: start `lighthouse up` or `lighthouse streams run`"
        )
    if instances > MOST * len(found):
        raise LocalError(f"one supervisor runs at most {MOST} processors; start `lighthouse streams run` for more")
    told = []
    for roster, wanted in zip(found, shares([one.wanted for one in found], instances), strict=True):
        file = _files(settings) / f"fleet-{roster.supervisor.pid}.json"
        replace(_wanted(file), str(wanted).encode())
        told.append(Scaled(roster.supervisor, roster.wanted, wanted))
    return told


def shares(now: Sequence[int], wanted: int) -> list[int]:
    """How many each is to run so that all together run `wanted`: more by the first that has room, fewer by the last."""
    found, missing = list(now), wanted - sum(now)
    for number in range(len(found)) if missing > 0 else reversed(range(len(found))):
        change = min(missing, MOST - found[number]) if missing > 0 else max(missing, -found[number])
        found[number] += change
        missing -= change
    return found


def _files(settings: Settings) -> Path:
    return settings.root / "run"


def _wanted(file: Path) -> Path:
    return file.with_suffix(".wanted")


def _read(file: Path) -> Roster | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Roster)
    except (OSError, msgspec.DecodeError):
        return None
