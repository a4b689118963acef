"""Anonymous resident memory with a million events in history, beside a Python that has only imported the same."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.figure import Extra, Measured, NotMeasured
from benchmarks.machine import ROOT, anonymous_mb
from benchmarks.million import EVENTS, Million, million
from benchmarks.over_http import CONNECTIONS, load, request, scripts
from benchmarks.servers import Servers

EACH = 40
BARE = "import sys, {module}; print(flush=True); sys.stdin.read()"


async def memory(servers: Servers) -> Measured:
    """The processor's highest while it built the history; the API's after reading and appending."""
    built = await million(servers)
    extra: Extra = {"events": EVENTS, "seconds": round(built.seconds, 1), "after_mb": _mb(built.processor.pid)}
    return Measured(built.peak_mb, _bare("streams.main"), extra | await _api(built))


async def _api(built: Million) -> Extra:
    try:
        async with built.scene.api() as process:
            port = built.scene.settings.api_port
            await load(port, scripts(CONNECTIONS, EACH, 1))
            await load(port, [[request("GET", path) for path in _pages(built)] for _ in range(CONNECTIONS)])
            return {"api_mb": _mb(process.pid), "api_baseline_mb": round(_bare("bridge.api.app"), 1)}
    except NotMeasured as error:
        return {"api": str(error)}


def _pages(built: Million) -> list[str]:
    """A thousand events at a time, and a state."""
    pages = [f"/v1/streams/{built.long}/events?limit=1000&from_version={number * 1000}" for number in range(5)]
    return [*pages, f"/v1/streams/{built.long}/state?version=4321"]


def _mb(pid: int) -> float:
    return round(anonymous_mb(pid), 1)


def _bare(module: str) -> float:
    """A Python that has imported the module and waits."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", BARE.format(module=module)], cwd=ROOT, stdin=pipe, stdout=pipe
    ) as bare:
        assert bare.stdout is not None
        bare.stdout.readline()
        found = anonymous_mb(bare.pid)
        bare.communicate()
    return found
