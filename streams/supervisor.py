"""N processors and the reactors, a process each, until a signal ends them."""

from __future__ import annotations

import os
import signal
import threading

from bridge.local.services import processors, supervise
from bridge.settings import Settings


def run(instances: int) -> int:
    """Runs until SIGINT or SIGTERM; answers the exit code. The processes' output goes to the home's logs."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    supervise(processors(instances, Settings().root / "logs", f"{os.getpid()}-"), stop.wait)
    return 0
