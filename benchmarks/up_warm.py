"""`scripts/up` on a home that has data, beside the first start on an empty one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from statistics import median

from benchmarks.figure import Measured, NotMeasured
from benchmarks.machine import ROOT
from benchmarks.scene import answers, environment, require_module, until
from benchmarks.servers import Servers, home
from bridge.local import ports
from bridge.settings import Settings

RUNS = 3
PATIENCE = 180.0
STOP_SECONDS = 90.0


async def up_warm(servers: Servers) -> Measured:
    """Seconds from the command to a ready API. The cold start finds the jars, but no data and no topics."""
    require_module("scripts/up", "scripts/up")
    kafka, registry, _, api = ports.pick(4)
    wanted = {"kafka_port": kafka, "registry_port": registry, "api_port": api}
    settings = home(servers.root / "up").model_copy(update=wanted)
    cold = await _start(settings)
    warm = [await _start(settings) for _ in range(RUNS)]
    return Measured(median(warm), cold, {"runs": RUNS, "slowest": round(max(warm), 1)})


async def _start(settings: Settings) -> float:
    """Starts it, waits until it is ready, and stops it as Ctrl-C does."""
    log = settings.root.parent / f"up-{time.monotonic_ns()}.log"
    began, process = time.perf_counter(), _spawn(settings, log)
    try:
        url = f"http://{settings.api_host}:{settings.api_port}/health/ready"
        await until(lambda: answers(url), f"an answer of {url}", [process], PATIENCE, every=0.05)
        return time.perf_counter() - began
    except NotMeasured as error:
        raise NotMeasured(f"{error}; its last words: {log.read_text(errors='replace')[-300:]!r}") from error
    finally:
        _interrupt(process)


def _spawn(settings: Settings, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [str(ROOT / "scripts" / "up")],
            env={**os.environ, **environment(settings)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
