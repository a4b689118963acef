"""1, 2 and 4 processors on 16 partitions, with a projection that makes processors the limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from statistics import median

import psutil

from benchmarks.bare import send_all
from benchmarks.figure import Extra, Measured
from benchmarks.heavy import install
from benchmarks.sample import Writer, sample
from benchmarks.scene import Process, Scene, applied, until
from benchmarks.servers import Servers
from bridge.wiring import open_base

PARTITIONS = 16
STREAMS = 480
EACH = 80
RUNS = 3
PROCESSORS = (1, 2, 4)
SETTLED = STREAMS * EACH // 4
"""Records after which the clock runs: until then the group is still sharing partitions out."""

END = STREAMS * EACH * 9 // 10
"""Records at which it stops: behind that, some processors have nothing left to do."""


async def scale_out(servers: Servers) -> Measured:
    """Events a second of two processors, held against one; the loss by where processor time went."""
    scene = Scene(servers.settings("scale", projections="applications", partitions=PARTITIONS))
    scene = replace(scene, variables={"PYTHONPATH": install(scene.settings.root / "site")})
    await scene.prepare()
    await _fill(scene)
    rates: dict[int, list[float]] = {count: [] for count in PROCESSORS}
    spent: dict[int, list[float]] = {count: [] for count in PROCESSORS}
    for number in range(RUNS):
        for count in PROCESSORS:
            rate, each = await _rate(scene.anew(f"{number}-{count}"), count)
            rates[count].append(rate)
            spent[count].append(each)
    extra: Extra = {"runs": RUNS, "partitions": PARTITIONS, "events": STREAMS * EACH}
    for count in PROCESSORS:
        extra[f"events_s_{count}"] = round(median(rates[count]), 1)
        extra[f"processor_us_{count}"] = round(median(spent[count]), 1)
    extra["four_ratio"] = round(median(rates[4]) / median(rates[1]), 3)
    return Measured(median(rates[2]), median(rates[1]), extra)


async def _fill(scene: Scene) -> None:
    async with open_base(scene.settings) as base:
        what = sample()
        schema = await base.schemas.writer(what.category)
        writer = Writer(schema, base.topics.name(what.category), scene.settings.partitions)
        send_all(scene.settings, writer.singles(what.streams("s", STREAMS), EACH, time.time_ns() // 1000))


async def _rate(scene: Scene, count: int) -> tuple[float, float]:
    """Records a second of so many processors, and microseconds of processor time a record."""
    async with _running(scene, count) as running, scene.spaces(sample().category) as spaces:

        async def reached(records: int) -> bool:
            return await applied(spaces) >= records

        await until(lambda: reached(SETTLED), "processors that have settled", running, 120, every=0.01)
        began, first, before = time.perf_counter(), await applied(spaces), _seconds(running)
        await until(lambda: reached(END), f"{END} records", running, 180, every=0.02)
        seconds, records = time.perf_counter() - began, await applied(spaces) - first
        return records / seconds, (_seconds(running) - before) / records * 1e6


@asynccontextmanager
async def _running(scene: Scene, count: int) -> AsyncIterator[list[Process]]:
    """All of them are asked to end at once: the last ones would otherwise take over what the first one left."""
    with ExitStack() as stack:
        running = [stack.enter_context(scene.process("streams", "--role", "processor")) for _ in range(count)]
        yield running
        for one in running:
            one.terminate()
        await asyncio.gather(*(asyncio.to_thread(one.wait, 20) for one in running))


def _seconds(running: Sequence[Process]) -> float:
    times = [psutil.Process(one.pid).cpu_times() for one in running]
    return sum(one.user + one.system for one in times)
