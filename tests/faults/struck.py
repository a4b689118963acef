"""A processor that ends or stops itself at a step of the protocol, when it is told to: `python -m tests.faults.struck`.

The order is a file with a step's name and a signal's number. Whoever comes to the step first takes it away, and leaves
its pid right before it sends itself the signal: the proof of who came to that step.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import uvloop

from bridge.settings import Settings
from streams.main import Step, run_processor
from tests.faults.harness import STRIKE


def striker(order: Path) -> Step:
    """The step function that carries the order out."""

    def step(name: str) -> None:
        with suppress(FileNotFoundError):
            where, number = order.read_text().split()
            if where == name:
                taken = order.rename(order.with_suffix(f".{os.getpid()}"))
                taken.write_text(str(os.getpid()))
                taken.rename(order.with_suffix(".done"))
                os.kill(os.getpid(), int(number))

    return step


async def main() -> None:
    """Runs until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run_processor(Settings(), stop, striker(Path(os.environ[STRIKE])))


if __name__ == "__main__":
    uvloop.run(main())
