"""Processors whose histories lie in PostgreSQL, beside the same processor with LMDB."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass

import psutil

from benchmarks.figure import Measured, NotMeasured, Rounds
from benchmarks.machine import busy
from benchmarks.process import EACH, RUNS, STREAMS, fill, rate
from benchmarks.sample import sample
from benchmarks.scene import Process, Scene, applied, until
from benchmarks.servers import Servers
from bridge.errors import LocalError
from bridge.local.postgres import LocalPostgres, start_postgres
from bridge.store.factory import migrate_stores

TOTAL = STREAMS * EACH
SETTLED = TOTAL // 3
"""Records after which the clock runs: until then the group is still sharing partitions out."""


async def postgres_process(servers: Servers) -> Measured:
    """Admission, history and state of single-event appends; each run begins with empty tables."""
    scene = Scene(servers.settings("postgres", projections="none"))
    with ExitStack() as stack:
        server = await asyncio.to_thread(started, scene, stack)
        await scene.prepare()
        await fill(scene)
        lmdb, one, two = Rounds(), Rounds(), Rounds()
        extra: dict[str, float | str] = {"events": TOTAL}
        for number in range(RUNS):
            lmdb.rates.append(await rate(scene.anew(f"lmdb-{number}"), TOTAL))
            for processors, rounds in ((1, one), (2, two)):
                found = await _rate(await _far(scene, server, f"{processors}-{number}"), server, processors)
                rounds.rates.append(found.rate)
                extra |= {f"{name}_us_{processors}": value for name, value in found.spent.items()}
    return Measured(one.rate, lmdb.rate, one.extra() | extra | {"two_events_s": round(two.rate, 1)})


def started(scene: Scene, stack: ExitStack) -> LocalPostgres:
    """The scene's own PostgreSQL, stopped with the stack. Raises NotMeasured where there is none."""
    try:
        server = start_postgres(scene.settings.model_copy(update={"postgres_port": 0}))
    except LocalError as error:
        raise NotMeasured(str(error)) from error
    stack.callback(server.stop)
    return server


async def _far(scene: Scene, server: LocalPostgres, name: str) -> Scene:
    """The same topics with empty tables: spaces of every run have names of their own by their schema."""
    import asyncpg

    schema = f"run_{name.replace('-', '_')}"
    connection = await asyncpg.connect(server.url)
    await connection.execute(f"CREATE SCHEMA {schema}")
    await connection.close()
    url = f"{server.url}?search_path={schema}"
    await migrate_stores(url, scene.settings)
    update = {"history_store": url, "group": f"{scene.settings.group}-{name}"}
    return Scene(scene.settings.model_copy(update=update))


@dataclass(frozen=True)
class _Found:
    """Records a second, and microseconds of processor time that each record took, by who spent it."""

    rate: float
    spent: dict[str, float]


async def _rate(scene: Scene, server: LocalPostgres, processors: int) -> _Found:
    async with scene.processors(processors) as running, scene.spaces(sample().category) as spaces:

        async def reached(count: int) -> bool:
            return await applied(spaces) >= count

        await until(lambda: reached(SETTLED), "processors that have settled", running, every=0.01)
        began, first, before = time.perf_counter(), await applied(spaces), _spent(running, server)
        await until(lambda: reached(TOTAL), f"{TOTAL} records", running, 120, every=0.05)
        seconds, after = time.perf_counter() - began, _spent(running, server)
    records = TOTAL - first
    return _Found(records / seconds, {name: round((after[name] - before[name]) / records * 1e6, 1) for name in after})


def _spent(running: list[Process], server: LocalPostgres) -> dict[str, float]:
    """Seconds of processor time so far. What sessions spent that have ended is not in it."""
    sessions = [one.pid for one in psutil.Process(server.pid).children(recursive=True)]
    return {
        "processors": sum(busy(one.pid) for one in running),
        "postgres": sum(map(busy, (server.pid, *sessions))),
    }
