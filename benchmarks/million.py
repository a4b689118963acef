"""A history of a million events, built once a run by a real processor, for the rows that read from it."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from benchmarks.bare import send_all
from benchmarks.machine import anonymous_mb
from benchmarks.sample import Ready, Writer, sample
from benchmarks.scene import Process, Scene, applied, end, until
from benchmarks.servers import Servers
from bridge.wiring import open_base

EVENTS = 1_000_000
LONG = 10_000
BATCH = 100
STREAMS = 1_000
LONG_STREAM = "the-long-one"
PATIENCE = 300.0


@dataclass
class Million:
    """The scene with its history, and the processor that built it and still runs."""

    scene: Scene
    processor: Process
    long: str
    seconds: float = 0.0
    memory: list[float] = field(default_factory=list)

    def close(self) -> None:
        """Ends the processor."""
        end(self.processor)


async def million(servers: Servers) -> Million:
    """Builds it when it is first asked for."""
    if servers.million is None:
        servers.million = await _build(servers)
        servers.at_close(servers.million.close)
    return servers.million


async def _build(servers: Servers) -> Million:
    scene, what = Scene(servers.settings("million")), sample()
    await scene.prepare()
    long = f"{what.category}/{LONG_STREAM}"
    built = Million(scene, scene.start_processor(), long)
    try:
        began = time.perf_counter()
        total = await asyncio.to_thread(send_all, scene.settings, await _records(scene, long), **SMALL_BATCHES)
        await _follow(built)
        built.seconds = time.perf_counter() - began
    except BaseException:
        built.close()
        raise
    return built
