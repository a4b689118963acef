"""(b) Processors that are stopped, at any moment and inside a transaction, until their partitions have moved."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import time
from collections.abc import Sequence

import pytest

from bridge.spaces import Space
from bridge.store.lmdb_store import LmdbStore
from bridge.wiring import Platform
from tests.faults.conftest import Report
from tests.faults.harness import PATIENCE, Process, Stage, epochs, eventually, playing, soon, spaces
from tests.faults.journal import Request
from tests.faults.writers import Writers, at, commit, writing

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

GETS_ON = 5.0
"""Seconds from the stop until a new owner has taken every partition of the stopped processor."""


def partitions_of(process: Process) -> list[int]:
    """The partitions of the category that a processor has, by its own log."""
    mine: set[int] = set()
    for line in process.output.splitlines():
        numbers = {int(number) for number in re.findall(r"\.project-(\d+)'", line)}
        mine = mine | numbers if "partitions assigned" in line else mine - numbers
    return sorted(mine)


async def moved(platform: Platform, mine: Sequence[int], before: Sequence[int], begun: float) -> float:
    """Seconds since `begun` until these partitions have a new owner."""

    async def met() -> bool:
        now = await epochs(platform)
        return all(now[number] > before[number] for number in mine)

    await soon(met, 20, f"partitions {mine} moved")
    return time.monotonic() - begun


async def gave_way(stage: Stage, zombie: Process, told: int) -> None:
    """Returns once a woken processor has let go of its partitions, which it had said `told` times before.

    Any moment may be one inside a transaction: then the new owner has ended it, and another takes its place here.
    """
    what = f"{zombie.name} lets go, or was ended by the new owner"
    await eventually(lambda: not zombie.alive or zombie.output.count("partitions revoked") > told, PATIENCE, what)
    if not zombie.alive:
        assert zombie.popen.returncode == -signal.SIGKILL
        assert any(says_it_ended(process, zombie) for process in stage.processes)
        stage.processor()


def says_it_ended(process: Process, zombie: Process) -> bool:
    """Whether the processor's log has the line of a new owner that ended the zombie."""
    lines = [line for line in process.output.splitlines() if "ending a writer" in line]
    return any(str(zombie.pid) in re.findall(r"\d+", line) for line in lines)


async def test_a_zombie_that_is_about_to_commit_is_fenced(stage: Stage, report: Report) -> None:
    async with playing(stage) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        await writers.progress(5, 20)
        before = await epochs(platform)
        zombie = await stage.strike("P5", signal.SIGSTOP)
        begun = time.monotonic()
        await zombie.stopped()
        checker.journal.fault("SIGSTOP at P5")
        mine = partitions_of(zombie)
        took = await moved(platform, mine, before, begun)
        await writers.progress(3, 20)
        assert zombie.state == "T"
        zombie.signal(signal.SIGCONT)
        checker.journal.fault("SIGCONT")
        await zombie.says("fenced")
        await writers.progress(5, 20)
        next(process for process in stage.processes if process is not zombie).kill()
        checker.journal.fault("kill -9 of the new owner: the zombie owns again")
        await writers.progress(5, 20)
        await writers.finish()
        report(await checker.check() | {"moved": mine, "moved in": round(took, 2)})
        assert mine
        assert took < GETS_ON


async def test_a_processor_stopped_at_any_moment_writes_nothing_when_it_goes_on(stage: Stage, report: Report) -> None:
    chance = random.Random(7)
    async with playing(stage) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        for _ in range(2):
            await writers.progress(5, 20)
            zombie = next(process for process in stage.processes if process.alive and partitions_of(process))
            before, mine = await epochs(platform), partitions_of(zombie)
            told = zombie.output.count("partitions revoked")
            await asyncio.sleep(chance.random() * 0.1)  # any moment will do
            zombie.signal(signal.SIGSTOP)
            begun = time.monotonic()
            await zombie.stopped()
            checker.journal.fault("SIGSTOP at any moment")
            assert await moved(platform, mine, before, begun) < GETS_ON
            after = await epochs(platform)
            zombie.signal(signal.SIGCONT)
            await gave_way(stage, zombie, told)
            assert all(now >= then for now, then in zip(await epochs(platform), after, strict=True))
        await writers.finish()
        report(await checker.check())


async def stop_inside(platform: Platform, space: Space, process: Process, writers: Writers) -> bool:
    """Stops the process as soon as it holds the space's writer lock; whether it still holds it when it is stopped.

    A large append makes the transaction long enough to be met.
    """
    store = space.store
    assert isinstance(store, LmdbStore)
    stream = at(platform.handler, space.place.partition, f"large-{time.monotonic_ns()}")
    request = Request(stream, 0, stream, [commit(f"large {number} {'x' * 1000}") for number in range(1000)])
    asking = asyncio.create_task(writers.journal.ask(writers.handler, request))
    until = time.monotonic() + 5
    while store._lock.holder() != process.pid and time.monotonic() < until:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0)
    process.signal(signal.SIGSTOP)
    await process.stopped()
    inside = store._lock.holder() == process.pid
    if not inside:
        process.signal(signal.SIGCONT)
        await asking
    return inside


async def test_a_processor_stopped_inside_a_transaction_blocks_nobody(stage: Stage, report: Report) -> None:
    async with playing(stage) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        await writers.progress(5, 20)
        zombie = next(process for process in stage.processes if partitions_of(process))
        mine = partitions_of(zombie)
        before, begun, tries = await epochs(platform), time.monotonic(), 1
        while not await stop_inside(platform, spaces(platform)[mine[0]], zombie, writers):
            before, begun, tries = await epochs(platform), time.monotonic(), tries + 1
            assert tries < 50, "it was never inside the transaction when it was stopped"
        checker.journal.fault(f"SIGSTOP inside a transaction, at the try {tries}")
        assert zombie.state == "T"
        took = await moved(platform, mine, before, begun)
        assert await zombie.ended(5) == -signal.SIGKILL, "the new owner ends who blocks it"
        assert any(says_it_ended(process, zombie) for process in stage.processes)
        await writers.progress(5, 20)
        await writers.finish()
        report(await checker.check() | {"moved in": round(took, 2)})
        assert took < GETS_ON
