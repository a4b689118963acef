"""The load of a fault test: guarded writers, alone or as rivals in a stream, and some that append to any version."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bridge.events import Event
from bridge.handle import Handler
from tests.faults.journal import TOLD, Appends, Attempt, Journal, Outcome, Request

GUARDED = 16
ANY = 2
PAUSE = 0.01
"""Seconds between two appends of a writer: two cores carry the broker, too.

Each pause is half as much to half as much again: rivals in step with each other would always have the same winner.
"""

RIVALS = ("a", "b")
"""Streams that three guarded writers each share; each of the others has one of its own."""

SETTLING = 15.0
"""Seconds after the end in which requests whose outcome is unknown are still asked again."""

PATIENCE = 60.0


def stream_of(number: int) -> str:
    """The stream of a guarded writer."""
    rival = number - (GUARDED - 3 * len(RIVALS))
    return f"project/rivals-{RIVALS[rival // 3]}" if rival >= 0 else f"project/w{number}"


STREAMS = (*dict.fromkeys(map(stream_of, range(GUARDED))), "project/any")
"""Every stream that is written."""


def commit(text: str) -> Event:
    """An event of the project category; `text` tells it from all others."""
    return Event("CommitRecorded", {"sha": text.encode().hex().ljust(40, "0")[:40], "message": text})


def at(handler: Handler, partition: int, name: str = "at") -> str:
    """A stream's name that lies in this partition."""
    names = (f"project/{name}-{number}" for number in itertools.count())
    return next(name for name in names if handler._spaces.of(name).place.partition == partition)


@dataclass
class Writers:
    """Writes until `stop` is set; a request whose outcome is unknown is asked again, under its key, until it is known.

    One that was only refused as unavailable is asked again or given up, at random.
    """

    handler: Appends
    journal: Journal
    prefix: str = "w"
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    acknowledged: dict[str, int] = field(default_factory=dict)
    pause: float = PAUSE
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    late: float = 0.0

    async def guarded(self, name: str, stream: str) -> None:
        """One writer of a stream, each append at the version that its last answer told."""
        version = 0
        for number in self._numbers():
            events = [commit(f"{name}/{number}/{index}") for index in range(1 + number % 3)]
            last = await self._settle(Request(stream, version, f"{name}/{number}", events), name)
            if last.appended is not None:
                version = last.appended.last_version + 1
            elif last.actual is not None:
                version = last.actual

    async def any(self, name: str) -> None:
        """One stream for all of these, each append wherever it comes to lie."""
        for number in self._numbers():
            await self._settle(Request("project/any", None, f"{name}/{number}", [commit(f"{name}/{number}")]), name)

    def _numbers(self) -> Iterator[int]:
        return itertools.takewhile(lambda _: not self.stop.is_set(), itertools.count())

    async def _settle(self, request: Request, name: str) -> Attempt:
        """Attempts until the outcome is known, or given up."""
        unknown = False
        while True:
            attempt = await self.journal.ask(self.handler, request)
            if attempt.outcome is Outcome.ACKNOWLEDGED:
                self.acknowledged[name] = self.acknowledged.get(name, 0) + 1
            unknown |= attempt.outcome is Outcome.UNKNOWN
            told = attempt.outcome in TOLD
            await asyncio.sleep(self.chance.uniform(0.5, 1.5) * (self.pause if told else 10 * PAUSE))
            if told or self._gives_up(unknown):
                return attempt

    def _gives_up(self, unknown: bool) -> bool:
        """Whether a request is not asked again; one that may have been written only when it is late."""
        if unknown:
            return self.stop.is_set() and time.monotonic() > self.late
        return self.stop.is_set() or self.chance.random() < 0.5

    async def finish(self) -> None:
        """Returns once each writer was told of the request that it is in, or has given it up."""
        if not self.stop.is_set():
            self.late = time.monotonic() + SETTLING
            self.stop.set()
        await asyncio.wait_for(asyncio.gather(*self.tasks), PATIENCE)

    async def progress(self, more: int, seconds: float) -> None:
        """Returns once every writer was acknowledged that many times more."""
        before = dict(self.acknowledged)
        names = [f"{self.prefix}{number}" for number in range(GUARDED)] + [f"any{number}" for number in range(ANY)]

        def met(_: Journal) -> bool:
            return all(self.acknowledged.get(name, 0) >= before.get(name, 0) + more for name in names)

        await self.journal.until(met, seconds, f"{more} more acknowledgements of each writer")


@asynccontextmanager
async def writing(handler: Appends, journal: Journal, pause: float = PAUSE) -> AsyncIterator[Writers]:
    """Sixteen guarded writers and some others, at work until the block is left; each then ends its request."""
    writers = Writers(handler, journal, pause=pause)
    for number in range(GUARDED):
        writers.tasks.append(asyncio.create_task(writers.guarded(f"{writers.prefix}{number}", stream_of(number))))
    for number in range(ANY):
        writers.tasks.append(asyncio.create_task(writers.any(f"any{number}")))
    try:
        yield writers
    finally:
        await writers.finish()
