"""N processors and the reactors, a process each: started, kept alive, ended together."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from bridge.children import Child, stop_all

CHECK = 0.5


def processes(instances: int, logs: Path | None = None) -> list[Child]:
    """The processes of the stream side, not started yet; their output goes to files in `logs`, or to ours."""
    names = [f"processor-{number}" for number in range(1, instances + 1)]
    roles = [(name, "processor") for name in names] + [("reactors", "reactors")]
    return [
        Child(name, "streams", ("--role", role), logs / f"{name}.log" if logs is not None else None)
        for name, role in roles
    ]


def supervise(instances: int) -> int:
    """Runs until SIGINT or SIGTERM; answers the exit code."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    children = processes(instances)
    for child in children:
        child.start()
    while not stop.wait(CHECK):
        for child in children:
            child.revive()
    stop_all(children)
    return 0
