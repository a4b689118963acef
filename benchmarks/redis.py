"""Hot rows in Redis, read over HTTP, beside the same rows from the history's own store."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace

import httpx

from benchmarks.figure import Extra, Measured, NotMeasured, Rounds
from benchmarks.over_http import load, request
from benchmarks.process import fill
from benchmarks.sample import sample
from benchmarks.scene import Scene, applied, until
from benchmarks.servers import Servers
from bridge.builtin import STREAMS
from bridge.errors import LocalError
from bridge.local import ports
from bridge.local.redis import start_redis

COUNT = 1_000
EVENTS = 20
"""Of each of the streams, whose rows are asked for at random."""

RUNS = 3
CONNECTIONS = 16
EACH = 400
READS = 'lighthouse_hot_reads_total{outcome="'


async def redis_row(servers: Servers) -> Measured:
    """The p99 of a hot row by HTTP; each answer counted as one of the hot store by the API itself."""
    scene = Scene(servers.settings("redis-row", projections="built-in"))
    with ExitStack() as stack:
        hot = await asyncio.to_thread(_with_redis, scene, stack)
        await hot.prepare()
        await fill(hot, COUNT, EVENTS)
        async with hot.processor(sample().category):
            async with hot.spaces(sample().category) as spaces:

                async def there() -> bool:
                    return await applied(spaces) >= COUNT * EVENTS

                await until(there, "the rows", every=0.1)
            async with hot.api(), _plain(scene) as port:
                return await _measured(hot, port)


def _with_redis(scene: Scene, stack: ExitStack) -> Scene:
    """The scene with a Redis of its own. Raises NotMeasured where none can be started."""
    try:
        server = start_redis(scene.settings.model_copy(update={"redis_port": 0}))
    except LocalError as error:
        raise NotMeasured(str(error)) from error
    stack.callback(server.stop)
    return replace(scene, settings=scene.settings.model_copy(update={"hot_store": server.url}))


@asynccontextmanager
async def _plain(scene: Scene) -> AsyncIterator[int]:
    """An API on the same histories that knows no hot store; answers its port."""
    settings = scene.settings.model_copy(update={"api_port": ports.pick(1)[0]})
    async with replace(scene, settings=settings).api():
        yield settings.api_port


async def _measured(hot: Scene, plain: int) -> Measured:
    random.seed(1)
    names = sample().streams("s", COUNT)
    ours, history = Rounds(), Rounds()
    asked = await _reads(hot)
    for number in range(RUNS + 1):
        told = [[_row(random.choice(names)) for _ in range(EACH)] for _ in range(CONNECTIONS)]
        for port, rounds in ((hot.settings.api_port, ours), (plain, history)):
            found = await load(port, told)
            if number:
                rounds.add(CONNECTIONS * EACH, found.seconds, found.latencies)
    answered = {outcome: count - asked.get(outcome, 0) for outcome, count in (await _reads(hot)).items()}
    total = (RUNS + 1) * CONNECTIONS * EACH
    extra: Extra = ours.extra() | {"rows_s": round(ours.rate, 1), "history_rows_s": round(history.rate, 1)}
    extra["from_redis"] = round(answered.get("hot", 0) / total, 4)
    return Measured(ours.p99, history.p99, extra)


def _row(stream: str) -> bytes:
    return request("GET", f"/v1/projections/{STREAMS.name}/rows/{stream}")


async def _reads(scene: Scene) -> dict[str, int]:
    """How many questions the hot store has answered, by outcome."""
    url = f"http://127.0.0.1:{scene.settings.api_port}/metrics"
    async with httpx.AsyncClient(trust_env=False) as client:
        lines = (await client.get(url)).text.splitlines()
    found = [line.removeprefix(READS).split('"} ') for line in lines if line.startswith(READS)]
    return {outcome: round(float(count)) for outcome, count in found}
