"""Processors that join, leave and are killed under a steady load: what appends and moved partitions feel of it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from uuid import uuid4

from benchmarks.figure import Extra, Measured, percentile
from benchmarks.sample import ACTOR, sample
from benchmarks.scene import Process, Scene, end, epochs, owned, until
from benchmarks.servers import Servers
from bridge.errors import LighthouseError
from bridge.handle import Context
from bridge.wiring import Platform, open_platform

RATE = 3_000
ROUNDS = 3
WARM = 5.0
"""Seconds of load before the first change; the broker's JIT compiler is at work until about then."""

SETTLE = 2.0
"""Seconds of load after each change in which its effects may still show."""


@dataclass(frozen=True)
class Sent:
    """One append: its partition, when it was due, when it was answered (seconds of one clock), and its error."""

    partition: int
    due: float
    answered: float
    error: str | None


@dataclass
class Load:
    """Guarded appends to fresh streams at a rate that does not heed the answers: none hides behind another's wait."""

    platform: Platform
    sent: list[Sent] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        pacing = asyncio.create_task(self._pace())
        try:
            yield
        finally:
            pacing.cancel()
            await asyncio.gather(pacing, *self._tasks, return_exceptions=True)

    async def _pace(self) -> None:
        began, run = time.perf_counter(), uuid4().hex[:8]
        for number in itertools.count():
            due = began + number / RATE
            if (ahead := due - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            task = asyncio.create_task(self._append(f"{sample().category}/{run}-{number}", due))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _append(self, stream: str, due: float) -> None:
        error = None
        try:
            await self.platform.handler.append(stream, [sample().first], 0, Context(ACTOR))
        except LighthouseError as found:
            error = f"{type(found).__name__}: {found}"
        partition = self.platform.spaces.of(stream).place.partition
        self.sent.append(Sent(partition, due, time.perf_counter(), error))


@dataclass(frozen=True)
class Change:
    """What was done, from when until when it showed, and the partitions that have another owner since."""

    what: str
    began: float
    ended: float
    moved: frozenset[int]


async def join(servers: Servers) -> Measured:
    """The p99 of appends that were due while a second processor joined, and the same while none did."""
    scene, what = Scene(servers.settings("join")), sample()
    await scene.prepare()
    async with scene.processor(what.category) as stays, open_platform(scene.settings) as platform:
        await until(lambda: owned(platform.spaces), "a processor that owns every partition", [stays])
        load, changes = Load(platform), list[Change]()
        async with load.running():
            await asyncio.sleep(WARM)
            calm = time.perf_counter()
            await asyncio.sleep(SETTLE)
            for leave in (Process.terminate, Process.kill) * ROUNDS:
                process = scene.start_processor()
                try:
                    changes.append(await _changed(platform, "join", [stays, process]))
                    leave(process)
                    changes.append(await _changed(platform, leave.__name__, [stays]))
                finally:
                    end(process)
    return _measured(load.sent, calm, changes)


async def _changed(platform: Platform, what: str, alive: Sequence[Process]) -> Change:
    """Waits until half of the category's partitions have another owner, and all a living one."""
    began, before = time.perf_counter(), await epochs(platform.spaces)

    async def shared() -> bool:
        now = await epochs(platform.spaces)
        moved = sum(new > old for new, old in zip(now, before, strict=True))
        return moved >= len(before) // 2 - 1 and await owned(platform.spaces)

    await until(shared, f"{what}: partitions have moved", alive)
    await asyncio.sleep(SETTLE)
    spaces = [space.place for space in platform.spaces.all()]
    now = await epochs(platform.spaces)
    moved = {
        place.partition
        for place, new, old in zip(spaces, now, before, strict=True)
        if new > old and place.category == sample().category
    }
    return Change(what, began, time.perf_counter(), frozenset(moved))


def _measured(sent: Sequence[Sent], calm: float, changes: Sequence[Change]) -> Measured:
    joins = [change for change in changes if change.what == "join"]
    during = [percentile(_latencies(sent, change.began, change.ended), 99) for change in joins]
    extra: Extra = {
        "rate": RATE,
        "joins": len(joins),
        "failed": sum(one.error is not None for one in sent if _within(one, joins)),
        "slowest_s": round(max(max(_latencies(sent, change.began, change.ended)) for change in joins), 2),
    }
    for what in ("join", "terminate", "kill"):
        of_it = [change for change in changes if change.what == what]
        extra[f"{what}_pause_s"] = round(max(_pause(sent, change, True) for change in of_it), 2)
        extra[f"{what}_pause_of_others_s"] = round(max(_pause(sent, change, False) for change in of_it), 2)
        extra[f"{what}_failed"] = sum(one.error is not None for one in sent if _within(one, of_it))
    first = next((one.error for one in sent if one.error), None)
    return Measured(
        median(during),
        percentile(_latencies(sent, calm, calm + SETTLE), 99),
        extra | ({"first_error": first} if first else {}),
    )


def _within(one: Sent, changes: Sequence[Change]) -> bool:
    return any(change.began <= one.due < change.ended for change in changes)


def _latencies(sent: Sequence[Sent], since: float, until_: float) -> list[float]:
    return [one.answered - one.due for one in sent if since <= one.due < until_]


def _pause(sent: Sequence[Sent], change: Change, moved: bool) -> float:
    """The longest time without an answered append in any partition that was moved, or in any other."""
    longest = 0.0
    for partition in {one.partition for one in sent}:
        if (partition in change.moved) is not moved:
            continue
        answered = sorted(one.answered for one in sent if one.partition == partition and one.error is None)
        here = [at for at in answered if change.began <= at < change.ended]
        longest = max([longest, *(late - early for early, late in itertools.pairwise(here))])
    return longest
