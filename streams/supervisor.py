"""N processors and the reactors, a process each, until a signal ends them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

from bridge.local.services import processors, supervise
from bridge.settings import Settings


def run(instances: int, told: Callable[[str], object]) -> int:
    """Runs until SIGINT or SIGTERM; answers the exit code. The processes' output goes to the home's logs.

    `told` is given a line for each process that is started, also when one takes the place of another that died.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    services = processors(instances, Settings().root / "logs", f"{os.getpid()}-")
    known: dict[str, int] = {}

    def stopped(seconds: float) -> bool:
        for service in services:
            if known.get(service.name) != service.pid:
                known[service.name] = service.pid
                told(f"{service.name.partition('-')[2]} started: pid {service.pid}, log {service.log}")
        return stop.wait(seconds)

    supervise(services, stopped)
    return 0
