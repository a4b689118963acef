"""`python -m tests.faults.repartitioning CATEGORY N STEP [SIGNAL]`: a repartition that kills itself after a step.

With SIGSTOP it stands still there instead.
"""

from __future__ import annotations

import os
import signal
import sys

import uvloop

from bridge.repartition.steps import Repartition
from bridge.settings import Settings
from bridge.store.factory import open_stores
from bridge.wiring import open_base


async def main(category: str, partitions: int, last: str, how: str = "SIGKILL") -> None:
    """Runs it."""

    def step(name: str) -> None:
        if name == last:
            os.kill(os.getpid(), signal.Signals[how])

    async with open_base(Settings()) as base:
        stores = open_stores(base.settings.history_store, base.settings)
        try:
            await Repartition(base, stores, category, lambda *_: None, step).run(partitions)
        finally:
            await stores.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
