"""A rebuild of one projection over a million events, alone and beside a thousand appends a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.figure import Extra, Measured, Rounds
from benchmarks.million import EVENTS, million
from benchmarks.sample import sample
from benchmarks.servers import Servers
from bridge.decisions import Build
from bridge.handle import Context
from bridge.wiring import Platform, open_platform

NAME = "activity"
RATE = 1_000
STREAMS = 4_000
CALM = 5.0
PATIENCE = 300.0


async def rebuild(servers: Servers) -> Measured:
    """Events a second from the decision to the answer; the baseline is what the same processor applied them with."""
    built = await million(servers)
    async with open_platform(built.scene.settings) as platform:
        await _answers(platform, (1, 0))
        alone = EVENTS / await _rebuilt(platform)
        calm, both = Rounds(), Rounds()
        async with _load(platform) as quiet:
            await asyncio.sleep(CALM)
        calm.add(len(quiet), CALM, quiet)
        async with _load(platform) as load:
            beside = EVENTS / await _rebuilt(platform)
        both.add(len(load), EVENTS / beside, load)
    extra: Extra = {
        "events": EVENTS,
        "beside_events_s": round(beside, 1),
        "appends_s": round(both.rate, 1),
        "append_p50_ms": round(both.p50, 2),
        "append_p99_ms": round(both.p99, 2),
        "calm_p50_ms": round(calm.p50, 2),
        "calm_p99_ms": round(calm.p99, 2),
    }
    return Measured(alone, EVENTS / built.seconds, extra)


async def _rebuilt(platform: Platform) -> float:
    """Seconds that one rebuild takes."""
    began = time.perf_counter()
    await platform.steering.rebuild(NAME, 1, Context("bench"))
    await _answers(platform, (await platform.projections.decisions()).of(NAME).newest(1))
    return time.perf_counter() - began


async def _answers(platform: Platform, build: Build) -> None:
    until = time.monotonic() + PATIENCE
    while ((await platform.projections.decisions()).of(NAME).answering or (0, 0)) < build:
        assert time.monotonic() < until, f"build {build} of {NAME} does not answer"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def _load(platform: Platform) -> AsyncIterator[list[float]]:
    """Guarded appends at the rate while the block lasts; the latency of each in seconds."""
    latencies: list[float] = []
    stop = asyncio.Event()
    task = asyncio.create_task(_paced(platform, stop, latencies))
    try:
        yield latencies
    finally:
        stop.set()
        await task


async def _paced(platform: Platform, stop: asyncio.Event, latencies: list[float]) -> None:
    what = sample()
    names = what.streams(f"load-{time.time_ns()}", STREAMS)
    flying: set[asyncio.Task[None]] = set()

    async def one(number: int) -> None:
        began, (version, name) = time.perf_counter(), (number // STREAMS, names[number % STREAMS])
        await platform.handler.append(name, [what.event(version)], version, Context("bench"))
        latencies.append(time.perf_counter() - began)

    began, sent = time.monotonic(), 0
    while not stop.is_set():
        while sent < (time.monotonic() - began) * RATE:
            task = asyncio.create_task(one(sent))
            flying.add(task)
            task.add_done_callback(flying.discard)
            sent += 1
        await asyncio.sleep(0.002)
    await asyncio.gather(*flying)
