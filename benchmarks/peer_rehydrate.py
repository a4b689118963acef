"""The current state of an aggregate of 1,000 events, read without a cache in memory, beside `eventsourcing`.

Ours reads the state that the processor keeps in the history's store; the peer folds the events that it reads from
PostgreSQL, as it does unless it is told to take snapshots. `fold_ms` is ours without its stored state, and
`peer_snapshot_ms` the peer with snapshots at every hundredth version, of which the last is that of the last event.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from statistics import median
from typing import Any

from benchmarks.append import Bench, bench
from benchmarks.as_of import folded
from benchmarks.bare import send_all
from benchmarks.figure import Extra, Measured, NotMeasured, percentile
from benchmarks.peers.asking import PEER, ask
from benchmarks.peers.environments import versions
from benchmarks.postgres import started
from benchmarks.scene import Scene
from benchmarks.servers import Servers

EVENTS = 1_000
LOADS = 2_000
FOLDS = 50
WARM = 50


async def peer_rehydrate(servers: Servers) -> Measured:
    """Medians, in milliseconds."""
    theirs = await _theirs(Scene(servers.settings("peer-rehydrate-pg")))
    async with bench(servers, "peer-rehydrate") as opened:
        stream = await _filled(opened)
        await _loads(opened, stream, WARM)
        found = await _loads(opened, stream, LOADS)
        plain = [await folded(opened.platform, stream, EVENTS) for _ in range(FOLDS)]
    ours, peer = median(found), median(theirs["events"])
    extra: Extra = {
        "events": EVENTS,
        "times_faster": round(peer / ours),
        "p99_ms": round(percentile(found, 99), 3),
        "fold_ms": round(median(plain), 3),
        "peer_snapshot_ms": round(median(theirs["snapshots"]), 3),
        "versions": versions(PEER, "eventsourcing", "psycopg"),
    }
    return Measured(ours, peer, extra)


async def _filled(opened: Bench) -> str:
    """One stream of so many appends, applied."""
    (stream,) = opened.sample.streams("rehydrated", 1)
    send_all(opened.platform.base.settings, opened.writer.singles([stream], EVENTS, time.time_ns() // 1000))
    await opened.settle()
    return stream


async def _loads(opened: Bench, stream: str, count: int) -> list[float]:
    """Milliseconds of each."""
    found = []
    for _ in range(count):
        began = time.perf_counter()
        read = await opened.platform.history.state(stream)
        found.append((time.perf_counter() - began) * 1000)
        if read.version != EVENTS - 1:
            raise NotMeasured(f"the state that was read is that of version {read.version}, not of {EVENTS - 1}")
    return found


async def _theirs(scene: Scene) -> Any:
    with ExitStack() as stack:
        server = await asyncio.to_thread(started, scene, stack)
        return await ask(scene, server.url, "load")
