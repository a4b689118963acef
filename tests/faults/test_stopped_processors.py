"""(b) Processors that are stopped, at random moments and inside a transaction, until their partitions have moved."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from bridge.store.lmdb_store import LmdbStore
from bridge.wiring import Platform
from tests.faults.conftest import Report
from tests.faults.harness import Process, Stage, epochs, eventually, owned, playing, soon, spaces
from tests.faults.journal import Journal, Request
from tests.faults.writers import at, commit, writing

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

GETS_ON = 5.0
"""Seconds from the stop until every partition of the stopped processor has been written again by a new owner."""


async def _move(platform: Platform, mine: Sequence[int], before: Sequence[int], begun: float) -> float:
    """Seconds since `begun` until these partitions have a new owner that has committed."""

    async def moved() -> bool:
        now = await epochs(platform)
        return all(now[number] > before[number] for number in mine)

    await soon(moved, 20, f"partitions {mine} moved")
    return time.monotonic() - begun


def _partitions_of(process: Process) -> set[int]:
    """The partitions of the category that a processor has now, by its own log."""
    mine: set[int] = set()
    for line in process.output.splitlines():
        numbers = {int(part.rpartition("-")[2]) for part in line.split("'") if ".project-" in part}
        if "partitions assigned" in line:
            mine |= numbers
        elif "partitions revoked" in line:
            mine -= numbers
    return mine


@pytest.mark.parametrize("step", ["P5", "P6"])
async def test_a_zombie_writes_nothing(step: str, stage: Stage, report: Report) -> None:
    async with playing(stage) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        await writers.progress(5, 20)
        before = await epochs(platform)
        zombie = await stage.strike(step, signal.SIGSTOP)
        begun = time.monotonic()
        await zombie.stopped()
        checker.journal.fault(f"SIGSTOP at {step}")
        mine = sorted(_partitions_of(zombie))
        assert await _move(platform, mine, before, begun) < GETS_ON
        await writers.progress(3, 20)
        assert zombie.state == "T"
        moved = await epochs(platform)
        zombie.signal(signal.SIGCONT)
        checker.journal.fault("SIGCONT")
        await eventually(lambda: "fenced" in zombie.output or step == "P6", 10, "the zombie is told that it is one")
        await writers.progress(10, 20)
        writers.stop.set()
        assert moved
        report(await checker.check() | {"moved": mine})
