"""One processor, from the start of a topic, beside a bare consumer that only decodes the same records."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.bare import decode_all, send_all
from benchmarks.figure import Measured, Rounds
from benchmarks.sample import Writer, sample
from benchmarks.scene import Process, Scene, applied, until
from benchmarks.servers import Servers
from bridge.log.compose import Schema
from bridge.wiring import open_base

Count = Callable[[], Awaitable[int]]
"""How many records a topic's partitions have applied."""

RUNS = 3
STREAMS = 1_000
EACH = 300


async def process(servers: Servers) -> Measured:
    """Admission, history and state of single-event appends; each run begins with empty stores."""
    return await _measured(Scene(servers.settings("process", projections="none")))


async def project(servers: Servers) -> Measured:
    """The same with the built-in projections."""
    return await _measured(Scene(servers.settings("project", projections="built-in")))


async def _measured(scene: Scene) -> Measured:
    await scene.prepare()
    filled = await fill(scene)
    ours, bare = Rounds(), Rounds()
    for number in range(RUNS):
        ours.rates.append(await rate(scene.anew(str(number)), STREAMS * EACH))
        bare.rates.append(decode_all(scene.settings, filled.topic, filled.schema, STREAMS * EACH))
    return Measured(ours.rate, bare.rate, ours.extra() | {"events": STREAMS * EACH, "streams": STREAMS})


@dataclass(frozen=True)
class Filled:
    """A topic with the sample, the schema that it was written with, and the seconds that a bare producer took."""

    topic: str
    schema: Schema
    seconds: float


async def fill(scene: Scene, streams: int = STREAMS, each: int = EACH) -> Filled:
    """Writes single-event appends to so many streams of the sample, in turn."""
    async with open_base(scene.settings) as base:
        what = sample()
        schema = await base.schemas.writer(what.category)
        writer = Writer(schema, base.topics.name(what.category), scene.settings.partitions)
        records = writer.singles(what.streams("s", streams), each, time.time_ns() // 1000)
        return Filled(writer.topic, schema.schema, send_all(scene.settings, records))


async def rate(scene: Scene, total: int) -> float:
    """Records a second that one processor applies, of a topic that has so many of the sample's category."""
    with scene.process("streams", "--role", "processor") as processor:
        async with scene.spaces(sample().category) as spaces:
            return await followed(lambda: applied(spaces), processor, total)


async def followed(count: Count, processor: Process, total: int) -> float:
    """Records a second between the first commit that was seen and the last one, by the stores' own positions."""

    async def reached(wanted: int) -> bool:
        return await count() >= wanted

    await until(lambda: reached(1), "a first commit", [processor], every=0.005)
    began, first = time.perf_counter(), await count()
    await until(lambda: reached(total), f"{total} records", [processor], 120, every=0.01)
    return (total - first) / (time.perf_counter() - began)
