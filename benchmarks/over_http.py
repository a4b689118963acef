"""Appends over HTTP: the API, one processor and the load each in a process; beside an empty FastAPI route."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import msgspec

from benchmarks.figure import Measured, NotMeasured, Rounds
from benchmarks.http_client import Answers
from benchmarks.machine import ROOT
from benchmarks.sample import ACTOR, sample
from benchmarks.scene import Scene, answers, until
from benchmarks.servers import Servers
from bridge.local import ports

RUNS = 3
CONNECTIONS = 64
EACH = 100
WARM = 300
"""Events of each connection before the first run: the broker's JIT compiler is at work until about then."""

BATCH_CONNECTIONS = 16
BATCH_EACH = 20
BATCH = 100
PATIENCE = 120.0

Scripts = list[list[bytes]]


async def http_append(servers: Servers) -> Measured:
    """One event an append, guarded, each connection with a stream of its own."""
    return await _appends(servers, "http", CONNECTIONS, EACH, 1)


async def http_append_batch(servers: Servers) -> Measured:
    """A hundred events an append, guarded, each connection with a stream of its own."""
    return await _appends(servers, "http-batch", BATCH_CONNECTIONS, BATCH_EACH, BATCH)


async def _appends(servers: Servers, name: str, connections: int, each: int, count: int) -> Measured:
    scene, ours, bare = Scene(servers.settings(name)), Rounds(), Rounds()
    await scene.prepare()
    async with scene.processor(sample().category), scene.api(), empty_api(scene) as port:
        await load(scene.settings.api_port, scripts(connections, WARM // count, count))
        for _ in range(RUNS):
            told = scripts(connections, each, count)
            for target, rounds in ((scene.settings.api_port, ours), (port, bare)):
                found = await load(target, told)
                rounds.add(connections * each * count, found.seconds, found.latencies)
    extra = ours.extra() | {"connections": connections, "baseline_p99_ms": round(bare.p99, 2)}
    return Measured(ours.rate, bare.rate, extra)


@asynccontextmanager
async def empty_api(scene: Scene) -> AsyncIterator[int]:
    """The empty route on uvicorn; answers its port."""
    port = ports.pick(1)[0]
    arguments = ("benchmarks.empty_api:app", "--port", str(port), "--log-level", "warning", "--no-access-log")
    with scene.process("uvicorn", *arguments) as process:
        await until(lambda: answers(f"http://127.0.0.1:{port}/"), "the empty route", [process])
        yield port


def scripts(connections: int, each: int, count: int) -> Scripts:
    """Guarded appends, one stream a connection."""
    streams = sample().streams(f"h{uuid4().hex[:8]}", connections)
    return [[append(stream, number * count, count) for number in range(each)] for stream in streams]


def append(stream: str, version: int, count: int) -> bytes:
    """One guarded append with an Idempotency-Key, as a whole request."""
    events = [{"type": event.type, "data": event.data} for event in sample().events(version, count)]
    body = msgspec.json.encode({"expected_version": version, "events": events})
    return request("POST", f"/v1/streams/{stream}/events", body, {"Idempotency-Key": f"k{version}"})


def request(method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    """A whole HTTP/1.1 request."""
    named = {"Host": "127.0.0.1", "Lighthouse-Actor": ACTOR, **(headers or {})}
    if body:
        named |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"{method} {quote(path, safe='/?=&:%+.~@-')} HTTP/1.1\r\n{lines}\r\n".encode() + body


async def load(port: int, told: Scripts) -> Answers:
    """Replays the requests from another process; NotMeasured where one is not answered with 200 or 201."""
    command = [sys.executable, "-m", "benchmarks.http_client", str(port)]
    pipes: dict[str, Any] = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, **pipes)
    try:
        output, _ = await asyncio.wait_for(process.communicate(msgspec.msgpack.encode(told)), PATIENCE)
    except TimeoutError:
        process.kill()
        raise NotMeasured(f"the HTTP client was not answered in {PATIENCE:.0f} s") from None
    if process.returncode:
        raise NotMeasured(f"the HTTP client ended with exit code {process.returncode}")
    found = msgspec.json.decode(output, type=Answers)
    _check(found.statuses, sum(map(len, told)))
    return found


def _check(statuses: dict[str, int], total: int) -> None:
    good: Sequence[str] = ("200", "201")
    if sum(statuses.get(each, 0) for each in good) != total:
        raise NotMeasured(f"of {total} requests these statuses came back: {statuses}")
