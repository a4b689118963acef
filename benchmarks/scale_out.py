"""1, 2 and 4 processors on 16 partitions, with a projection that makes processors the limit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks.figure import Extra, Measured
from benchmarks.machine import busy
from benchmarks.process import fill
from benchmarks.sample import sample
from benchmarks.scene import Process, Scene, applied, until
from benchmarks.servers import Servers
from tests.installed import install, python_path

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
    scene = replace(scene, variables={"PYTHONPATH": _installed(scene.settings.root / "site")})
    await scene.prepare()
    await fill(scene, STREAMS, EACH)
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


async def _rate(scene: Scene, count: int) -> tuple[float, float]:
    """Records a second of so many processors, and microseconds of processor time a record."""
    async with scene.processors(count) as running, scene.spaces(sample().category) as spaces:

        async def reached(records: int) -> bool:
            return await applied(spaces) >= records

        await until(lambda: reached(SETTLED), "processors that have settled", running, 120, every=0.01)
        began, first, before = time.perf_counter(), await applied(spaces), _busy(running)
        await until(lambda: reached(END), f"{END} records", running, 180, every=0.02)
        seconds, records = time.perf_counter() - began, await applied(spaces) - first
        return records / seconds, (_busy(running) - before) / records * 1e6


def _installed(site: Path) -> str:
    """The PYTHONPATH with which processes find the heavy application."""
    install(site, "heavy", "benchmarks.heavy:application")
    return python_path(site)


def _busy(running: Sequence[Process]) -> float:
    return sum(busy(one.pid) for one in running)
