"""Rows of projections: how soon they can be read elsewhere, over HTTP, and as of a random time."""

from __future__ import annotations

import asyncio
import random
import time
from statistics import median

from benchmarks.append import Bench, bench
from benchmarks.figure import Extra, Measured, NotMeasured, Rounds, percentile
from benchmarks.million import LONG, million
from benchmarks.over_http import empty_api, load, request
from benchmarks.sample import sample
from benchmarks.servers import Servers
from bridge.builtin import STREAMS
from bridge.handle import Context
from bridge.history.events import existing
from bridge.query.reader import When
from bridge.store.contract import View
from bridge.wiring import Platform, open_platform

RATE = 1_000
SECONDS = 8.0
WARM = 15_000
"""Appends before the measured ones: the broker's JIT compiler takes half a core until about then."""

RUNS = 3
CONNECTIONS = 16
EACH = 400
READS = 2_000
VERSIONED = "balances"
"""The versioned projection of examples/bank."""


async def visible(servers: Servers) -> Measured:
    """From the broker's acknowledgement to the row of the stream, in this process; a processor in another writes it.

    The baseline is the same wait for the history alone.
    """
    async with bench(servers, "visible") as opened:
        await _visible(opened, WARM)
        rows, history = await _visible(opened, int(RATE * SECONDS))
    ours, plain = Rounds(), Rounds()
    ours.add(len(rows), SECONDS, rows)
    plain.add(len(history), SECONDS, history)
    return Measured(ours.p50, plain.p50, {"p99_ms": round(ours.p99, 2), "history_p99_ms": round(plain.p99, 2)})


async def _visible(opened: Bench, count: int) -> tuple[list[float], list[float]]:
    """Seconds until each of so many appends, at the rate, was seen in its row and in the history."""
    rows: list[float] = []
    history: list[float] = []
    tasks = []
    began = time.monotonic()
    for number in range(count):
        tasks.append(asyncio.create_task(_seen(opened.platform, rows, history)))
        if (ahead := number / RATE - (time.monotonic() - began)) > 0:
            await asyncio.sleep(ahead)
    await asyncio.gather(*tasks)
    return rows, history


async def _seen(platform: Platform, rows: list[float], history: list[float]) -> None:
    """One append, answered by the log; then its row, waited for by its position as a client would."""
    appended = await platform.handler.create(sample().category, [sample().first], Context("bench"))
    acknowledged, position = time.perf_counter(), appended.position
    await platform.spaces.of(appended.stream).store.wait(position.offset, 10.0)
    history.append(time.perf_counter() - acknowledged)
    wanted = {(appended.stream.partition("/")[0], position.partition): position.offset}
    await platform.projections.row(STREAMS.name, appended.stream, When(wanted=wanted))
    rows.append(time.perf_counter() - acknowledged)


async def row_http(servers: Servers) -> Measured:
    """Rows of the streams of a history of a million events, at random; beside an empty route."""
    built = await million(servers)
    random.seed(1)
    names = sample().streams("m", 900)
    async with built.scene.api(), empty_api(built.scene) as port:
        ours, bare = Rounds(), Rounds()
        for number in range(RUNS + 1):
            told = [[_row(random.choice(names)) for _ in range(EACH)] for _ in range(CONNECTIONS)]
            for target, rounds in ((built.scene.settings.api_port, ours), (port, bare)):
                found = await load(target, told)
                if number:
                    rounds.add(CONNECTIONS * EACH, found.seconds, found.latencies)
    extra = ours.extra() | {"connections": CONNECTIONS, "baseline_p99_ms": round(bare.p99, 2)}
    return Measured(ours.rate, bare.rate, extra)


def _row(stream: str) -> bytes:
    return request("GET", f"/v1/projections/{STREAMS.name}/rows/{stream}")


async def row_as_of(servers: Servers) -> Measured:
    """Rows at random times of a versioned projection, half of them of the stream that changed 10,000 times.

    The baseline is the same number of rows as they are now.
    """
    built = await million(servers)
    random.seed(1)
    names = [built.long, *sample().streams("m", 900)]
    async with open_platform(built.scene.settings) as platform:
        if VERSIONED not in platform.projections.names:
            raise NotMeasured("examples/bank, which has a versioned projection, is not installed")
        ours, plain = [], []
        for _ in range(RUNS):
            ours.append(
                [await _as_of(platform, random.choice((built.long, random.choice(names)))) for _ in range(READS)]
            )
            plain.append([await _now(platform, random.choice(names)) for _ in range(READS)])
    extra: Extra = {"events": LONG, "p50_ms": round(median(percentile(run, 50) for run in ours), 3)}
    return Measured(median(percentile(run, 99) for run in ours), median(percentile(run, 99) for run in plain), extra)


async def _as_of(platform: Platform, stream: str) -> float:
    async with platform.spaces.of(stream).store.view() as view:
        moment = await _moment(view, stream)
    began = time.perf_counter()
    await platform.projections.row(VERSIONED, stream, When(moment))
    return (time.perf_counter() - began) * 1000


async def _moment(view: View, stream: str) -> int:
    head = await existing(view, stream)
    return random.randint(head.first, head.last)


async def _now(platform: Platform, stream: str) -> float:
    began = time.perf_counter()
    await platform.projections.row(VERSIONED, stream)
    return (time.perf_counter() - began) * 1000
