"""Appends through the library, beside a bare producer with as many records in flight."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from benchmarks.bare import RoundTrips
from benchmarks.figure import Measured, Rounds
from benchmarks.sample import ACTOR, Ready, Sample, Writer, sample
from benchmarks.scene import PATIENCE, Scene
from benchmarks.servers import Servers
from bridge.handle import Context
from bridge.log import ids
from bridge.wiring import Platform, open_platform

RUNS = 5
WRITERS = 256
EACH = 60
WARM = 60
"""Appends of each writer before the first run: the broker's JIT compiler is at work until about then."""

ALONE = 400
FRESH_WIDTH = 512
FRESH = 20_000

Run = tuple[float, Sequence[float]]
"""Seconds, and each append's latency in seconds."""


@dataclass(frozen=True)
class Bench:
    """A platform in this process, one processor in another, and what is appended."""

    platform: Platform
    sample: Sample
    writer: Writer

    async def settle(self) -> None:
        """Waits until the processor has applied everything, so that no run pays for the one before."""
        for space in self.platform.spaces.all():
            if space.place.category == self.sample.category:
                end = await self.platform.reader.end(space.place.topic, space.place.partition)
                await space.store.wait(end, PATIENCE)

    async def bare(self, records: Iterator[Ready], width: int) -> Run:
        """The same with a bare producer, into the same topic."""
        trips = RoundTrips(self.platform.base.settings, records, width)
        seconds = trips.run()
        await self.settle()
        return seconds, trips.latencies


@asynccontextmanager
async def bench(servers: Servers, name: str) -> AsyncIterator[Bench]:
    """Opens it on topics of its own."""
    scene, what = Scene(servers.settings(name)), sample()
    await scene.prepare()
    async with scene.processor(what.category), open_platform(scene.settings) as platform:
        schema = await platform.base.schemas.writer(what.category)
        topic = platform.base.topics.name(what.category)
        yield Bench(platform, what, Writer(schema, topic, scene.settings.partitions))


async def append_guarded(servers: Servers) -> Measured:
    """256 writers, each with a stream of its own, each append guarded by the version that it must get."""
    ours, bare = Rounds(), Rounds()
    async with bench(servers, "guarded") as opened:
        await guarded(opened, WRITERS, WARM)
        for _ in range(RUNS):
            ours.add(WRITERS * EACH, *await guarded(opened, WRITERS, EACH))
            records = opened.writer.singles(_streams(opened, WRITERS), EACH, _now())
            bare.add(WRITERS * EACH, *await opened.bare(records, WRITERS))
    return Measured(ours.rate, bare.rate, ours.extra() | {"baseline_p99_ms": round(bare.p99, 2)})


async def append_alone(servers: Servers) -> Measured:
    """One writer, one append at a time."""
    ours, bare = Rounds(), Rounds()
    async with bench(servers, "alone") as opened:
        await guarded(opened, 1, 50)
        for _ in range(RUNS):
            ours.add(ALONE, *await guarded(opened, 1, ALONE))
            records = opened.writer.singles(_streams(opened, 1), ALONE, _now())
            bare.add(ALONE, *await opened.bare(records, 1))
    return Measured(ours.p50, bare.p50, ours.extra() | {"baseline_p99_ms": round(bare.p99, 2)})


async def append_fresh(servers: Servers) -> Measured:
    """Appends to streams just drawn, answered as soon as Kafka has confirmed them."""
    ours, bare = Rounds(), Rounds()
    async with bench(servers, "fresh") as opened:
        await _fresh(opened, FRESH)
        for _ in range(RUNS):
            ours.add(FRESH, *await _fresh(opened, FRESH))
            await opened.settle()
            bare.add(FRESH, *await opened.bare(_drawn(opened, FRESH), FRESH_WIDTH))
    return Measured(ours.rate, bare.rate, ours.extra() | {"width": FRESH_WIDTH})


def _streams(opened: Bench, count: int) -> list[str]:
    return opened.sample.streams(uuid4().hex[:8], count)


def _now() -> int:
    return time.time_ns() // 1000


async def guarded(opened: Bench, writers: int, each: int) -> Run:
    append, latencies = opened.platform.handler.append, []
    context = Context(ACTOR)

    async def write(stream: str) -> None:
        for version in range(each):
            sent = time.perf_counter()
            await append(stream, [opened.sample.event(version)], version, context)
            latencies.append(time.perf_counter() - sent)

    began = time.perf_counter()
    await asyncio.gather(*(write(stream) for stream in _streams(opened, writers)))
    return time.perf_counter() - began, latencies


async def _fresh(opened: Bench, count: int) -> Run:
    create, latencies = opened.platform.handler.create, []
    context, left = Context(ACTOR), iter(range(count))

    async def write() -> None:
        for _ in left:
            sent = time.perf_counter()
            await create(opened.sample.category, [opened.sample.first], context)
            latencies.append(time.perf_counter() - sent)

    began = time.perf_counter()
    await asyncio.gather(*(write() for _ in range(FRESH_WIDTH)))
    return time.perf_counter() - began, latencies


def _drawn(opened: Bench, count: int) -> Iterator[Ready]:
    """The records of `_fresh`, encoded one by one with fastavro."""
    category, event = opened.sample.category, opened.sample.first
    for _ in range(count):
        value = opened.writer.bare_value([event], _now())
        yield opened.writer.record(f"{category}/{ids.draw()}", value, 0, 1)
