"""A replay of a million events by server-sent events, beside a scan of the same partitions that only decodes."""

from __future__ import annotations

import asyncio
import sys
import time
from statistics import median

import msgspec

from benchmarks.figure import Measured, NotMeasured, Rounds
from benchmarks.machine import ROOT, anonymous_mb
from benchmarks.million import EVENTS, Million, million
from benchmarks.sample import sample
from benchmarks.servers import Servers
from benchmarks.sse_client import Counted
from bridge.feed.order import START, page
from bridge.wiring import open_platform

RUNS = 3
FIRSTS = 20
PATIENCE = 300.0


async def replay_sse(servers: Servers) -> Measured:
    """As fast as possible, from the first event to `end`; and how soon the first one comes."""
    built = await million(servers)
    ours, bare = Rounds(), Rounds()
    async with built.scene.api() as process:
        firsts = [(await _replay(built, 1)).first for _ in range(FIRSTS)]
        for _ in range(RUNS):
            found = await _replay(built, 0)
            if found.events < EVENTS or not found.ended:
                raise NotMeasured(f"of {EVENTS} events {found.events} came")
            ours.rates.append(found.events / found.seconds)
            bare.rates.append(await _scan(built))
        memory = anonymous_mb(process.pid)
    extra = ours.extra() | {
        "events": EVENTS,
        "first_ms": round(median(firsts) * 1000, 1),
        "first_slowest_ms": round(max(firsts) * 1000, 1),
        "mb_a_second": round(found.bytes / found.seconds / 1e6, 1),
        "api_mb": round(memory, 1),
    }
    return Measured(ours.rate, bare.rate, extra)


async def _replay(built: Million, most: int) -> Counted:
    """One replay, read by another process: at most so many events, 0 for all."""
    path = f"/v1/replay?category={sample().category}"
    command = [sys.executable, "-m", "benchmarks.sse_client", str(built.scene.settings.api_port), path, str(most)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    if process.returncode:
        raise NotMeasured(f"the client of the replay ended with exit code {process.returncode}")
    return msgspec.json.decode(output, type=Counted)


async def _scan(built: Million) -> float:
    """Events a second of a scan that decodes each partition's order, and does nothing with it."""
    async with open_platform(built.scene.settings) as platform:
        began, count = time.perf_counter(), 0
        for space in platform.spaces.all():
            if space.place.category != sample().category:
                continue
            at, more = START, True
            while more:
                async with space.store.view() as view:
                    found = await page(view, platform.base.schemas, space.place.partition, at)
                at, more, count = found.next, found.more, count + len(found.events)
        return count / (time.perf_counter() - began)
