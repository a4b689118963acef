"""Guarded appends through the library, beside saves of `eventsourcing` into PostgreSQL, each at its best concurrency.

Ours are answered when they are admitted and in the history; the peer's when their transaction is on disk. A broker does
not wait for its disk, PostgreSQL by default does, so `peer_no_fsync_s` says what the peer does where it need not.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from benchmarks.append import EACH, WARM, bench, guarded
from benchmarks.figure import Extra, Measured, Rounds
from benchmarks.peers.asking import PEER, QUICK, ask
from benchmarks.peers.environments import versions
from benchmarks.postgres import started
from benchmarks.scene import Scene
from benchmarks.servers import Servers

RUNS = 3
WIDTHS = (128, 256, 512)


async def peer_append(servers: Servers) -> Measured:
    """The peer before the processor is started, which would take some of its two cores."""
    theirs, extra = await _theirs(Scene(servers.settings("peer-append-pg")))
    ours = {width: Rounds() for width in WIDTHS}
    async with bench(servers, "peer-append") as opened:
        await guarded(opened, max(WIDTHS), WARM)
        for _ in range(RUNS):
            for width in WIDTHS:
                ours[width].add(width * EACH, *await guarded(opened, width, EACH))
    best = max(WIDTHS, key=lambda width: ours[width].rate)
    extra |= {f"at_{width}": round(ours[width].rate, 1) for width in WIDTHS}
    return Measured(ours[best].rate, theirs, ours[best].extra() | {"writers": best} | extra)


async def _theirs(scene: Scene) -> tuple[float, Extra]:
    """The best of all numbers of threads, with and without functions in the database."""
    with ExitStack() as stack:
        server = await asyncio.to_thread(started, scene, stack)
        plain = _rates(await ask(scene, server.url, "append"))
        quick = _rates(await ask(scene, server.url, "append", **QUICK))
        await _without_fsync(server.url)
        careless = _rates(await ask(scene, server.url, "append", **QUICK))
    best = max(
        (rate, threads, name)
        for name, rates in (("plain", plain), ("functions", quick))
        for threads, rate in rates.items()
    )
    extra: Extra = {
        "peer_threads": best[1],
        "peer_with": best[2],
        "peer_plain_s": round(max(plain.values()), 1),
        "peer_functions_s": round(max(quick.values()), 1),
        "peer_no_fsync_s": round(max(careless.values()), 1),
        "versions": versions(PEER, "eventsourcing", "psycopg"),
    }
    return best[0], extra


def _rates(answer: dict[str, float]) -> dict[int, float]:
    """Appends a second by the number of threads."""
    return {int(threads): rate for threads, rate in answer.items()}


async def _without_fsync(url: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(url)
    await connection.execute("ALTER SYSTEM SET fsync = off")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()
