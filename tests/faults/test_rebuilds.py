"""Rebuilds of projections under load, with their owners killed in mid-slice and right before the switch (B2, B3)."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from bridge.errors import Unavailable, Unknown
from bridge.events import Event
from bridge.handle import Context
from bridge.wiring import Platform
from tests.faults.conftest import Report
from tests.faults.harness import Stage, owned, playing, soon
from tests.faults.writers import Writers, commit, writing

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

KILLS = 20
BEFORE_THE_SWITCH = 4
"""Kills between B2 and B3: the first ones, for they wait until a whole rebuild is done, and the past grows."""

RATE = 1_000
"""Appends a second that go on meanwhile."""

PAST = 10
"""Appends of a thousand events each, so that a rebuild takes some slices."""


async def fill(platform: Platform) -> None:
    """A past that is worth rebuilding."""
    for number in range(PAST):
        events: list[Event] = [commit(f"past {number}/{index}") for index in range(1000)]
        await platform.handler.create("project", events, Context("ann"))


async def paced(platform: Platform, stop: asyncio.Event, done: list[float]) -> None:
    """Appends at the rate, each to a stream of its own; what is refused while nobody owns the partition is let go."""
    flying: set[asyncio.Task[object]] = set()

    async def one() -> None:
        try:
            await platform.handler.create("project", [commit("paced")], Context("bob"))
        except Exception:
            return
        done.append(time.monotonic())

    began, sent = time.monotonic(), 0
    while not stop.is_set():
        while sent < (time.monotonic() - began) * RATE and len(flying) < RATE:
            task = asyncio.create_task(one())
            flying.add(task)
            task.add_done_callback(flying.discard)
            sent += 1
        await asyncio.sleep(0.005)
    await asyncio.gather(*flying)


async def generation(platform: Platform) -> int:
    return (await platform.projections.decisions()).of("streams").newest(1)[1]


async def answers(platform: Platform, wanted: int) -> bool:
    return (await platform.projections.status("streams")).answering >= (1, wanted)


async def kill(stage: Stage, platform: Platform, number: int) -> str:
    """Kills the processor that comes to the step first, and starts another; begins rebuilds until one does."""
    step = "B3" if number < BEFORE_THE_SWITCH else "B2"
    striking = asyncio.create_task(stage.strike(step, signal.SIGKILL))
    while not striking.done():
        if await answers(platform, await generation(platform)):
            await begin(platform, f"rebuild {number} {time.monotonic()}")
        await asyncio.wait([striking], timeout=0.1)
    assert await (await striking).ended() == -signal.SIGKILL
    stage.processor()
    return step


async def test_rebuilds_survive_their_owners_under_load(stage: Stage, report: Report) -> None:
    async with playing(stage) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        await fill(platform)
        await soon(lambda: answers(platform, 0), 30, "the first build answers")
        stop, done = asyncio.Event(), list[float]()
        load = asyncio.create_task(paced(platform, stop, done))
        killed = [await kill(stage, platform, number) for number in range(KILLS)]
        await owned(platform)
        wanted = await generation(platform)
        await soon(lambda: answers(platform, wanted), 60, "the last build answers")
        stop.set()
        await load
        await progress(writers)
        await writers.finish()
        found = await checker.check()
        report(found | {"killed": killed, "generations": wanted, "appends a second": rate(done)})
        assert killed.count("B3") == BEFORE_THE_SWITCH
        assert killed.count("B2") == KILLS - BEFORE_THE_SWITCH


async def begin(platform: Platform, key: str) -> None:
    """Asks for a rebuild, and again under the same key while nobody owns the partition that must admit it."""

    async def asked() -> bool:
        try:
            await platform.steering.rebuild("streams", 1, Context("ann", key=key))
        except (Unavailable, Unknown):
            return False
        return True

    await soon(asked, 30, "a rebuild is begun")


async def progress(writers: Writers) -> None:
    """The writers get on with the processors that are left."""
    await writers.progress(3, 30)


def rate(done: list[float]) -> float:
    """Appends a second, over the time in which any was acknowledged."""
    return round(len(done) / max(1e-9, done[-1] - done[0]), 1)
