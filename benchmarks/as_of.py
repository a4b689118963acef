"""States of a long stream at random times, beside the fold of all its events from the first one on."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from statistics import median
from urllib.parse import quote

from benchmarks.figure import Extra, Measured, NotMeasured, percentile
from benchmarks.million import LONG, Million, million
from benchmarks.over_http import load, request
from benchmarks.servers import Servers
from bridge.history.events import existing
from bridge.history.reader import At
from bridge.log.avro import read_event
from bridge.store import keys
from bridge.store.rows import EventRow
from bridge.typed import Typed
from bridge.wiring import Platform, open_platform

RUNS = 3
READS = 2_000
HTTP_READS = 1_000
PLAIN_READS = 5


async def state_as_of(servers: Servers) -> Measured:
    """In process, over HTTP, and plainly; the value is in process."""
    built = await million(servers)
    random.seed(1)
    async with open_platform(built.scene.settings) as platform:
        await platform.history.state(built.long)
        ours = [await _reads(platform, built.long) for _ in range(RUNS)]
        plain = [await folded(platform, built.long, random.randrange(LONG) + 1) for _ in range(PLAIN_READS)]
        paths = [_path(built.long, await _moment(platform, built.long)) for _ in range(RUNS * HTTP_READS)]
    extra: Extra = {"events": LONG, "p50_ms": round(median(percentile(run, 50) for run in ours), 3)}
    p99 = median(percentile(run, 99) for run in ours)
    return Measured(p99, median(plain), extra | await _http(built, paths))


async def _moment(platform: Platform, stream: str) -> int:
    """A time between the stream's first and last event, in microseconds of the log's clock."""
    async with platform.spaces.of(stream).store.view() as view:
        head = await existing(view, stream)
    return random.randint(head.first, head.last)


async def _reads(platform: Platform, stream: str) -> list[float]:
    """Milliseconds of each read."""
    found = []
    for _ in range(READS):
        moment = await _moment(platform, stream)
        began = time.perf_counter()
        await platform.history.state(stream, At(time=moment))
        found.append((time.perf_counter() - began) * 1000)
    return found


async def folded(platform: Platform, stream: str, count: int) -> float:
    """Milliseconds of a fold of the first `count` events, with no snapshot and no index."""
    began = time.perf_counter()
    typed = Typed(platform.base.catalog.deciders[stream.partition("/")[0]])
    async with platform.spaces.of(stream).store.view() as view:
        rows = await view.scan(keys.events(stream), limit=count)
    state = typed.decider.initial
    for _, raw in rows:
        row = EventRow.unpack(raw)
        event = read_event(await platform.base.schemas.reader(row.schema), row.event)
        state = typed.evolve(state, event.branch.type, event.newest)
    return (time.perf_counter() - began) * 1000


def _path(stream: str, moment: int) -> str:
    text = datetime.fromtimestamp(moment / 1e6, UTC).isoformat()
    return f"/v1/streams/{stream}/state?as_of={quote(text)}"


async def _http(built: Million, paths: list[str]) -> Extra:
    """One connection, one read at a time; says so where there is no API."""
    try:
        async with built.scene.api():
            runs = [paths[number * HTTP_READS : (number + 1) * HTTP_READS] for number in range(RUNS)]
            port = built.scene.settings.api_port
            await load(port, [[request("GET", path) for path in runs[0][:50]]])
            found = [(await load(port, [[request("GET", path) for path in run]])).latencies for run in runs]
    except NotMeasured as error:
        return {"http": str(error)}
    p50, p99 = (median(percentile(run, which) * 1000 for run in found) for which in (50, 99))
    return {"http_p50_ms": round(p50, 2), "http_p99_ms": round(p99, 2)}
