"""N processors and the reactors, a process each, until a signal ends them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

from bridge.local.fleet import Fleet
from bridge.settings import Settings

LOOK = 0.5
"""Seconds between two looks at what has died, and how many are wanted."""


def run(instances: int, told: Callable[[str], object]) -> int:
    """Runs until SIGINT or SIGTERM; answers the exit code. The processes' output goes to the home's logs.

    `told` is given a line for each process that is started, also when one takes the place of another that died.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    fleet, known = Fleet(Settings(), instances, f"{os.getpid()}-"), dict[str, int]()
    try:
        fleet.start()
        while True:
            for service in fleet.services:
                if service.pid and known.get(service.name) != service.pid:
                    known[service.name] = service.pid
                    told(f"{service.name.partition('-')[2]} started: pid {service.pid}, log {service.log}")
            if stop.wait(LOOK):
                return 0
            fleet.tend()
    finally:
        fleet.stop()
