"""A history of a million events, built once a run by a real processor, for the rows that read from it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from benchmarks.bare import send_all
from benchmarks.machine import anonymous_mb
from benchmarks.sample import Ready, Writer, sample
from benchmarks.scene import Process, Scene, applied, end, until
from benchmarks.servers import Servers
from bridge.wiring import open_base

LONG = 10_000
STREAMS = 900
EACH = 11
BATCH = 100
EVENTS = LONG + STREAMS * EACH * BATCH
PATIENCE = 300.0

SMALL_BATCHES = {"linger.ms": 0, "batch.num.messages": 7}
"""Kafka gives all records of a batch one time; small ones let the long stream grow by the millisecond."""


@dataclass
class Million:
    """The scene with its history, and the processor that built it and still runs."""

    scene: Scene
    processor: Process
    long: str
    seconds: float = 0.0
    peak_mb: float = 0.0

    def close(self) -> None:
        """Ends the processor."""
        end(self.processor)

    async def follow(self, records: int) -> None:
        """Waits until the processor has applied that many records, and watches its memory meanwhile."""
        async with self.scene.spaces(sample().category) as spaces:

            async def there() -> bool:
                self.peak_mb = max(self.peak_mb, anonymous_mb(self.processor.pid))
                return await applied(spaces) >= records

            await until(there, f"{records} records", [self.processor], PATIENCE, every=0.1)


_built: WeakKeyDictionary[Servers, Million] = WeakKeyDictionary()


async def million(servers: Servers) -> Million:
    """The history of these servers, built when it is first asked for."""
    if servers not in _built:
        _built[servers] = await _build(servers)
    return _built[servers]


async def _build(servers: Servers) -> Million:
    scene = Scene(servers.settings("million"))
    await scene.prepare()
    built = Million(scene, scene.start_processor(), f"{sample().category}/the-long-one")
    servers.at_close(built.close)
    records = await _records(scene, built.long)
    began = time.perf_counter()
    sending = asyncio.to_thread(send_all, scene.settings, records, **SMALL_BATCHES)
    await asyncio.gather(sending, built.follow(LONG + STREAMS * EACH))
    built.seconds = time.perf_counter() - began
    return built


async def _records(scene: Scene, long: str) -> Iterator[Ready]:
    """In turn one event of the long stream and a hundred of another one."""
    async with open_base(scene.settings) as base:
        what = sample()
        schema = await base.schemas.writer(what.category)
        writer = Writer(schema, base.topics.name(what.category), scene.settings.partitions)
    now = time.time_ns() // 1000
    ones = writer.singles([long], LONG, now)
    many = writer.batches(what.streams("m", STREAMS), EACH, BATCH, now)
    return _mixed(ones, many)


def _mixed(ones: Iterator[Ready], many: Iterator[Ready]) -> Iterator[Ready]:
    """Alternates, and goes on with what is left of either."""
    for one in ones:
        yield one
        if (other := next(many, None)) is not None:
            yield other
    yield from many
