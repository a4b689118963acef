"""A processor whose deciders are all one version newer than the registered ones: `python -m tests.faults.upgraded`."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from functools import partial

import uvloop

from bridge.log import kafka
from bridge.settings import Settings
from bridge.store.factory import open_stores
from bridge.ticks import Ticker
from bridge.typed import Typed
from bridge.wiring import identities, state_cache
from streams.main import Scene, scene
from streams.owner import Code
from streams.processor import Parts, Processor


def newer(stage: Scene, category: str) -> Typed | None:
    """The category's decider, one version up."""
    decider = stage.base.catalog.deciders.get(category)
    return Typed(replace(decider, version=decider.version + 1)) if decider is not None else None


async def main() -> None:
    """Runs until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with scene(Settings()) as stage:
        settings = stage.base.settings
        stores, states = open_stores(settings.history_store, settings), state_cache(settings)

        def code(category: str) -> Code:
            return Code(stage.base.schemas, newer(stage, category), states)

        identify = partial(identities, stage.base)
        parts = Parts(settings, stores, stage.place, code, identify, Ticker(stage.producer).tick)
        try:
            await Processor(parts).run(kafka.consumer(settings, settings.group), stage.topics, stop)
        finally:
            await stores.close()


if __name__ == "__main__":
    uvloop.run(main())
