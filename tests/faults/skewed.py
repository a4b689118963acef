"""A processor whose clock goes wrong by some seconds: `python -m tests.faults.skewed SECONDS`."""

from __future__ import annotations

import asyncio
import signal
import sys
import time

import uvloop

from bridge.settings import Settings
from streams.main import run_processor


async def main(seconds: float) -> None:
    """Runs until SIGTERM."""
    right = time.time
    time.time = lambda: right() + seconds
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run_processor(Settings(), stop)


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1])))
