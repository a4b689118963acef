"""A processor whose deciders are all one version newer than the registered ones: `python -m tests.faults.upgraded`."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace

import uvloop

from bridge.settings import Settings
from bridge.typed import Typed
from bridge.wiring import open_platform
from streams.main import process


async def main() -> None:
    """Runs until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_platform(Settings(), owner=True) as platform:
        deciders = platform.base.catalog.deciders
        newer = {name: Typed(replace(decider, version=decider.version + 1)) for name, decider in deciders.items()}
        await process(replace(platform, typed=newer), stop)


if __name__ == "__main__":
    uvloop.run(main())
