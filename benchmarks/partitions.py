"""What partitions cost: one processor that has 16, 128 or 512 of them in each category."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import psutil

from benchmarks.figure import Extra, Measured
from benchmarks.machine import busy
from benchmarks.process import fill
from benchmarks.sample import sample
from benchmarks.scene import Process, Scene, applied, owned, until
from benchmarks.servers import Servers

COUNTS = (16, 128, 512)
STREAMS = 2_000
EACH = 50
TOTAL = STREAMS * EACH
IDLE = 6.0
"""Seconds for which a processor is watched that has nothing to do."""

RESTARTS = 2


async def partitions(servers: Servers) -> Measured:
    """Events a second with most partitions, held against few; what each partition costs idle, and to be opened."""
    rates: dict[int, float] = {}
    extra: Extra = {"events": TOTAL}
    for count in COUNTS:
        scene = Scene(servers.settings(f"parts-{count}", projections="built-in", partitions=count))
        await scene.prepare()
        await fill(scene, STREAMS, EACH)
        with scene.process("streams", "--role", "processor") as processor:
            rates[count] = await _rate(scene, processor)
            extra[f"events_s_{count}"] = round(rates[count], 1)
            extra[f"idle_cpu_percent_{count}"] = round(await _idle(processor), 2)
            extra[f"memory_mb_{count}"] = round(psutil.Process(processor.pid).memory_info().rss / 1e6, 1)
        extra[f"bytes_an_event_{count}"] = round(_used(scene) / TOTAL, 1)
        extra[f"open_s_{count}"] = round(min([await _opened(scene) for _ in range(RESTARTS)]), 2)
    return Measured(rates[COUNTS[-1]], rates[COUNTS[0]], extra)


async def _rate(scene: Scene, processor: Process) -> float:
    async with scene.spaces(sample().category) as spaces:

        async def reached(records: int) -> bool:
            return await applied(spaces) >= records

        await until(lambda: reached(1), "a first commit", [processor], every=0.01)
        began, first = time.perf_counter(), await applied(spaces)
        await until(lambda: reached(TOTAL), f"{TOTAL} records", [processor], 120, every=0.05)
        return (TOTAL - first) / (time.perf_counter() - began)


async def _idle(processor: Process) -> float:
    """Per cent of one core."""
    await asyncio.sleep(2.0)  # ticks that follow the last events
    before = busy(processor.pid)
    await asyncio.sleep(IDLE)
    return 100 * (busy(processor.pid) - before) / IDLE


def _used(scene: Scene) -> int:
    """Bytes on disk of the histories."""
    files = Path(scene.settings.history_store.removeprefix("lmdb://")).rglob("*.mdb")
    return sum(file.stat().st_blocks * 512 for file in files)


async def _opened(scene: Scene) -> float:
    """Seconds from the start of a process until it owns every partition; a new group, so that nobody is waited for."""
    group = f"{scene.settings.group}-{time.monotonic_ns()}"
    again = replace(scene, settings=scene.settings.model_copy(update={"group": group}))
    async with scene.spaces(sample().category) as spaces:
        await asyncio.sleep(2.5)  # until the owner before does not count as living any more
        began = time.perf_counter()
        with again.process("streams", "--role", "processor") as processor:
            await until(lambda: owned(spaces), "every partition owned", [processor], 120)
            return time.perf_counter() - began
